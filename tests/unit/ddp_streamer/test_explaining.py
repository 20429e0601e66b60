"""What became of a message on a connection, from what is remembered."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ids import UserId
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.explaining import Listening, Recall, Spell, judge
from services.ddp_streamer.fanout.people import People
from services.ddp_streamer.recent import (
    FOREVER,
    REPLAYED,
    WILDCARD,
    Instant,
    Passing,
    Receipts,
    Recent,
    Turn,
)
from tests.unit.ddp_streamer.fakes import Client
from tests.unit.ddp_streamer.stage import message_event

ROOM = "R1"
TOPIC = ("room-messages", ROOM)
ALL = ("room-messages", "__my_messages__")


def at(step: int) -> Instant:
    """Steps are a second apart."""
    return Instant(step, float(step))


def passing(step: int = 10, *, done: int | None = None, flags: int = 0) -> Passing:
    """An event at sequence 100, handed out at `step`, half a second after that step."""
    return (100, step, done or step, step + 0.5, 1, flags)


def spell(*listened: Listening, until: Instant = FOREVER, **receipts: Any) -> Spell:
    return Spell("c1", at(1), until, Receipts()._replace(**receipts), listened)


def turn(sequence: int, *, inside: bool = False, **written: float) -> Turn:
    return Turn("ana", ROOM, sequence, inside, written)


LISTENS = Listening(TOPIC, at(2))
FOLLOWS_ALL = Listening(ALL, at(2))


@pytest.mark.parametrize(
    ("one", "event", "turns", "expected"),
    [
        pytest.param(spell(LISTENS), passing(), [], ("delivered", ""), id="delivered"),
        pytest.param(spell(FOLLOWS_ALL), passing(), [], ("delivered", ""), id="all rooms"),
        pytest.param(
            spell(LISTENS), passing(flags=REPLAYED), [], ("recovered", ""), id="recovered"
        ),
        pytest.param(
            spell(Listening(TOPIC, at(11))), passing(), [], ("not_subscribed", "unsubscribed"),
            id="subscribed later",
        ),
        pytest.param(
            spell(Listening(TOPIC, at(2), at(9))), passing(), [],
            ("not_subscribed", "unsubscribed"), id="unsubscribed before",
        ),
        pytest.param(
            spell(Listening(TOPIC, at(2), at(12))), passing(done=14), [],
            ("filtered", "unsubscribed"), id="unsubscribed in between",
        ),
        pytest.param(
            spell(Listening(TOPIC, at(2), at(9), refused=True)), passing(), [],
            ("filtered", "no_permission"), id="lost the right",
        ),
        pytest.param(
            spell(Listening(TOPIC, at(2), at(9), refused=True)), passing(), [turn(90)],
            ("filtered", "not_member"), id="lost the room",
        ),
        pytest.param(
            spell(FOLLOWS_ALL), passing(), [turn(90)], ("filtered", "not_member"),
            id="lost the room, follows all",
        ),
        pytest.param(
            spell(FOLLOWS_ALL), passing(), [turn(90), turn(95, inside=True)], ("delivered", ""),
            id="lost the room and came back",
        ),
        pytest.param(
            spell(FOLLOWS_ALL), passing(), [turn(101)], ("delivered", ""), id="lost it later"
        ),
        pytest.param(
            spell(LISTENS), passing(flags=WILDCARD), [], ("not_subscribed", "unsubscribed"),
            id="the wildcard is for those who follow all",
        ),
        pytest.param(
            spell(LISTENS), passing(), [turn(101, c1=10.2)], ("filtered", "not_member"),
            id="lost the room while it was queued",
        ),
        pytest.param(
            Spell("c1", at(11), listened=[LISTENS]), passing(), [],
            ("not_connected", "opened_later"), id="opened later",
        ),
        pytest.param(
            spell(LISTENS, until=at(10), cause="ping_timeout"), passing(), [],
            ("not_connected", "ping_timeout"), id="ended before",
        ),
        pytest.param(
            spell(LISTENS, until=at(12), closing_at=10.1, cause="drain"), passing(), [],
            ("not_connected", "drain"), id="was closing",
        ),
        pytest.param(
            spell(LISTENS, until=at(12), written_until=10.2, closing_at=11.0, cause="slow"),
            passing(), [], ("dropped", "slow_client"), id="slow",
        ),
        pytest.param(
            spell(LISTENS, until=at(12), written_until=10.2, cause="client"), passing(), [],
            ("dropped", "client"), id="gone with it unsent",
        ),
        pytest.param(
            spell(LISTENS, until=at(12), written_until=10.9, cause="slow"), passing(), [],
            ("delivered", ""), id="slow, but written before",
        ),
    ],
)  # fmt: skip
def test_judged(one: Spell, event: Passing, turns: list[Turn], expected: tuple[str, str]) -> None:
    """With an event that was handed out."""
    judged = judge(one, ROOM, event, turns, 10.5)
    assert (judged.outcome, judged.reason) == expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(spell(LISTENS), ("unknown", "not_arrived"), id="listened"),
        pytest.param(spell(), ("not_subscribed", "unsubscribed"), id="did not listen"),
        pytest.param(Spell("c1", at(11)), ("not_connected", "opened_later"), id="later"),
        pytest.param(
            spell(LISTENS, until=at(3), cause="client"), ("not_connected", "client"), id="before"
        ),
    ],
)
def test_an_event_that_did_not_come(one: Spell, expected: tuple[str, str]) -> None:
    """Only times can be compared."""
    judged = judge(one, ROOM, None, [], 10.5)
    assert (judged.outcome, judged.reason) == expected


@pytest.mark.parametrize(
    ("receipts", "written", "acknowledged"),
    [
        pytest.param({}, True, False, id="written"),
        pytest.param({"pinged_at": 11.0, "answered_at": 11.2}, True, True, id="pinged since"),
        pytest.param({"pinged_at": 9.0, "answered_at": 11.2}, True, False, id="pinged before"),
        pytest.param({"pinged_at": 11.0, "answered_at": 10.8}, True, False, id="not answered"),
        pytest.param({"written_until": 10.0}, False, False, id="waits"),
    ],
)
def test_how_far_it_came(receipts: dict[str, Any], written: bool, acknowledged: bool) -> None:
    """Left the process; reached the client for certain."""
    judged = judge(spell(LISTENS, **receipts), ROOM, passing(), [], 10.5)
    assert (judged.outcome, judged.written, judged.acknowledged) == (
        "delivered",
        written,
        acknowledged,
    )


@given(
    opened=st.integers(1, 8),
    ended=st.integers(9, 30),
    since=st.integers(1, 20),
    lasts=st.integers(1, 20),
    begun=st.integers(1, 30),
)
def test_delivered_exactly_while_it_listened(
    opened: int, ended: int, since: int, lasts: int, begun: int
) -> None:
    """In the order of steps, whatever the clocks say."""
    listening = Listening(TOPIC, at(since), at(since + lasts))
    one = Spell("c1", at(opened), at(ended), Receipts(cause="client"), [listening])
    judged = judge(one, ROOM, passing(begun), [], 0.0)
    expected = opened <= begun < ended and since <= begun < since + lasts
    assert (judged.outcome == "delivered") == expected


# --- the memory -------------------------------------------------------------------------------


class Hands:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_000_000.0 + self.now


def handed(sequence: int) -> Event:
    return replace(message_event(ROOM, "m", 0), sequence=sequence)


async def test_the_memory_is_bounded_and_says_since_when_it_reaches() -> None:
    """The oldest goes first."""
    hands = Hands()
    recent = Recent(3, clock=hands.clock, wall=hands.wall)
    for number in range(5):
        hands.now += 1
        recent.passed(handed(number), recent.step, hands.now, 1)

    assert recent.passings(1) == []
    assert recent.passings(4)[0][3] == 105.0
    assert recent.since == 103.0
    assert recent.milliseconds(103.0) == 1_000_103_000
    assert recent.moment(1_000_103_000) == pytest.approx(103.0)


async def test_forgotten_connections_shorten_the_memory() -> None:
    """What is remembered of events says nothing when those who got them are forgotten."""
    hands = Hands()
    recent = Recent(2, clock=hands.clock, wall=hands.wall)
    recent.passed(handed(1), recent.step, hands.now, 1)
    for number in range(3):
        hands.now += 1
        recent.left("ana", f"c{number}", recent.now(), Receipts())

    assert recent.since == 102.0
    told = await Recall(recent, People(), pod=lambda: "pod").recall(UserId("bo"), ROOM, 1, 0)
    assert told.since == 1_000_102_000


async def test_older_than_the_memory_is_unknown() -> None:
    """And not `not_subscribed`."""
    hands = Hands()
    recent = Recent(clock=hands.clock, wall=hands.wall)
    hands.now += 10
    recent.left("ana", "c1", Instant(0, 90.0), Receipts(cause="client"))

    recall = Recall(recent, People(), pod=lambda: "pod")
    before = await recall.recall(UserId("ana"), ROOM, 7, 1_000_095_000)
    after = await recall.recall(UserId("ana"), ROOM, 7, 1_000_105_000)

    [old], [new] = before.deliveries, after.deliveries
    assert (old.outcome, old.reason) == ("unknown", "older_than_memory")
    assert (new.outcome, new.reason) == ("not_subscribed", "unsubscribed")
    assert (new.opened, new.closed, new.ended_by) == (1_000_090_000, 1_000_110_000, "client")


async def test_nothing_is_noted_per_recipient() -> None:
    """A message to a thousand is one entry."""
    recent = Recent()
    recent.passed(handed(1), recent.step, time.monotonic(), 1_000)
    assert len(recent.passings(1)) == 1


# --- receipts ---------------------------------------------------------------------------------


def test_receipts_of_a_client_that_reads() -> None:
    """Everything is out."""
    client = Client()
    client.connection.send(b'{"msg":"pong"}')
    client.frames()
    receipts = client.connection.receipts
    assert receipts.written_until == math.inf
    assert receipts.cause == ""


def test_receipts_of_a_client_that_stops_reading() -> None:
    """What was queued after the last write that began is not out, and stays so."""
    client = Client()
    client.transport.room = 0
    client.connection.send(b'{"msg":"first"}')
    client.loop.run()  # handed over, and stuck
    stuck_at = client.loop.now
    client.loop.now += 5
    client.connection.send(b'{"msg":"second"}')
    assert client.connection.receipts.written_until == stuck_at
    client.advance(client.settings.stall_timeout + 30)

    client.transport.lose()
    receipts = client.connection.receipts
    assert receipts.cause == "slow"
    assert receipts.written_until == stuck_at
    assert receipts.closing_at > stuck_at


def test_receipts_of_a_ping() -> None:
    """The last one, and when the client was heard last."""
    client = Client()
    client.advance(client.settings.heartbeat_interval + 10)
    pinged = client.connection.receipts.pinged_at
    assert pinged > client.connection.receipts.answered_at
    client.loop.now += 1
    client.text(b'{"msg":"pong"}')
    assert client.connection.receipts.answered_at == client.loop.now > pinged
