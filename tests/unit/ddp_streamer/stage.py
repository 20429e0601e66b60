"""Sockets and rooms without a network, for the tests of sessions and fan-out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson
from prometheus_client.metrics import MetricWrapperBase

from hubbub.contracts.event_log import Audience, Header, Kind, room_audience
from hubbub.ddp.messages import Method, Sub
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.connection import Cause, Peer
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.rates import Excess
from services.ddp_streamer.session import Reply, Session, Subscription, Work


def reading(meter: MetricWrapperBase) -> float:
    """What a counter or gauge shows now, whoever asks."""
    [family] = meter.collect()
    return float(family.samples[0].value)


class FakeSocket:
    """A connection that writes down what it is told to send."""

    def __init__(self, connection_id: str = "c1") -> None:
        self.connection_id = connection_id
        self.peer = Peer(address="127.0.0.1", user_agent="", sockjs=False)
        self.authenticated = False
        self.login_pending = False
        self.positioned = False
        self.closed = False
        self.code: int | None = None
        self.sent: list[dict[str, Any]] = []
        self.dropped: list[str] = []

    def send(self, message: bytes) -> None:
        if not self.closed:
            self.sent.append(orjson.loads(message))

    def send_shared(self, frame: SharedFrame) -> bool:
        self.send((frame.placed if self.positioned else frame).message)
        return not self.closed

    def when_written(self, function: Callable[[], None]) -> None:
        function()

    def close(self, code: int, reason: str = "", *, cause: Cause | None = None) -> None:
        self.closed = True
        self.code = code

    def drop_room(self, room_id: str) -> None:
        self.dropped.append(room_id)


class FakeListening:
    """A session as fan-out sees it."""

    def __init__(self, name: str = "c1", user_id: str | None = None) -> None:
        self.socket = FakeSocket(name)
        self.user_id = user_id
        self.ended: list[str] = []
        self.lost = 0

    @property
    def recipient(self) -> FakeSocket:
        return self.socket

    def end_room(self, room_id: str) -> None:
        self.ended.append(room_id)

    def end_lost(self, room_id: str | None = None) -> None:
        self.lost += 1

    @property
    def texts(self) -> list[str]:
        return [frame["fields"]["args"][0]["_id"] for frame in self.socket.sent]


class FakeHandlers:
    """Does for a session what a test says. Methods run until their gate is opened."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.done: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.parallel: set[str] = set()
        self.following: set[str] = set()
        self.results: dict[str, Callable[[Session], Any]] = {}
        self.subs: Callable[[Session, Work], Awaitable[None]] | None = None
        self.limit: Excess | None = None
        self.own: Callable[[Session, Method], Awaitable[Reply]] | None = None
        self.resumable: str | None = None
        self.ended_subs: list[Subscription] = []
        self.lost_sessions: list[Session] = []
        self.closed_sessions: list[Session] = []

    def may_resume(self, offered: str | None) -> bool:
        return self.resumable is not None and offered == self.resumable

    async def resume(self, session: Session, offered: str) -> None:
        self.running.append(f"resume {offered}")
        if "resume" in self.gates:
            await self.gates["resume"].wait()

    def gate(self, method_id: str) -> asyncio.Event:
        return self.gates.setdefault(method_id, asyncio.Event())

    def excess(self, session: Session, message: Method | Sub) -> Excess | None:
        return self.limit

    def is_parallel_safe(self, name: str) -> bool:
        return name in self.parallel

    def may_follow(self, method: Method) -> bool:
        return method.name in self.following

    async def call(self, session: Session, method: Method, excess: Excess | None) -> Reply:
        if self.own is not None:
            return await self.own(session, method)
        self.running.append(str(method.id))
        if str(method.id) in self.gates:
            await self.gates[str(method.id)].wait()
        self.done.append(str(method.id))
        answer = self.results.get(method.name)
        return Reply(answer(session)) if answer is not None else Reply()

    def subscribe_now(self, session: Session, work: Work) -> bool:
        if self.subs is not None:
            return False
        assert isinstance(work.message, Sub)
        session.activate(work.message, None)
        session.send(b'{"msg":"ready","subs":[%b]}' % orjson.dumps(work.message.id))
        return True

    async def subscribe(self, session: Session, work: Work) -> None:
        assert self.subs is not None
        await self.subs(session, work)

    def ended(self, session: Session, subscription: Subscription) -> None:
        self.ended_subs.append(subscription)

    def lost(self, session: Session) -> None:
        self.lost_sessions.append(session)

    def closed(self, session: Session) -> None:
        self.closed_sessions.append(session)


class FakeRoutes:
    """Audiences that are routed at once, with a log that tests fill."""

    def __init__(self) -> None:
        self.taken: dict[Audience, int] = {}
        self.log: list[Event] = []

    def acquire_now(self, audience: Audience) -> bool:
        if self.taken.get(audience, 0) == 0:
            return False
        self.taken[audience] += 1
        return True

    async def acquire(self, audiences: Iterable[Audience], *, timeout: float = 10.0) -> None:
        for audience in audiences:
            self.taken[audience] = self.taken.get(audience, 0) + 1
        await asyncio.sleep(0)

    def release(self, audience: Audience) -> None:
        assert self.taken[audience] > 0, f"{audience} released too often"
        self.taken[audience] -= 1

    def position(self, audience: Audience) -> int:
        return max((e.sequence for e in self.log if e.audience == audience), default=0)

    async def read(self, audience: Audience, after: int, upto: int) -> list[Event]:
        await asyncio.sleep(0)
        return [e for e in self.log if e.audience == audience and after < e.sequence <= upto]

    @property
    def held(self) -> dict[Audience, int]:
        return {audience: count for audience, count in self.taken.items() if count}


def message_event(
    room_id: str, text: str, sequence: int, *, room_type: str = "p", audience: str = ""
) -> Event:
    """A room message as the log brings it."""
    payload = stream_frame("room-messages", room_id, orjson.dumps([{"_id": text}]))
    return Event(
        Audience(audience) if audience else room_audience(room_id),
        sequence,
        0,
        1,
        str(sequence),
        Kind.FRAME,
        "room-messages",
        room_id,
        {Header.ROOM_TYPE: room_type},
        payload,
    )
