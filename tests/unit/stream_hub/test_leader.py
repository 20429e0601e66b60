"""The work of one term, on a log, a history and facts that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NoReturn, cast

import pytest

from hubbub.clock import FakeClock, SystemClock
from hubbub.contracts.base import Event
from hubbub.contracts.event_log import Watermark, decode_control
from services.stream_hub import domain
from services.stream_hub import leader as leader_module
from services.stream_hub.domain import Change, Decision
from services.stream_hub.feed import Feed, Position, Read
from services.stream_hub.jetstream import Entry, LogFull, LogState, LogUnavailable
from services.stream_hub.knowledge import Facts, Knowledge
from services.stream_hub.leader import Leader
from services.stream_hub.leadership import Leadership
from services.stream_hub.publisher import LogChanged
from services.stream_hub.service import take_turns
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import StoreError
from services.stream_hub.term import LeadershipLost
from tests.unit.stream_hub.fakes import FakeLeaseStore, FakeLog, metrics, position
from tests.waiting import eventually

SETTINGS = StreamHubSettings(
    acknowledge_timeout=0.05,
    log_silence=0.05,
    log_patience=1.0,
    lease_ttl=60,
    watermark_interval=0.02,
    watermark_idle=0.02,
)


class _History:
    """Changes that a test puts into it."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Read] = asyncio.Queue()

    async def present(self) -> Position:
        return position(0)

    async def run(self, position: Position, feed: Feed) -> NoReturn:
        while True:
            feed.put(await self.waiting.get())

    def tell(self, number: int, *, message: Any = "hello") -> None:
        document = {"_id": f"m{number}", "rid": "r1", "msg": message, "u": {"_id": "u1"}}
        place = position(number)
        change = Change(place.token, "insert", "rocketchat_message", document["_id"], document)
        self.waiting.put_nowait(Read(place, change))

    def edit(self, number: int, text: str) -> None:
        """The one message that is always edited."""
        document = {"_id": "edited", "rid": "r1", "msg": text, "u": {"_id": "u1"}}
        place = position(number)
        change = Change(
            place.token,
            "update",
            "rocketchat_message",
            document["_id"],
            document,
            changed=("msg", "editedAt"),
        )
        self.waiting.put_nowait(Read(place, change))


class _Facts:
    """A database that knows one room."""

    def __init__(self) -> None:
        self.away = 0

    async def room_facts(self, room_ids: Iterable[str]) -> dict[str, Any]:
        return {}

    async def hidden_types(self) -> frozenset[str]:
        return frozenset()

    async def erasure(self) -> str:
        return "Delete"

    async def real_names(self) -> bool:
        if self.away:
            self.away -= 1
            raise StoreError("away")
        return False


class _Teller:
    async def publish(self, event: Event) -> None:
        return None


@dataclass
class _Stage:
    log: FakeLog = field(default_factory=FakeLog)
    history: _History = field(default_factory=_History)
    facts: _Facts = field(default_factory=_Facts)
    store: FakeLeaseStore = field(default_factory=lambda: FakeLeaseStore(FakeClock()))
    metrics: Any = field(default_factory=metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.leadership = Leadership(
            self.store, SETTINGS, holder="me", clock=clock, metrics=self.metrics
        )
        self.leader = Leader(
            self.log,
            self.history,
            Knowledge(cast("Facts", self.facts), limit=100),
            self.leadership,
            _Teller(),
            SETTINGS,
            clock=clock,
            metrics=self.metrics,
        )

    async def lead(self) -> None:
        """One term."""
        term = await self.leadership.acquire()
        async with asyncio.timeout(20):
            await self.leader.lead(term, self.stopping)

    async def turns(self) -> None:
        """Term after term."""
        await take_turns(self.leadership, self.leader, self.stopping, SystemClock(), 0.01)

    def ended(self, reason: str) -> float:
        return float(self.metrics.terms_ended.labels(reason)._value.get())

    def resyncs(self, reason: str) -> float:
        return float(self.metrics.resyncs.labels(reason)._value.get())

    def ids(self) -> list[str]:
        return [entry.event_id for entry in self.log.entries if entry.marker is None]


async def test_changes_become_events_behind_the_marker() -> None:
    stage = _Stage()
    leading = asyncio.ensure_future(stage.lead())
    stage.history.tell(1)
    stage.history.tell(2)
    await eventually(lambda: len(stage.ids()) == 2)
    assert stage.log.entries[0].marker is not None
    stage.stopping.set()
    await leading


async def test_two_edits_that_are_read_together_are_one_event() -> None:
    """Each of them shows the message as the second one left it."""
    stage = _Stage()
    leading = asyncio.ensure_future(stage.lead())
    stage.history.edit(1, "now")
    stage.history.edit(2, "now")
    stage.history.tell(3)
    await eventually(lambda: len(stage.ids()) == 2)
    assert [one.partition(":")[0] for one in stage.ids()] == [position(1).token, position(3).token]
    assert stage.metrics.skipped.labels("repeated")._value.get() == 1
    stage.stopping.set()
    await leading


async def test_a_change_that_no_rule_can_decide_is_passed_over_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would stop every hub that comes to it, one after another."""
    decide = domain.decide

    def fails(change: Change, known: Any) -> Decision:
        if change.id == "m2":
            raise TypeError("of a kind that nobody foresaw")
        return decide(change, known)

    monkeypatch.setattr(leader_module, "decide", fails)
    stage = _Stage()
    leading = asyncio.ensure_future(stage.lead())
    for number in (1, 2, 3):
        stage.history.tell(number)
    await eventually(lambda: len(stage.ids()) == 2)
    marks = [entry.marker for entry in stage.log.entries if entry.marker is not None]
    assert [mark.resync for mark in marks] == [False, True]
    assert [entry.marker is not None for entry in stage.log.entries] == [True, False, True, False]
    assert stage.metrics.poison._value.get() == 1
    assert stage.resyncs("poison") == 1
    stage.stopping.set()
    await leading


class _Named(FakeLog):
    """Remembers in turn how the log was called, and by what."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[tuple[str, str]] = []

    def put(self, entry: Entry) -> None:
        super().put(entry)
        if entry.marker is not None:
            self.names.append((entry.marker.log_epoch, "marker"))

    async def tell(self, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        mark = decode_control(payload)
        assert isinstance(mark, Watermark)
        self.names.append((mark.log_epoch, "watermark"))


async def test_for_one_gap_clients_load_anew_once() -> None:
    """They do so for each new name that they hear, and for a marker that says so: it has to be
    the first to say the name, and nobody may say the old one behind it."""
    log = _Named()
    stage = _Stage(log=log)
    leading = asyncio.ensure_future(stage.lead())
    await eventually(lambda: (stage.store.log.epoch, "watermark") in log.names)
    before = stage.store.log
    # What it has to look up and the marker's acknowledgement both take longer than usual.
    stage.facts.away = 4
    log.before = lambda _, entry: "unacknowledged" if entry.marker is not None else ""
    stage.history.waiting.put_nowait(Read(position(1), gap="lost"))
    after = replace(before, breaks=before.breaks + 1).epoch
    await eventually(lambda: (after, "watermark") in log.names)
    stage.stopping.set()
    await leading
    said = [next(group) for _, group in groupby(log.names, key=itemgetter(0))]
    assert said == [(before.epoch, "marker"), (after, "marker")]
    assert stage.facts.away == 0


async def test_a_gap_is_given_a_name_when_all_is_known_that_telling_it_needs() -> None:
    """Else a successor would begin under the new name, find the same gap, and name it again."""
    stage = _Stage()
    leading = asyncio.ensure_future(stage.lead())
    await eventually(lambda: bool(stage.log.entries))
    before, stage.facts.away = stage.store.log, 10_000
    stage.history.waiting.put_nowait(Read(position(1), gap="lost"))
    await eventually(lambda: stage.facts.away < 9_998)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert stage.store.log == before


async def test_facts_that_cannot_be_looked_up_yet_are_waited_for() -> None:
    stage = _Stage()
    stage.facts.away = 3
    leading = asyncio.ensure_future(stage.lead())
    stage.history.tell(1)
    await eventually(lambda: len(stage.ids()) == 1)
    stage.stopping.set()
    await leading


@pytest.mark.parametrize("how", ["truncated", "rewritten"])
async def test_a_log_that_lost_its_end_under_a_leader_gets_another_name(how: str) -> None:
    """Its successor could not see it: the log may have grown beyond the checkpoint again."""
    stage = _Stage()
    leading = asyncio.ensure_future(stage.lead())
    for number in range(1, 11):
        stage.history.tell(number)
    await eventually(lambda: len(stage.ids()) == 10)
    if how == "truncated":
        del stage.log.entries[5:]
    else:
        stage.log.entries[-1] = stage.log.entries[-1]._replace(event_id="other")
    before = stage.store.log
    stage.leader.doubt()
    with pytest.raises(ExceptionGroup) as caught:
        await leading
    assert caught.group_contains(LogChanged, match=how)
    assert stage.store.log == replace(before, breaks=before.breaks + 1)
    assert stage.resyncs(how) == 1


class _Full(FakeLog):
    async def prepare(self, epoch: int) -> LogState:
        raise LogFull("insufficient storage resources available")


async def test_a_log_that_cannot_even_be_made_is_waited_for_visibly() -> None:
    stage = _Stage(log=_Full())
    leading = asyncio.ensure_future(stage.lead())
    await eventually(lambda: stage.metrics.log_wait.seconds() > 0.1)
    assert stage.metrics.refusals.labels("storage")._value.get() >= 1
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert stage.metrics.log_wait.seconds() == 0.0


class _Wedged(FakeLog):
    """Looks well, and takes nothing, until it is made anew."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage
        self.deleted = 0

    async def delete(self) -> None:
        await super().delete()
        self.deleted += 1
        self.stage = ""
        self.created = "later"

    async def prepare(self, epoch: int) -> LogState:
        if self.stage == "prepare":
            raise LogUnavailable("no leader")
        return await super().prepare(epoch)

    async def append_now(self, audience: str, payload: bytes, headers: dict[str, str]) -> int:
        if self.stage == "mark":
            raise LogUnavailable("no answer")
        return await super().append_now(audience, payload, headers)

    def append(self, number: int, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        if self.stage != "append":
            super().append(number, audience, payload, headers)


@pytest.mark.parametrize("where", ["prepare", "mark", "append"])
async def test_a_log_that_takes_nothing_for_long_is_made_anew(where: str) -> None:
    """It is a cache, and may stay as it is for ever."""
    log = _Wedged(where)
    stage = _Stage(log=log)
    turning = asyncio.ensure_future(stage.turns())
    stage.history.tell(1)
    await eventually(lambda: log.deleted == 1, within=20)
    stage.history.tell(2)
    await eventually(lambda: len(stage.ids()) >= 1, within=20)
    assert stage.ended("wedged") == (0 if where == "prepare" else 1)
    if where == "append":
        assert stage.resyncs("recreated") == 1
    stage.stopping.set()
    await turning


async def test_who_cannot_reach_nats_gives_the_lease_back() -> None:
    stage = _Stage()
    stage.log.away, stage.log.cut_off = 10_000, True
    with pytest.raises(ExceptionGroup) as caught:
        await stage.lead()
    assert caught.group_contains(LeadershipLost, match="cut_off")


async def test_the_end_of_a_term_is_counted_by_its_reason() -> None:
    stage = _Stage()

    turning = asyncio.ensure_future(stage.turns())
    await eventually(lambda: len(stage.log.entries) == 1)
    stage.log.away, stage.log.cut_off = 10_000, True
    stage.leader.doubt()
    await eventually(lambda: stage.ended("cut_off") == 1)
    stage.log.away, stage.log.cut_off = 0, False
    await eventually(lambda: len(stage.log.entries) == 2)
    stage.stopping.set()
    await turning
    assert stage.ended("stopped") == 1
    assert stage.ended("cut_off") == 1
