"""Reading what was missed: all of it or nothing, at a bearable pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hubbub.clock import SystemClock
from hubbub.contracts.event_log import Audience, room_audience
from services.ddp_streamer.audiences.interest import Interest
from services.ddp_streamer.audiences.log import LogState, LogUnavailable, Read
from services.ddp_streamer.audiences.replay import Limits, Replay, SharedReads, Unrecoverable
from services.ddp_streamer.audiences.state import SharedState
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.stage import message_event
from tests.waiting import eventually

ROOM = room_audience("R1")


class FakeLog:
    """A log of one room, in batches of ten."""

    def __init__(self, *sequences: int) -> None:
        self.events = [message_event("R1", f"m{sequence}", sequence) for sequence in sequences]
        self.state_now = LogState("then", 1, max(sequences, default=0))
        self.asked: list[tuple[Audience, int]] = []
        self.running = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False
        self.states = 0
        self.state_gate = asyncio.Event()
        self.state_gate.set()

    async def behind(self, audience: Audience, sequence: int) -> Read:
        self.asked.append((audience, sequence))
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        if self.away:
            raise LogUnavailable("away")
        events = [event for event in self.events if event.sequence > sequence]
        return Read(events[:10], len(events) <= 10)

    async def state(self) -> LogState:
        self.states += 1
        answer = self.state_now
        await self.state_gate.wait()
        if self.away:
            raise LogUnavailable("away")
        return answer


class Bench:
    def __init__(self, log: FakeLog, tasks: Tasks) -> None:
        self.log = log
        self.reads = SharedReads(log, tasks=tasks)  # type: ignore[arg-type]
        self.interest = Interest(ROOM)

    def open(self, top: int) -> None:
        self.interest.opened.set_result(None)
        self.interest.chain.start(top)

    def replay(self, since: int, **more: Any) -> Replay:
        options: dict[str, Any] = {
            "created": "then",
            "wanted": lambda event: True,
            "limits": Limits(300, 1_000_000),
            "clock": SystemClock(),
        }
        return Replay(self.reads, self.interest, since, **{**options, **more})


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks() as running:
        yield running


async def why(replay: Replay) -> str:
    with pytest.raises(Unrecoverable) as reason:
        await replay.catch_up()
    return reason.value.why


def places(replay: Replay) -> list[int]:
    return [event.sequence for event in replay.events]


async def test_everything_up_to_what_has_passed_and_nothing_more(tasks: Tasks) -> None:
    bench = Bench(FakeLog(*range(1, 50, 2)), tasks)
    bench.open(41)
    replay = bench.replay(7)
    await replay.catch_up()
    assert places(replay) == list(range(9, 42, 2))
    assert replay.reached == 41
    bench.interest.chain.take(replace(bench.log.events[21], last_sequence=41))
    await replay.catch_up()
    assert places(replay)[-2:] == [41, 43]


async def test_who_has_the_last_event_costs_no_reading(tasks: Tasks) -> None:
    bench = Bench(FakeLog(1, 2, 3), tasks)
    bench.open(3)
    await bench.replay(3).catch_up()
    assert bench.log.asked == []


async def test_a_client_that_is_further_than_the_room_has_missed_nothing(tasks: Tasks) -> None:
    bench = Bench(FakeLog(1, 2), tasks)
    bench.log.state_now = LogState("then", 2, 90)
    bench.open(2)
    replay = bench.replay(80)
    await replay.catch_up()
    assert (places(replay), replay.reached) == ([], 80)


async def test_a_room_without_events_proves_nothing_of_what_the_log_has_dropped(
    tasks: Tasks,
) -> None:
    bench = Bench(FakeLog(), tasks)
    bench.open(0)
    bench.log.state_now = LogState("then", 50, 90)
    assert await why(bench.replay(48)) == "too_old"
    await bench.replay(49).catch_up()


@pytest.mark.parametrize(
    ("state", "since", "reason"),
    [
        (LogState("then", 9, 20), 7, "too_old"),
        (LogState("later", 1, 20), 7, "epoch_changed"),
        (LogState("then", 1, 20), 21, "epoch_changed"),
    ],
)
async def test_the_log_itself_is_looked_at(
    tasks: Tasks, state: LogState, since: int, reason: str
) -> None:
    bench = Bench(FakeLog(10, 20), tasks)
    bench.log.state_now = state
    bench.open(20)
    assert await why(bench.replay(since)) == reason


async def test_the_oldest_position_that_can_be_gone_on_from(tasks: Tasks) -> None:
    bench = Bench(FakeLog(10, 20), tasks)
    bench.log.state_now = LogState("then", 8, 20)
    bench.open(20)
    replay = bench.replay(7)
    await replay.catch_up()
    assert places(replay) == [10, 20]


async def test_more_than_is_allowed_is_nothing(tasks: Tasks) -> None:
    bench = Bench(FakeLog(*range(1, 40)), tasks)
    bench.open(39)
    size = sum(len(event.payload) for event in bench.log.events)
    assert await why(bench.replay(0, limits=Limits(38, size))) == "too_many"
    assert await why(bench.replay(0, limits=Limits(39, size - 1))) == "too_many"
    await bench.replay(0, limits=Limits(39, size)).catch_up()


async def test_a_lost_audience_is_not_gone_on_with(tasks: Tasks) -> None:
    bench = Bench(FakeLog(1, 2), tasks)
    bench.open(2)
    replay = bench.replay(1)
    bench.interest.reset()
    bench.open(2)
    assert await why(replay) == "failed"


async def test_a_log_that_does_not_answer(tasks: Tasks) -> None:
    bench = Bench(FakeLog(1, 2), tasks)
    bench.open(2)
    bench.log.away = True
    assert await why(bench.replay(1)) == "failed"


async def test_those_who_miss_the_same_share_a_reading(tasks: Tasks) -> None:
    bench = Bench(FakeLog(1, 2, 3), tasks)
    bench.open(3)
    bench.log.gate.clear()
    replays = [bench.replay(1) for _ in range(200)]
    waiting = [asyncio.create_task(replay.catch_up()) for replay in replays]
    await eventually(lambda: bool(bench.log.asked))
    waiting.pop().cancel()  # its going harms nobody
    bench.log.gate.set()
    await asyncio.gather(*waiting)
    assert all(places(replay) == [2, 3] for replay in replays[:-1])
    assert len(bench.log.asked) == 1


async def test_the_state_of_the_log_is_asked_for_once_in_a_burst(tasks: Tasks) -> None:
    bench = Bench(FakeLog(*range(1, 101)), tasks)
    bench.open(100)
    bench.log.state_gate.clear()
    replays = [bench.replay(since) for since in range(90, 100)]
    waiting = [asyncio.create_task(replay.catch_up()) for replay in replays]
    await eventually(lambda: len(bench.log.asked) == 10 and not bench.log.running)
    bench.log.state_gate.set()
    await asyncio.gather(*waiting)
    assert bench.log.states <= 2  # for the first one, and for all the others
    assert [len(replay.events) for replay in replays] == list(range(10, 0, -1))


async def test_no_state_of_the_log_is_older_than_what_was_read(tasks: Tasks) -> None:
    """Else it would not prove that nothing had gone when that was read."""
    log = FakeLog(*range(1, 101))
    state = SharedState(log, tasks=tasks)
    log.state_gate.clear()
    first = asyncio.create_task(state.now())
    await eventually(lambda: log.states == 1)
    log.state_now = LogState("then", 50, 100)
    later = [asyncio.create_task(state.now()) for _ in range(3)]
    await asyncio.sleep(0.01)
    later.pop().cancel()  # its going harms nobody
    log.state_gate.set()
    assert (await first).first == 1
    assert [one.first for one in await asyncio.gather(*later)] == [50, 50]
    log.away = True
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await state.now()
    log.away = False
    assert (await state.now()).first == 50
    assert log.states == 5


async def test_few_read_beside_each_other(tasks: Tasks) -> None:
    bench = Bench(FakeLog(*range(1, 101)), tasks)
    bench.open(100)
    bench.log.gate.clear()
    replays = [bench.replay(since) for since in range(100)]
    waiting = [asyncio.create_task(replay.catch_up()) for replay in replays]
    await eventually(lambda: bench.log.running == 8)
    bench.log.gate.set()
    await asyncio.gather(*waiting)
    assert bench.log.most == 8
