"""A room that is judged again: who may hear it misses nothing, who misses something is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry

from hubbub.clock import FakeClock
from hubbub.contracts.event_log import (
    ControlEvent,
    EventsMissing,
    Kind,
    RoomAccessChanged,
    encode_control,
    room_audience,
)
from hubbub.contracts.messaging import Messaging
from hubbub.ddp.messages import Sub
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout import Fanout, Topic
from services.ddp_streamer.fanout.queue import WorkQueue
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.positions import Position
from services.ddp_streamer.recovery import Recovery
from services.ddp_streamer.rights import Rights
from services.ddp_streamer.room_judge import RoomJudge
from services.ddp_streamer.session import Session, SessionLimits, Subscription
from services.ddp_streamer.streams import Plan, Who, not_allowed
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.stage import FakeHandlers, FakeRoutes, FakeSocket, message_event
from tests.waiting import eventually

ROOM = room_audience("R1")


class Handlers(FakeHandlers):
    """Takes ended subscriptions out of the topics, as the router does."""

    def __init__(self, fanout: Fanout) -> None:
        super().__init__()
        self._fanout = fanout

    def ended(self, session: Session, subscription: Subscription) -> None:
        super().ended(session, subscription)
        if subscription.plan is not None and not session.listens_otherwise(subscription.plan.topic):
            self._fanout.topics.remove(subscription.plan.topic, session)


class Court:
    """A fan-out, a log, and a judge who waits for `gate`."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.routes = FakeRoutes()
        self.rights = Mock()
        self.queue = WorkQueue(slice_seconds=60.0)
        self.fanout = Fanout(
            cast("Messaging", Mock()),
            self.rights,
            StreamerMetrics(CollectorRegistry()),
            tasks=tasks,
            queue=self.queue,
        )
        self.judge = RoomJudge(
            cast("Rights", self.rights),
            self.fanout,
            self.routes,
            self._judged,
            tasks=tasks,
            clock=FakeClock(),
        )
        consequences = Mock()
        consequences.room_access_changed = self.judge.room_changed
        self.fanout.connect(self.routes, consequences)
        self.handlers = Handlers(self.fanout)
        self.gate = asyncio.Event()
        self.judged: list[Session] = []
        self.refused: set[Session] = set()
        self.failure: Exception | None = None
        self.sequence = 0

    async def _judged(self, session: Session) -> None:
        self.judged.append(session)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if session in self.refused:
            for subscription in session.of_room("R1"):
                session.end(subscription, not_allowed())

    def listener(self, *topics: Topic) -> Session:
        """A session that hears `topics`."""
        socket = FakeSocket(f"c{len(self.fanout.topics)}")
        session = Session(socket, self.handlers, SessionLimits(), self.tasks)
        for topic in topics or (("room-messages", "R1"),):
            self.open(session, topic)
        return session

    def open(self, session: Session, topic: Topic, sub_id: str = "") -> None:
        sub = Sub(sub_id or "/".join(topic), f"stream-{topic[0]}", [topic[1]])
        session.activate(sub, Plan(topic, Who.ASK, ROOM))
        self.fanout.topics.add(topic, session)

    def say(self, text: str, *, told: bool = True) -> None:
        """A message of the room; with `told` it comes live, too."""
        self.sequence += 1
        self._log(message_event("R1", text, self.sequence), told=told)

    def control(self, event: ControlEvent, *, told: bool = True) -> None:
        self.sequence += 1
        payload = encode_control(event)
        self._log(
            Event(ROOM, self.sequence, 0, 1, "x", Kind.CONTROL, "", "", {}, payload), told=told
        )

    def _log(self, event: Event, *, told: bool) -> None:
        self.routes.log.append(event)
        if told:
            self.fanout.on_event(event, wildcard=False)

    async def decided(self) -> None:
        self.gate.set()
        await eventually(lambda: not self.judge.busy)


CHANGED = RoomAccessChanged(room_id="R1")


@pytest.fixture
async def court() -> AsyncIterator[Court]:
    async with Tasks() as tasks:
        yield Court(tasks)


def sent(session: Session) -> list[Any]:
    """Messages by their texts, other frames by their kinds."""
    frames = cast("FakeSocket", session.connection).sent
    return [
        frame["fields"]["args"][0]["_id"] if "-room" in frame.get("collection", "") else frame
        for frame in frames
    ]


async def test_who_may_gets_everything_and_who_may_not_nothing(court: Court) -> None:
    may, may_not = court.listener(), court.listener()
    court.refused.add(may_not)
    court.say("before")
    court.control(CHANGED)
    court.say("meanwhile")
    await eventually(lambda: court.judged)
    assert sent(may) == ["before"]
    await court.decided()
    court.say("after")
    assert sent(may) == ["before", "meanwhile", "after"]
    assert [frame for frame in sent(may_not) if isinstance(frame, str)] == ["before"]
    assert court.fanout.topics.aside("R1") == []


async def test_a_second_change_is_judged_ahead_of_what_comes_behind_it(court: Court) -> None:
    """Nobody listened when it came, so that it found nobody to judge."""
    session = court.listener()
    court.control(CHANGED)
    await eventually(lambda: court.judged)
    read, court.routes.read = court.routes.read, Mock()  # type: ignore[method-assign]

    async def reading(*asked: Any) -> list[Event]:
        court.routes.read = read  # type: ignore[method-assign]
        court.refused.add(session)
        court.control(CHANGED)
        court.say("not for everybody any more")
        return await read(*asked)

    court.routes.read = reading  # type: ignore[assignment,method-assign]
    court.say("still")
    await court.decided()
    assert sent(session)[0] == "still"
    assert "not for everybody any more" not in sent(session)


async def test_what_the_hub_could_not_publish_meanwhile_is_a_loss(court: Court) -> None:
    session, other = court.listener(), court.listener(("room-messages", "R2"))
    court.control(CHANGED)
    await eventually(lambda: court.judged)
    court.control(EventsMissing(reason="too-large"), told=False)
    court.say("behind it")
    await court.decided()
    assert court.handlers.lost_sessions == [session]
    assert "behind it" not in sent(session)
    assert sent(other) == []


@pytest.mark.parametrize("positioned", [True, False])
async def test_a_room_that_is_lost_meanwhile_is_a_loss(court: Court, positioned: bool) -> None:
    session = court.listener(("room-messages", "R1"), ("notify-room", "R1/deleteMessage"))
    session.connection.positioned = positioned
    court.control(CHANGED)
    await eventually(lambda: court.judged)
    court.fanout.on_lost(ROOM)
    await court.decided()
    assert session.subscriptions == {}
    if positioned:
        assert sent(session)[-1]["fields"]["args"] == [{"rooms": ["R1"]}]
    else:
        assert court.handlers.lost_sessions == [session]
    court.say("later")
    assert "later" not in sent(session)


async def test_who_subscribes_again_meanwhile_gets_nothing_twice(court: Court) -> None:
    session = court.listener()
    court.control(CHANGED)
    await eventually(lambda: court.judged)
    court.say("fetched")
    court.open(session, ("room-messages", "R1"), "room-messages/R1")  # the same id, anew
    court.say("live")
    await court.decided()
    court.say("and on")
    assert sent(session) == ["live", "and on"]


@pytest.mark.parametrize("where", ["judge", "read"])
async def test_a_defect_leaves_nobody_waiting(court: Court, where: str) -> None:
    session = court.listener()
    court.control(CHANGED)
    await eventually(lambda: court.judged)
    if where == "judge":
        court.failure = ValueError("a defect")
    else:
        court.routes.read = Mock(side_effect=ValueError("a defect"))  # type: ignore[method-assign]
    court.say("meanwhile")
    await court.decided()
    assert court.handlers.lost_sessions == [session]
    assert court.fanout.topics.aside("R1") == []


async def test_no_position_is_told_beyond_what_is_withheld(court: Court) -> None:
    """Also when a room is silenced by what waited for delivery ahead of the position."""
    session = court.listener()
    session.connection.positioned = True
    follows = Mock()
    follows.places.proven = lambda: Position("log", court.sequence)
    recovery = Recovery(follows, court.fanout)

    def arrive() -> None:
        """All of this waits behind a piece of work that is under way."""
        court.control(CHANGED)
        court.say("withheld")
        recovery.tell([session], unless=lambda: court.judge.busy)

    court.fanout.when_delivered(arrive)
    await eventually(lambda: court.judged)
    assert sent(session) == []
    recovery.tell([session], unless=lambda: court.judge.busy)
    assert sent(session) == []
    await court.decided()
    recovery.tell([session], unless=lambda: court.judge.busy)
    assert sent(session)[0] == "withheld"
    assert sent(session)[1]["fields"]["args"] == [{"epoch": "log", "seq": court.sequence}]
