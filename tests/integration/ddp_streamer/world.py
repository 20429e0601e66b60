"""A whole streamer on a real NATS, with the other services played by a few lines each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.account import Account, Identity, LoginExpired, LoginResult, StoredToken
from hubbub.contracts.authorization import Authorization, RoomQuestion
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.event_log import (
    AccountChanged,
    MembershipBegan,
    MembershipEnded,
    room_audience,
    user_audience,
)
from hubbub.contracts.messages import NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.presence import ConnectionRecord, Presence, Status
from hubbub.contracts.rooms import Membership, RoomNotFound, RoomType
from hubbub.errors import Unauthenticated, Unavailable
from hubbub.ids import RoomId, UserId
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.service import Streamer
from services.ddp_streamer.settings import StreamerSettings
from tests.integration.ddp_streamer.harness import FakeHub, connected, fresh_log
from tests.waiting import eventually

EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Facts:
    """What the other services know."""

    tokens: dict[str, str] = field(default_factory=dict)  # token → user id
    rooms: dict[str, str] = field(default_factory=dict)  # room id → type
    members: dict[str, set[str]] = field(default_factory=dict)  # user id → room ids
    remembered: dict[str, set[str]] = field(default_factory=dict)
    """Memberships that the authorization service has not heard the end of."""
    permissions: dict[str, set[str]] = field(default_factory=dict)
    no_preview: set[str | None] = field(default_factory=set)
    settings: dict[str, Any] = field(default_factory=dict)
    account_away: bool = False
    authorization_away: bool = False
    presence: list[tuple[str, str, str, int]] = field(default_factory=list)
    removals: list[int] = field(default_factory=list)  # sockets per call
    sent: list[str] = field(default_factory=list)
    slow: asyncio.Event = field(default_factory=asyncio.Event)


def played(kind: type[Any], facts: Facts) -> object:
    """An instance of `kind`; actions of its contract that it does not play fail when called."""

    async def absent(_self: object, *_: object, **__: object) -> None:
        raise AssertionError("not played in this test")

    missing = {
        name: absent
        for base in kind.__mro__
        for name, action in getattr(base, "contract_actions", {}).items()
        if getattr(kind, name) is action.function
    }
    return type(kind.__name__, (kind,), missing)(facts)


class FakeAccount(Account):
    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        if self.facts.account_away:
            raise Unavailable("away")
        token = parameters.get("resume", "")
        if token not in self.facts.tokens:
            raise LoginExpired("You've been logged out by the server. Please log in again.")
        user_id = self.facts.tokens[token]
        return LoginResult(
            user_id=UserId(user_id),
            token=token,
            hashed_token=f"hash-{token}",
            token_expires=EXPIRES,
            type="resume",
            user={"username": user_id, "name": user_id.title()},
        )

    async def resume(self, tokens: list[str]) -> list[LoginResult | None]:
        if self.facts.account_away:
            raise Unavailable("away")
        return [
            await self.login({"resume": token}) if token in self.facts.tokens else None
            for token in tokens
        ]

    async def logout(self, user_id: UserId, hashed_token: str) -> None:
        self.facts.tokens.pop(hashed_token.removeprefix("hash-"), None)

    async def me(self, user_id: UserId) -> Document:
        if self.facts.account_away:
            raise Unavailable("away")
        return {"_id": user_id, "username": user_id, "name": user_id.title(), "roles": ["user"]}

    async def verify_tokens(self, tokens: list[StoredToken]) -> list[bool]:
        return [
            self.facts.tokens.get(one.hashed_token.removeprefix("hash-")) == one.user_id
            for one in tokens
        ]

    async def verify_token(self, user_id: UserId, hashed_token: str) -> Identity:
        if self.facts.tokens.get(hashed_token.removeprefix("hash-")) != user_id:
            raise Unauthenticated("gone")
        return Identity(user_id=user_id, username=user_id, hashed_token=hashed_token)


class FakeAuthorization(Authorization):
    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    async def has_at_least_one_permission(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        return bool(self.facts.permissions.get(user_id or "", set()) & set(permissions))

    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: RoomId | None = None
    ) -> bool:
        if permission == "preview-c-room":
            return user_id not in self.facts.no_preview
        return permission in self.facts.permissions.get(user_id or "", set())

    async def accessible_rooms(self, room_ids: list[RoomId], user_id: UserId) -> list[RoomId]:
        return [one for one in room_ids if await self.can_access_room_id(one, user_id)]

    async def can_access_room_id(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        if self.facts.authorization_away:
            raise Unavailable("away")
        public = self.facts.rooms.get(room_id) == "c"
        if user_id is None or room_id not in self.facts.rooms:
            return public and bool(self.facts.settings.get("Accounts_AllowAnonymousRead"))
        remembered = set() if now else self.facts.remembered.get(user_id, set())
        return public or room_id in self.facts.members.get(user_id, set()) | remembered

    async def can_read_room(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        is_member = room_id in self.facts.members.get(user_id or "", set())
        if not is_member and user_id in self.facts.no_preview:
            return False
        return await self.can_access_room_id(room_id, user_id, now)

    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool | None]:
        return [
            await (self.can_read_room if one.what == "read" else self.can_access_room_id)(
                one.room_id, one.user_id, now=True
            )
            for one in questions
        ]


class FakeMessaging(Messaging):
    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        return [
            Membership(room_id=RoomId(room_id), room_type=self.facts.rooms[room_id])
            for room_id in self.facts.members.get(user_id, set())
        ]

    async def setting_values(self, setting_ids: list[str]) -> Document:
        return {one: self.facts.settings[one] for one in setting_ids if one in self.facts.settings}

    async def get_room(
        self,
        user_id: UserId | None,
        room_id: str | None = None,
        name: str | None = None,
        types: list[RoomType] | None = None,
    ) -> Document:
        return {"_id": room_id, "usersCount": 2}

    async def subscription_of(self, user_id: UserId, room_id: RoomId) -> Document | None:
        is_member = room_id in self.facts.members.get(user_id, set())
        return {"rid": room_id} if is_member else None

    async def is_member(self, user_id: UserId, room_id: RoomId, member_id: UserId) -> bool:
        if room_id not in self.facts.members.get(user_id, set()):
            raise RoomNotFound
        return room_id in self.facts.members.get(member_id, set())

    async def members(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        online_only: bool = False,
        statuses: list[str] | None = None,
    ) -> Page:
        inside = [one for one, rooms in self.facts.members.items() if room_id in rooms]
        return Page(items=[{"_id": one} for one in inside], total=len(inside))

    async def send_message(
        self, user_id: UserId, message: NewMessage, allow_empty: bool = False
    ) -> Document:
        if message.text == "slow":
            await self.facts.slow.wait()
        self.facts.sent.append(message.text)
        return {"_id": message.id, "msg": message.text}


class FakePresence(Presence):
    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def _note(self, call: str, record: ConnectionRecord) -> None:
        self.facts.presence.append((call, record.user_id, record.status.value, record.sequence))

    async def new_connection(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        self._note("new", connection)

    async def set_connection_status(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        self._note("status", connection)

    async def remove_connections(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        self.facts.removals.append(len(connections))
        for record in connections:
            self._note("remove", record)

    async def announce(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        for record in connections:
            self._note("announce", record)

    async def set_status(
        self, user_id: UserId, status: Status | None = None, text: str | None = None
    ) -> None:
        self.facts.presence.append(("set", user_id, status or "", 0))


class DdpClient:
    """One client: sends what it is told and keeps what it gets."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._ids = itertools.count(1)
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                self.frames.append(orjson.loads(text))
                self._news.set()
        except ConnectionClosed:
            pass
        self.closed = (self._socket.close_code or 1006, self._socket.close_reason or "")

    async def end(self) -> None:
        if self._reader.cancelled():
            self._socket.transport.abort()
            return
        await self._socket.close()
        await self._reader

    def stop_reading(self) -> None:
        """Leave what arrives in the kernel, like a client that hangs."""
        self._reader.cancel()
        self._socket.transport.pause_reading()

    async def send(self, **message: Any) -> None:
        await self._socket.send(orjson.dumps(message).decode())

    async def greet(self, session: str | None = None) -> str:
        """Connect, offering a session; the id of the new one."""
        offered = {} if session is None else {"session": session}
        await self.send(msg="connect", version="1", support=["1"], **offered)
        connected = await self.got(lambda frame: frame.get("msg") == "connected")
        self.session = str(connected["session"])
        return self.session

    async def got(
        self, predicate: Callable[[dict[str, Any]], bool], within: float = 5.0
    ) -> dict[str, Any]:
        """The first frame that fulfils `predicate`."""
        seen = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    self._news.clear()
                    for frame in self.frames[seen:]:
                        if predicate(frame):
                            return frame
                    seen = len(self.frames)
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no such frame; the last ones: {self.frames[-5:]}") from None

    async def call(self, method: str, *params: Any, within: float = 5.0) -> dict[str, Any]:
        """The `result` message."""
        call_id = await self.begin(method, *params)
        return await self.result(call_id, within=within)

    async def begin(self, method: str, *params: Any) -> str:
        call_id = f"m{next(self._ids)}"
        await self.send(msg="method", id=call_id, method=method, params=list(params))
        return call_id

    async def result(self, call_id: str, within: float = 5.0) -> dict[str, Any]:
        return await self.got(
            lambda frame: frame.get("msg") == "result" and frame["id"] == call_id, within
        )

    async def login(self, token: str) -> dict[str, Any]:
        answer = await self.call("login", {"resume": token})
        assert "error" not in answer, answer
        return answer

    async def sub(self, stream: str, event: str, options: Any = False) -> str:
        """Send a sub; its id."""
        sub_id = f"s{next(self._ids)}"
        await self.send(msg="sub", id=sub_id, name=f"stream-{stream}", params=[event, options])
        return sub_id

    async def answered(self, sub_id: str, within: float = 5.0) -> dict[str, Any]:
        """`ready` or `nosub` of a sub."""
        return await self.got(
            lambda frame: (
                (frame.get("msg") == "ready" and frame["subs"] == [sub_id])
                or (frame.get("msg") == "nosub" and frame["id"] == sub_id)
            ),
            within,
        )

    async def subscribed(self, stream: str, event: str, options: Any = False) -> str:
        """A sub that is ready."""
        sub_id = await self.sub(stream, event, options)
        answer = await self.answered(sub_id)
        assert answer["msg"] == "ready", answer
        return sub_id

    def heard(self, stream: str, event: str) -> list[Any]:
        """The `args` of every event of a stream, in order."""
        return [
            frame["fields"]["args"]
            for frame in self.frames
            if frame.get("msg") == "changed"
            and frame["collection"] == f"stream-{stream}"
            and frame["fields"]["eventName"] == event
        ]

    async def hears(self, stream: str, event: str, count: int = 1, within: float = 5.0) -> None:
        """Wait until so many events of a stream have arrived."""
        await eventually(lambda: len(self.heard(stream, event)) >= count, within=within)

    async def ended(self, sub_id: str) -> dict[str, Any]:
        """The `nosub` of a sub."""
        return await self.got(lambda frame: frame.get("msg") == "nosub" and frame["id"] == sub_id)

    def texts(self, room_id: str) -> list[str]:
        """Ids of the messages of a room that arrived, in order."""
        return [args[0]["_id"] for args in self.heard("room-messages", room_id)]


@dataclass
class World:
    """The streamer, the hub in front of it, and what the others know."""

    streamer: Streamer
    hub: FakeHub
    facts: Facts
    bus: NatsBus
    stack: AsyncExitStack

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[DdpClient]:
        url = f"ws://127.0.0.1:{self.streamer.listener.port}/websocket"
        async with connect(url, compression=None, max_queue=None, max_size=None) as socket:
            client = DdpClient(socket)
            try:
                yield client
            finally:
                await client.end()

    async def anonymous(self) -> DdpClient:
        client = await self.stack.enter_async_context(self.connection())
        await client.greet()
        return client

    async def client(self, user_id: str, token: str | None = None) -> DdpClient:
        """A signed-in client of `user_id`."""
        client = await self.anonymous()
        token = token or f"token-{user_id}"
        self.facts.tokens[token] = user_id
        await client.login(token)
        return client

    def room(self, room_id: str, *members: str, kind: str = "p") -> None:
        self.facts.rooms[room_id] = kind
        for member in members:
            self.facts.members.setdefault(member, set()).add(room_id)

    async def join(self, user_id: str, room_id: str) -> int:
        """What the hub tells when a membership begins; its sequence."""
        self.facts.members.setdefault(user_id, set()).add(room_id)
        began = MembershipBegan(
            user_id=user_id, room_id=room_id, room_type=self.facts.rooms[room_id]
        )
        return await self.hub.control(user_audience(user_id), began)

    async def leave(self, user_id: str, room_id: str) -> int:
        """What the hub tells when a membership ends; its sequence in the room's audience."""
        self.facts.members[user_id].discard(room_id)
        ended = MembershipEnded(user_id=user_id, room_id=room_id)
        sequence = await self.hub.control(room_audience(room_id), ended)
        await self.hub.control(user_audience(user_id), ended)
        return sequence

    async def account_changed(self, user_id: str) -> None:
        await self.hub.control(user_audience(user_id), AccountChanged(user_id=user_id))


@asynccontextmanager
async def surroundings(nats_url: str) -> AsyncIterator[tuple[Facts, FakeHub]]:
    """The other services and a leading hub with an empty log, without a streamer."""
    facts = Facts()
    async with connected(nats_url) as client:
        await fresh_log(client)
        hub = FakeHub(client)
        await hub.begin()
        others = NatsBus(
            BusSettings(HUBBUB_NATS_URL=nats_url),
            service="others",
            instance="others-1",
            registry=CollectorRegistry(),
        )
        await others.connect()
        try:
            for kind in (FakeAccount, FakeAuthorization, FakeMessaging, FakePresence):
                await others.serve(played(kind, facts))
            yield facts, hub
        finally:
            await others.close()


@asynccontextmanager
async def world(nats_url: str, streamer_url: str = "", **settings: Any) -> AsyncIterator[World]:
    """A running streamer. `streamer_url`: its own way to NATS, when that is another one."""
    async with AsyncExitStack() as stack:
        facts, hub = await stack.enter_async_context(surroundings(nats_url))
        bus = NatsBus(
            BusSettings(HUBBUB_NATS_URL=streamer_url or nats_url, nats_reconnect_wait=0.05),
            service="ddp-streamer",
            instance="ddp-streamer-1",
            registry=CollectorRegistry(),
        )
        await bus.connect()
        stack.push_async_callback(bus.close)
        defaults: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": 0,
            "close_timeout": 0.5,
            "max_anonymous_per_address": 0,
            "resync_window": 0.2,
            "frames_per_second": 1e6,
            "frame_burst": 1_000_000,
            "rate_connection": 0,
            "rate_user": 0,
            "rate_connection_method": 0,
            "rate_user_method": 0,
            "rate_send_message": 0,
            "rate_login": 0,
        }
        streamer = Streamer(
            bus,
            StreamerSettings(**{**defaults, **settings}),
            StreamerMetrics(CollectorRegistry()),
            "ddp-streamer-1",
        )
        await stack.enter_async_context(streamer)
        async with AsyncExitStack() as clients:
            yield World(streamer, hub, facts, bus, clients)
