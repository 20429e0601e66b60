"""What apps may do, with services that note what they are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from hubbub.apps.permissions import PERMISSIONS
from hubbub.clock import FakeClock
from hubbub.contracts.messages import MUTED, History, NewMessage
from hubbub.errors import HubbubError, Invalid, NotAllowed, NotFound
from hubbub.ids import RoomId, UserId
from services.apps_engine.bridge import Bridge, Surroundings, Who
from services.apps_engine.domain import bridge_calls
from services.apps_engine.settings import AppsSettings

BOT = UserId("tests.bot")


@dataclass
class Rooms:
    """Messaging: a public room, one that the app is in, and one that it is not in."""

    joined: set[str] = field(default_factory=lambda: {"private"})
    sent: list[NewMessage] = field(default_factory=list)
    refusal: HubbubError | None = None

    async def get_room(
        self, user_id: UserId, room_id: str | None = None, name: str | None = None
    ) -> dict[str, Any]:
        assert user_id == BOT
        found = room_id or name
        if found not in ("public", "private"):
            raise NotFound("No room", code="error-room-not-found")
        kind = "c" if found == "public" else "p"
        return {"_id": found, "t": kind, "lastMessage": {"msg": "secret"}}

    async def subscription_of(self, user_id: UserId, room_id: RoomId) -> dict[str, Any] | None:
        return {"rid": room_id} if room_id in self.joined else None

    async def join_room(self, user_id: UserId, room_id: RoomId) -> None:
        assert user_id == BOT
        self.joined.add(room_id)

    async def create_direct(self, user_id: UserId, usernames: list[str]) -> dict[str, Any]:
        return {"_id": f"direct-{usernames[0]}", "t": "d"}

    async def send_message(self, user_id: UserId, message: NewMessage) -> dict[str, Any]:
        assert user_id == BOT
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(message)
        return {"_id": message.id, "rid": message.room_id, "msg": message.text}

    async def history(self, user_id: UserId, room_id: RoomId, **_: Any) -> History:
        large = {"_id": "m", "msg": "x" * 100_000}
        return History(messages=[large] * 20)


@dataclass
class Access:
    async def can_access_room_id(self, room_id: RoomId, user_id: UserId) -> bool:
        return user_id == "ann"


@dataclass
class Ear:
    told: list[tuple[str, str, str]] = field(default_factory=list)

    async def tell(self, user_id: str, room_id: str, text: str, **_: Any) -> None:
        self.told.append((user_id, room_id, text))


@dataclass
class World:
    rooms: Rooms = field(default_factory=Rooms)
    ear: Ear = field(default_factory=Ear)
    clock: FakeClock = field(default_factory=FakeClock)
    counted: list[int] = field(default_factory=list)

    def bridge(self, *permissions: str) -> Bridge:
        around = Surroundings(
            messaging=cast(Any, self.rooms),
            account=cast(Any, None),
            authorization=cast(Any, Access()),
            whisper=cast(Any, self.ear),
            store=cast(Any, None),
            settings=AppsSettings(),
            clock=self.clock,
            logbook=cast(Any, None),
            planned=lambda: None,
            egress=cast(Any, None),
            sent=lambda: self.counted.append(1),
        )
        return Bridge(Who("tests", BOT, "tests.bot", frozenset(permissions)), around)


@pytest.fixture
def world() -> World:
    return World()


def test_every_call_takes_a_permission_that_there_is() -> None:
    needed = {permission for permission, _ in bridge_calls.CALLS.values()}
    assert needed <= set(PERMISSIONS)


@pytest.mark.parametrize("name", bridge_calls.CALLS)
async def test_nothing_without_its_permission(world: World, name: str) -> None:
    others = set(PERMISSIONS) - {bridge_calls.CALLS[name][0]}
    with pytest.raises(NotAllowed) as refused:
        await world.bridge(*others).call(name, {})
    assert refused.value.code == "error-permission-not-granted"


async def test_an_unknown_call(world: World) -> None:
    with pytest.raises(NotFound):
        await world.bridge(*PERMISSIONS).call("drop_database", {})


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("send_message", {"text": "x"}),
        ("send_message", {"text": "x", "room": "public", "user": "ann"}),
        ("send_message", {"text": "x", "room": {"$ne": None}}),
        ("send_message", {"text": 7, "room": "public"}),
        ("send_message", {"text": "a\0b", "room": "public"}),
        ("send_message", {"text": "x", "room": "public", "u": {"_id": "admin"}}),
        ("send_message", {"text": "x", "room": "public", "id": "a.b"}),
        ("read_messages", {"room": "public", "count": 101}),
        ("notify_user", {"user": "ann", "room": "private", "text": ""}),
        ("store_set", {"key": "", "value": 1}),
        ("store_get", {"key": {"$gt": ""}}),
        ("schedule", {"name": "x"}),
        ("schedule", {"name": "x", "at": {"$date": 1}, "cron": "* * * * *"}),
        ("schedule", {"name": "x y", "cron": "* * * * *"}),
        ("jobs", {"app": "another"}),
        ("fetch", {"url": "https://example.org", "method": "CONNECT"}),
    ],
)
async def test_what_is_said_is_checked(world: World, name: str, args: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await world.bridge(*PERMISSIONS).call(name, args)


@pytest.mark.parametrize("at", [{"$date": 10**17}, {"$date": -(10**15)}, {"date": 1}])
async def test_dates_that_are_none(world: World, at: dict[str, int]) -> None:
    with pytest.raises(HubbubError):
        await world.bridge("schedule").call("schedule", {"name": "x", "at": at})


async def test_it_joins_public_rooms_to_speak(world: World) -> None:
    sent = await world.bridge("message.send").call("send_message", {"room": "#public", "text": "x"})
    assert sent["msg"] == "x"
    assert "public" in world.rooms.joined
    assert world.rooms.sent[0].bot == {"i": "tests"}
    assert len(world.counted) == 1


async def test_reasons_have_codes_that_frames_may_carry(world: World) -> None:
    world.rooms.refusal = NotAllowed("muted", code=MUTED)
    with pytest.raises(NotAllowed) as refused:
        await world.bridge("message.send").call("send_message", {"room": "private", "text": "x"})
    assert refused.value.code == "you-have-been-muted"
    assert world.counted == []


async def test_it_reads_where_it_is(world: World) -> None:
    """In rooms that anybody may look into, too, it has to be a member."""
    bridge = world.bridge("message.read")
    with pytest.raises(NotAllowed):
        await bridge.call("read_messages", {"room": "public"})
    found = await bridge.call("read_messages", {"room": "private"})
    assert 1 < len(found) < 20  # as much as fits into an answer
    everywhere = world.bridge("message.read", "room.read-all")
    assert await everywhere.call("read_messages", {"room": "public"})


async def test_it_whispers_to_those_who_are_there(world: World) -> None:
    bridge = world.bridge("notify")
    await bridge.call("notify_user", {"user": "ann", "room": "private", "text": "x"})
    assert world.ear.told == [("ann", "private", "x")]
    with pytest.raises(NotFound):
        await bridge.call("notify_user", {"user": "bob", "room": "private", "text": "x"})
    with pytest.raises(NotAllowed):
        await bridge.call("notify_user", {"user": "ann", "room": "public", "text": "x"})


async def test_whoever_typed_a_command_may_be_answered_there(world: World) -> None:
    bridge = world.bridge("notify")
    answer = {"user": "bob", "room": "elsewhere", "text": "x"}
    bridge.invoked("bob", "elsewhere")
    await bridge.call("notify_user", answer)
    world.clock.advance(1000)
    with pytest.raises(NotFound):
        await bridge.call("notify_user", answer)


async def test_rooms_are_shown_without_what_was_said_there(world: World) -> None:
    room = await world.bridge("room.read").call("room", {"room": "private"})
    assert room == {"_id": "private", "t": "p"}
