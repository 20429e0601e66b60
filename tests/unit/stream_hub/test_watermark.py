"""Watermarks: which audiences they name, and when they are told."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hubbub.clock import FakeClock
from hubbub.contracts.event_log import Watermark, decode_control
from services.stream_hub.watermark import CHUNK, RECENT, Announcer, Tops, watermarks
from tests.unit.stream_hub.fakes import FakeLog, term_of, until


def test_an_audience_counts_for_five_intervals() -> None:
    tops = Tops()
    tops.note("room.a", 1)
    for _ in range(RECENT - 1):
        tops.turn()
        assert tops.recent() == {"room.a": 1}
    tops.turn()
    assert tops.recent() == {}
    assert tops.sequence == 1


def test_the_last_sequence_of_an_audience_wins() -> None:
    tops = Tops()
    tops.note("room.a", 1)
    tops.turn()
    tops.note("room.a", 2)
    assert tops.recent() == {"room.a": 2}


def test_many_audiences_take_several_messages() -> None:
    tops = Tops()
    for number in range(CHUNK + 1):
        tops.note(f"room.{number}", number + 1)
    made = list(watermarks(tops, epoch=3, log_epoch="x/0"))
    assert [len(mark.tops) for mark in made] == [CHUNK, 1]
    assert all(mark.sequence == CHUNK + 1 and mark.epoch == 3 for mark in made)


def test_there_is_one_even_when_nothing_happened() -> None:
    (mark,) = watermarks(Tops(), epoch=3, log_epoch="x/0")
    assert mark.tops == []


class _Told(FakeLog):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.told: list[tuple[float, Watermark]] = []

    async def tell(self, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        assert audience == "control"
        assert headers["Hub-Kind"] == "control"
        mark = decode_control(payload)
        assert isinstance(mark, Watermark)
        self.told.append((self._clock.monotonic(), mark))


async def test_once_per_second_while_events_flow_else_every_five() -> None:
    clock, tops = FakeClock(), Tops()
    log, term = _Told(clock), term_of(clock=clock)
    announcer = Announcer(log, tops, clock, interval=1.0, idle=5.0)
    running = asyncio.ensure_future(announcer.run(term))
    while clock.monotonic() < 20:
        if 10 < clock.monotonic() + 1 <= 13:
            tops.note("room.a", int(clock.monotonic()))
        await asyncio.sleep(0)
    running.cancel()
    moments = [moment for moment, _ in log.told]
    assert moments[:2] == [5.0, 10.0]
    assert [moment for moment in moments if 10 < moment <= 13] in ([11, 12, 13], [11, 12])
    assert all(later - sooner <= 5.0 for sooner, later in pairwise(moments))
    assert len(moments) < 10


async def test_a_term_that_ended_tells_nothing() -> None:
    clock, tops = FakeClock(), Tops()
    log, term = _Told(clock), term_of(clock=clock)
    term.end("taken")
    running = asyncio.ensure_future(Announcer(log, tops, clock, interval=1.0, idle=5.0).run(term))
    await until(lambda: clock.monotonic() >= 20)
    running.cancel()
    assert log.told == []
