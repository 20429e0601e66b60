"""The publisher and its recovery, on a log that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hubbub.clock import SystemClock
from hubbub.contracts.event_log import (
    Audience,
    Epochs,
    EventsMissing,
    Header,
    decode_control,
)
from hubbub.tasks import owned
from services.stream_hub.jetstream import Entry, LogState
from services.stream_hub.publisher import LogChanged, Publisher
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import Checkpoint
from services.stream_hub.takeover import Beginning, Seen
from services.stream_hub.term import LeadershipLost, Term
from services.stream_hub.watermark import Tops
from tests.unit.stream_hub.fakes import (
    FakeLog,
    event,
    marker_entry,
    marker_payload,
    metrics,
    position,
    term_of,
)
from tests.waiting import eventually

SETTINGS = StreamHubSettings(window=20, acknowledge_timeout=0.05)
BASE = Checkpoint({"_data": "base"}, 0, "", 4)


def _publisher(
    log: FakeLog, term: Term, *, seen: Seen | None = None, base: Checkpoint = BASE
) -> Publisher:
    if not log.entries:
        log.put(marker_entry(0, term.epoch)._replace(event_id="!mine"))
    return Publisher(
        log,
        term,
        Beginning("created", log.last, log.entries[-1].event_id, base, seen or Seen()),
        SETTINGS,
        clock=SystemClock(),
        metrics=metrics(),
        tops=Tops(),
        vary=lambda: 0.1,
    )


@asynccontextmanager
async def _running(log: FakeLog, term: Term) -> AsyncIterator[Publisher]:
    publisher = _publisher(log, term)
    try:
        async with owned(publisher.run()):
            yield publisher
    finally:
        publisher.close()


async def _submit(publisher: Publisher, first: int, last: int, events: int = 1) -> None:
    for number in range(first, last + 1):
        made = [event(f"{number}.{index}") for index in range(events)]
        await publisher.submit(position(number), made, committed=1, read_at=0.0)


def _ids(first: int, last: int) -> list[str]:
    return [f"{position(number).token}:0" for number in range(first, last + 1)]


def _valid(log: FakeLog, epoch: int = 5) -> list[str]:
    return [entry.event_id for entry in log.entries if entry.epoch == epoch][1:]


async def test_events_stand_in_order_each_once() -> None:
    log, term = FakeLog(), term_of()
    async with _running(log, term) as publisher:
        await _submit(publisher, 1, 100)
        assert await publisher.drain(1.0)
    assert _valid(log) == _ids(1, 100)
    assert term.checkpoint == Checkpoint(position(100).document, log.last, _ids(100, 100)[0], 5)


async def test_no_more_than_the_window_is_on_its_way() -> None:
    log = FakeLog()
    log.before = lambda number, entry: "lost"
    async with _running(log, term_of()) as publisher:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await _submit(publisher, 1, 100)
        assert publisher.unacknowledged == SETTINGS.window
        assert len(log.appended) == SETTINGS.window


async def test_the_checkpoint_waits_for_the_whole_change() -> None:
    """Half a change in the log is not behind the checkpoint: its successor must see it."""
    log, term = FakeLog(), term_of()
    last = f"{position(2).token}:2"
    log.before = lambda number, entry: "lost" if entry.event_id == last else ""
    async with _running(log, term) as publisher:
        await _submit(publisher, 1, 2, events=3)
        await eventually(lambda: publisher.unacknowledged == 1)
        assert term.checkpoint.token == position(1).document
        assert term.checkpoint.sequence == 4
        assert term.checkpoint.event_id == f"{position(1).token}:2"


async def test_changes_without_events_move_the_checkpoint_in_their_turn() -> None:
    log, term = FakeLog(), term_of()
    async with _running(log, term) as publisher:
        publisher.pass_over(position(1))
        assert term.checkpoint.token == position(1).document
        await _submit(publisher, 2, 2)
        publisher.pass_over(position(3))
        assert term.checkpoint.token == position(1).document
        assert await publisher.drain(1.0)
        assert term.checkpoint.token == position(3).document
        assert term.checkpoint.event_id == _ids(2, 2)[0]


@pytest.mark.parametrize("fate", ["lost", "unacknowledged", "refused"])
async def test_one_mishap_in_the_middle(fate: str) -> None:
    log, hit = FakeLog(), set[str]()

    def before(number: int, entry: Entry) -> str:
        if entry.event_id == _ids(50, 50)[0] and fate not in hit:
            hit.add(fate)
            return fate
        return ""

    log.before = before
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 100)
        assert await publisher.drain(2.0)
    assert hit
    assert _valid(log) == _ids(1, 100)


async def test_many_mishaps() -> None:
    log = FakeLog()
    fates = {7: "lost", 8: "lost", 31: "unacknowledged", 32: "refused", 60: "unacknowledged"}
    log.before = lambda number, entry: fates.get(number, "") if number < 150 else ""
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 100)
        assert await publisher.drain(3.0)
    assert _valid(log) == _ids(1, 100)


async def test_a_stale_hubs_events_in_between_are_stepped_over() -> None:
    log = FakeLog()

    def before(number: int, entry: Entry) -> str:
        if number in (10, 60):
            for index in range(2 * SETTINGS.window):
                log.put(Entry(0, Audience("room.r1"), 4, f"stale:{number}:{index}", None))
        return ""

    log.before = before
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 100)
        assert await publisher.drain(2.0)
    assert _valid(log) == _ids(1, 100)
    assert len(_valid(log, 4)) == 4 * SETTINGS.window - 1


async def test_being_overtaken_by_chance_is_noticed() -> None:
    """One stale event in between takes the place of one of ours, and the next of ours fits
    again: the chain of expected sequences cannot prevent it, so it must be seen."""
    log = FakeLog()

    def before(number: int, entry: Entry) -> str:
        if number == 10:
            log.put(Entry(0, Audience("room.r1"), 4, "stale", None))
        return ""

    log.before = before
    with pytest.raises(ExceptionGroup) as caught:
        async with _running(log, term_of()) as publisher:
            await _submit(publisher, 1, 60)
    assert caught.group_contains(LogChanged, match="overtaken")


async def test_a_higher_marker_ends_the_leadership() -> None:
    log, term = FakeLog(), term_of()

    def before(number: int, entry: Entry) -> str:
        if number == 10:
            log.put(marker_entry(0, 6))
        return ""

    log.before = before
    with pytest.raises(ExceptionGroup) as caught:
        async with _running(log, term) as publisher:
            await _submit(publisher, 1, 60)
    assert caught.group_contains(LeadershipLost, match="superseded")
    assert not term.held
    epochs = Epochs()
    epochs.mark(6, 11)
    counting = [e.event_id for e in log.entries[1:] if epochs.counts(e.epoch, e.sequence)]
    assert counting[:9] == _ids(1, 9)
    assert counting[9:] == ["!6:x"]


@pytest.mark.parametrize(("epoch", "raised"), [(6, LeadershipLost), (4, LogChanged)])
async def test_a_log_that_takes_anothers_events(epoch: int, raised: type[Exception]) -> None:
    log = FakeLog()
    log.epoch = epoch
    log.before = lambda number, entry: "refused"
    with pytest.raises(ExceptionGroup) as caught:
        async with _running(log, term_of()) as publisher:
            await _submit(publisher, 1, 60)
    assert caught.group_contains(raised)


async def test_a_lease_that_ran_out_stops_before_the_next_publish() -> None:
    log, term = FakeLog(), term_of()
    publisher = _publisher(log, term)
    await _submit(publisher, 1, 3)
    term.end("expired")
    with pytest.raises(LeadershipLost):
        await _submit(publisher, 4, 4)
    assert len(log.appended) == 3
    publisher.close()


async def test_a_log_that_does_not_answer_is_asked_with_pauses() -> None:
    log = FakeLog()
    log.away = 4
    log.before = lambda number, entry: "refused" if number <= 5 else ""
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 30)
        assert await publisher.drain(2.0)
    assert log.away == 0
    assert _valid(log) == _ids(1, 30)


async def test_endless_refusals_do_not_spin() -> None:
    log = FakeLog()
    log.before = lambda number, entry: "refused"
    async with _running(log, term_of()) as publisher:
        submitting = asyncio.ensure_future(_submit(publisher, 1, 5))
        await asyncio.sleep(0.5)
        submitting.cancel()
    # Pauses of 5, 10, 20, … ms (a tenth of the nominal ones): a few dozen rounds at most.
    assert len(log.appended) < 5 * 40


@pytest.mark.parametrize("how", ["missing", "recreated", "truncated", "rewritten"])
async def test_a_log_that_lost_its_past_must_be_taken_over_again(how: str) -> None:
    log = FakeLog()

    async def work() -> None:
        async with _running(log, term_of()) as publisher:
            await _submit(publisher, 1, 10)
            assert await publisher.drain(1.0)
            if how == "missing":
                log.missing = True
            elif how == "recreated":
                log.created = "later"
            elif how == "truncated":
                del log.entries[5:]
            else:
                log.entries[-1] = log.entries[-1]._replace(event_id="other")
            publisher.doubt()
            await asyncio.sleep(1.0)

    with pytest.raises(ExceptionGroup) as caught:
        await work()
    assert caught.group_contains(LogChanged, match=how)


class _Thawing(FakeLog):
    """Stood still: its answers are older than the acknowledgements that come with them."""

    def __init__(self, overtaken: str) -> None:
        super().__init__()
        self._overtaken = overtaken
        self.held: list[tuple[int, int]] = []  # acknowledgements: number, sequence

    def _thaw(self, what: str) -> None:
        if what == self._overtaken:
            held, self.held = self.held, []
            for number, sequence in held:
                self._tell(number, sequence, "")

    async def state(self) -> LogState:
        state = await super().state()
        if self._overtaken == "state" and self.held:
            state = state._replace(last=self.held[0][1] - 1)
        self._thaw("state")
        return state

    async def read(self, first: int, last: int) -> list[Entry]:
        entries = await super().read(first, last)
        self._thaw("read")
        return entries


@pytest.mark.parametrize("overtaken", ["state", "read"])
async def test_late_acknowledgements_are_no_damage(overtaken: str) -> None:
    """They may arrive between a question about the log and its answer."""
    log = _Thawing(overtaken)

    def freeze(number: int, entry: Entry) -> str:
        if not 4 <= number <= 8:
            return ""
        log.held.append((number, entry.sequence))
        return "unacknowledged"

    log.before = freeze
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 8)
        assert await publisher.drain(1.0)
        await _submit(publisher, 9, 20)
        assert await publisher.drain(1.0)
    assert not log.held
    assert _valid(log) == _ids(1, 20)


async def test_a_reconnect_without_damage_goes_on() -> None:
    log = FakeLog()
    async with _running(log, term_of()) as publisher:
        for number in range(1, 60):
            await _submit(publisher, number, number)
            if number % 7 == 0:
                publisher.doubt()
        assert await publisher.drain(2.0)
    assert _valid(log) == _ids(1, 59)


async def test_what_is_in_the_log_already_is_not_sent_again() -> None:
    log, term = FakeLog(), term_of()
    seen = Seen({_ids(1, 1)[0], f"{position(2).token}:0"}, position(2).token)
    base = Checkpoint({"_data": "base"}, 40, "old", 4)
    publisher = _publisher(log, term, seen=seen, base=base)
    async with owned(publisher.run()):
        await _submit(publisher, 1, 1)
        assert log.appended == []
        # Its successor has to look behind the same place of the log again.
        assert term.checkpoint == Checkpoint(position(1).document, 40, "old", 4)
        await _submit(publisher, 2, 2, events=2)
        await _submit(publisher, 3, 3)
        assert await publisher.drain(1.0)
    publisher.close()
    assert _valid(log) == [f"{position(2).token}:1", *_ids(3, 3)]
    assert term.checkpoint == Checkpoint(position(3).document, log.last, _ids(3, 3)[0], 5)


async def test_an_event_too_large_for_nats_is_said_to_be_missing_in_its_place() -> None:
    log, term = FakeLog(), term_of()
    log.max_payload = 20_000
    large = event("x" * 30_000)
    large.headers[Header.ROOM_TYPE] = "c"
    async with _running(log, term) as publisher:
        await publisher.submit(position(1), [large], read_at=0.0)
        await _submit(publisher, 2, 3)
        assert await publisher.drain(1.0)
    assert _valid(log) == _ids(1, 3)
    assert log.entries[1].audience == "room.r1"
    assert decode_control(log.payloads[1]) == EventsMissing(reason="too-large")
    assert log.headers[1][Header.ROOM_TYPE] == "c"
    assert term.checkpoint.token == position(3).document


@pytest.mark.parametrize("fate", ["refused", "full"])
async def test_while_the_log_takes_nothing_the_wait_grows(fate: str) -> None:
    """And goes back to nothing with the first event that is taken."""
    log = FakeLog()
    log.before = lambda number, entry: fate if number < 20 else ""
    async with _running(log, term_of()) as publisher:
        assert publisher.waited() == 0.0
        await _submit(publisher, 1, 5)
        await eventually(lambda: publisher.waited() > 0.02)
        assert await publisher.drain(5.0)
        assert publisher.waited() == 0.0
    assert _valid(log) == _ids(1, 5)


async def test_a_log_that_does_not_answer_on_a_nats_that_does_is_waited_for() -> None:
    """Nobody else would fare better while JetStream elects a leader."""
    log = FakeLog()
    log.away = 12
    log.before = lambda number, entry: "lost" if number <= 5 else ""
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 5)
        assert await publisher.drain(10.0)
    assert log.away == 0
    assert _valid(log) == _ids(1, 5)


async def test_a_marker_in_the_flow_is_an_event_like_others() -> None:
    log = FakeLog()
    marker = event(audience="control")._replace(payload=marker_payload(5))
    lost = {f"{position(2).token}:gap0"}

    def before(number: int, entry: Entry) -> str:
        if entry.event_id in lost:
            lost.clear()
            return "unacknowledged"
        return ""

    log.before = before
    async with _running(log, term_of()) as publisher:
        await _submit(publisher, 1, 1)
        await publisher.submit(position(2), [marker], read_at=0.0, label="gap")
        await _submit(publisher, 3, 9)
        assert await publisher.drain(2.0)
    assert _valid(log) == [*_ids(1, 1), f"{position(2).token}:gap0", *_ids(3, 9)]
