"""What members are to a room: roles, mutes, blocks, notes for themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Paging
from hubbub.contracts.events import Audited
from hubbub.contracts.members import (
    Disabled,
    LastOwnerRemains,
    RoleUnchanged,
    RoomRole,
    UserLimitExceeded,
)
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import NotInRoom, RoomNotFound
from hubbub.errors import BadRequest, HubbubError, NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration

OWNER, MODERATOR, LEADER = RoomRole.OWNER, RoomRole.MODERATOR, RoomRole.LEADER


async def _said(home: House, room_id: str) -> list[tuple[Any, ...]]:
    """Type, text, author and role of the system messages of a room, oldest first."""
    cursor = home.database.rocketchat_message.find({"rid": room_id, "t": {"$exists": True}})
    return [
        (one["t"], one["msg"], one["u"]["username"], one.get("role"))
        async for one in cursor.sort("seq", 1)
    ]


async def test_a_role_is_given_and_taken(home: House) -> None:
    """The membership keeps it, the room hears of it, the number of the room grows."""
    ada, bob = await home.users("ada", "bob")
    room = await home.room(ada, "bob")

    await home.messaging.set_room_role(ada, room, bob, MODERATOR, True)
    held = (await home.membership(bob, room))["roles"]
    await home.messaging.set_room_role(ada, room, bob, MODERATOR, False)

    assert held == ["moderator"]
    assert "roles" not in await home.membership(bob, room)
    assert await _said(home, room) == [
        ("subscription-role-added", "bob", "ada", "moderator"),
        ("subscription-role-removed", "bob", "ada", "moderator"),
    ]
    assert (await home.stored_room(room))["msgs"] == 2


@pytest.mark.parametrize("role", list(RoomRole))
async def test_a_role_twice(home: House, role: RoomRole) -> None:
    """Given twice or taken twice is refused with a code of its own, and nothing is said."""
    ada, bob = await home.users("ada", "bob")
    room = await home.room(ada, "bob")

    with pytest.raises(RoleUnchanged) as not_there:
        await home.messaging.set_room_role(ada, room, bob, role, False)
    await home.messaging.set_room_role(ada, room, bob, role, True)
    with pytest.raises(RoleUnchanged) as there:
        await home.messaging.set_room_role(ada, room, bob, role, True)

    assert not_there.value.code == f"error-user-not-{role.value}"
    assert there.value.code == f"error-user-already-{role.value}"
    assert len(await _said(home, room)) == 1


async def test_the_last_owner_stays_one(home: House) -> None:
    """Also when two owners take each other's role in the same moment."""
    ada, bob = await home.users("ada", "bob")
    room = await home.room(ada, "bob")

    with pytest.raises(LastOwnerRemains) as refused:
        await home.messaging.set_room_role(ada, room, ada, OWNER, False)
    await home.messaging.set_room_role(ada, room, bob, OWNER, True)
    outcomes = await asyncio.gather(
        home.messaging.set_room_role(ada, room, bob, OWNER, False),
        home.messaging.set_room_role(bob, room, ada, OWNER, False),
        return_exceptions=True,
    )

    assert refused.value.reason == (
        "This is the last owner. Please set a new owner before removing this one."
    )
    assert sum(isinstance(one, HubbubError) for one in outcomes) == 1
    owners = home.database.rocketchat_subscription.count_documents({"rid": room, "roles": "owner"})
    assert await owners == 1


async def test_who_may_give_roles(home: House) -> None:
    """Owners; members may not, and to outsiders a private room does not exist."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob", kind="p")

    with pytest.raises(NotAllowed):
        await home.messaging.set_room_role(bob, room, bob, OWNER, True)
    with pytest.raises(InvalidRoom):
        await home.messaging.set_room_role(eve, room, bob, OWNER, True)
    with pytest.raises(NotInRoom):
        await home.messaging.set_room_role(ada, room, eve, LEADER, True)
    with pytest.raises(UserNotFound):
        await home.messaging.set_room_role(ada, room, UserId("nobody"), LEADER, True)
    with pytest.raises(InvalidRoom):
        await home.messaging.set_room_role(ada, RoomId("nowhere"), bob, LEADER, True)


async def test_a_muted_member_is_silent(home: House) -> None:
    """Until they are unmuted; each change is said once."""
    ada, bob = await home.users("ada", "bob")
    room = await home.room(ada, "bob")

    await home.messaging.mute_user(ada, room, "bob", True)
    await home.messaging.mute_user(ada, room, "bob", True)
    with pytest.raises(NotAllowed) as refused:
        await home.say(bob, room)
    await home.messaging.mute_user(ada, room, "bob", False)
    await home.say(bob, room)

    assert refused.value.code == "You_have_been_muted"
    assert home.whisper.by(bob, "message")[0]["msg"] == refused.value.reason
    assert await _said(home, room) == [
        ("user-muted", "bob", "ada", None),
        ("user-unmuted", "bob", "ada", None),
    ]


async def test_unmuted_in_a_read_only_room(home: House) -> None:
    """A single member may write there; muted again, not any more."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob", "eve", readOnly=True, read_only=True)

    await home.messaging.mute_user(ada, room, "bob", False)
    await home.say(bob, room)
    with pytest.raises(NotAllowed):
        await home.say(eve, room)
    await home.messaging.mute_user(ada, room, "bob", True)
    with pytest.raises(NotAllowed):
        await home.say(bob, room)

    stored = await home.stored_room(room)
    assert (stored["muted"], stored["unmuted"]) == (["bob"], [])


async def test_who_may_mute(home: House) -> None:
    ada, bob, _ = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob")
    direct = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    home.authorization.granted[ada].add("admin")

    with pytest.raises(NotAllowed):
        await home.messaging.mute_user(bob, room, "ada", True)
    with pytest.raises(NotInRoom):
        await home.messaging.mute_user(ada, room, "eve", True)
    with pytest.raises(UserNotFound):
        await home.messaging.mute_user(ada, room, "nobody", True)
    with pytest.raises(BadRequest) as refused:
        await home.messaging.mute_user(ada, direct, "bob", True)

    assert refused.value.code == "error-invalid-room-type"


async def test_a_block_silences_both_sides(home: House) -> None:
    """Two blocks are lifted one by one."""
    ada, bob = await home.users("ada", "bob")
    room = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])

    await home.messaging.block_user(ada, room, bob, True)
    for user in (ada, bob):
        with pytest.raises(NotAllowed) as refused:
            await home.say(user, room)
        assert refused.value.code == "room_is_blocked"
    await home.messaging.block_user(bob, room, ada, True)
    await home.messaging.block_user(ada, room, bob, False)
    with pytest.raises(NotAllowed):
        await home.say(ada, room)
    await home.messaging.block_user(bob, room, ada, False)
    await home.say(ada, room)

    assert {"blocked", "blocker"}.isdisjoint(await home.membership(ada, room))


async def test_only_direct_rooms_of_two_are_blocked(home: House) -> None:
    ada, bob, eve = await home.users("ada", "bob", "eve")
    channel = await home.room(ada, "bob")
    of_three = RoomId((await home.messaging.create_direct(ada, ["bob", "eve"]))["_id"])
    of_others = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])

    for room in (channel, of_three):
        with pytest.raises(NotAllowed):
            await home.messaging.block_user(ada, room, bob, True)
    with pytest.raises(InvalidRoom):
        await home.messaging.block_user(eve, of_others, bob, True)


async def test_ignoring_somebody(home: House) -> None:
    """It is noted in one's own membership only."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob")

    await home.messaging.ignore_user(ada, room, bob, True)
    await home.messaging.ignore_user(ada, room, bob, True)
    noted = (await home.membership(ada, room))["ignored"]
    await home.messaging.ignore_user(ada, room, bob, False)

    assert noted == [bob]
    assert (await home.membership(ada, room))["ignored"] == []
    assert "ignored" not in await home.membership(bob, room)
    for user, other in ((ada, eve), (eve, ada), (ada, ada)):
        with pytest.raises(BadRequest) as refused:
            await home.messaging.ignore_user(user, room, other, True)
        assert refused.value.code == "error-invalid-subscription"


async def test_notification_settings(home: House) -> None:
    """All or none; `default` takes a choice back."""
    ada, eve = await home.users("ada", "eve")
    room = await home.room(ada)

    await home.messaging.save_notifications(
        ada,
        room,
        {"desktopNotifications": "mentions", "disableNotifications": "1", "unreadAlert": "all"},
    )
    stored = await home.membership(ada, room)
    with pytest.raises(BadRequest) as refused:
        await home.messaging.save_notifications(
            ada, room, {"hideUnreadStatus": True, "open": False}
        )
    await home.messaging.save_notifications(
        ada, room, {"desktopNotifications": "default", "disableNotifications": "0"}
    )

    assert refused.value.code == "error-invalid-settings"
    assert (stored["desktopNotifications"], stored["desktopPrefOrigin"]) == (
        "mentions",
        "subscription",
    )
    assert (stored["disableNotifications"], stored["unreadAlert"]) == (True, "all")
    after = await home.membership(ada, room)
    assert {"desktopNotifications", "desktopPrefOrigin", "hideUnreadStatus"}.isdisjoint(after)
    assert after["disableNotifications"] is False
    with pytest.raises(BadRequest):
        await home.messaging.save_notifications(eve, room, {"unreadAlert": "all"})


async def test_members_by_role(home: House) -> None:
    """Owners, moderators, everybody else; filtered by name and by status."""
    ada, bob, _, _ = await home.users("zoe", "bob", "ann", "max")
    await home.database.users.update_one({"username": "ann"}, {"$set": {"status": "offline"}})
    room = await home.room(ada, "bob", "ann", "max")
    await home.messaging.set_room_role(ada, room, bob, MODERATOR, True)

    async def names(count: int = 50, offset: int = 0, **wanted: Any) -> tuple[list[str], int]:
        page = await home.messaging.members_by_role(
            ada, room, Paging(count=count, offset=offset), **wanted
        )
        return [item["username"] for item in page.items], page.total

    assert await names() == (["zoe", "bob", "ann", "max"], 4)
    assert await names(count=2, offset=1) == (["bob", "ann"], 4)
    assert await names(name_filter="A") == (["ann", "max"], 2)
    assert await names(statuses=["online"]) == (["zoe", "bob", "max"], 3)
    assert await names(statuses=["offline"]) == (["ann"], 1)


async def test_is_member(home: House) -> None:
    """Only of rooms that the caller may see."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob", kind="p")

    assert await home.messaging.is_member(ada, room, bob)
    assert not await home.messaging.is_member(ada, room, eve)
    with pytest.raises(NotAllowed):
        await home.messaging.is_member(eve, room, bob)
    with pytest.raises(RoomNotFound):
        await home.messaging.is_member(ada, RoomId("nowhere"), bob)


async def test_everybody_is_added(home: House) -> None:
    """Those who are in it stay as they are; more than the limit are refused."""
    ada, bob, _ = await home.users("ada", "bob", "eve")
    await home.users("off", active=False)
    room = await home.room(ada, "bob")
    before = await home.membership(bob, room)
    with pytest.raises(NotAllowed):
        await home.messaging.add_everybody(ada, room)
    home.authorization.granted[ada].add("admin")

    active = await home.messaging.add_everybody(ada, room, True)
    await home.setting("API_User_Limit", 3)
    with pytest.raises(UserLimitExceeded):
        await home.messaging.add_everybody(ada, room)
    await home.setting("API_User_Limit", 500)
    everybody = await home.messaging.add_everybody(ada, room)

    assert (active["usersCount"], everybody["usersCount"]) == (3, 4)
    assert await home.membership(bob, room) == before
    assert [one[:3] for one in await _said(home, room)] == [
        ("uj", "eve", "eve"),
        ("uj", "off", "off"),
    ]


async def test_direct_rooms_of_several_are_left(home: House) -> None:
    """Memberships of the others are named anew; only who made the room removes others."""
    ada, bob, eve, _ = await home.users("ada", "bob", "eve", "max")
    room = RoomId((await home.messaging.create_direct(ada, ["bob", "eve", "max"]))["_id"])

    with pytest.raises(NotAllowed):
        await home.messaging.leave_direct_room(bob, room, eve)
    await home.messaging.leave_direct_room(bob, room)
    await home.messaging.leave_direct_room(ada, room, eve)

    stored = await home.stored_room(room)
    assert (stored["usernames"], stored["uids"], stored["usersCount"]) == (
        ["ada", "max"],
        ["u-ada", "u-max"],
        2,
    )
    assert (await home.membership(ada, room))["name"] == "max"
    assert [one[:2] for one in await _said(home, room)] == [("ul", "bob"), ("ru", "eve")]
    with pytest.raises(NotAllowed):
        await home.messaging.leave_direct_room(ada, room)
    with pytest.raises(InvalidRoom):
        await home.messaging.leave_direct_room(bob, room)


async def test_direct_rooms_are_erased(home: House) -> None:
    """By those in it and by administrators; others learn nothing of it."""
    ada, _, eve = await home.users("ada", "bob", "eve")
    room = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    await home.say(ada, room)

    with pytest.raises(InvalidRoom):
        await home.messaging.erase_direct_room(eve, room)
    await home.messaging.erase_direct_room(ada, room)
    again = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    home.authorization.granted[eve].add("admin")
    await home.messaging.erase_direct_room(eve, again)

    assert await home.database.rocketchat_room.count_documents({"t": "d"}) == 0
    assert await home.database.rocketchat_subscription.count_documents({"rid": room}) == 0
    assert await home.database.rocketchat_message.count_documents({"rid": room}) == 0


async def test_direct_rooms_of_all_are_listed(home: House) -> None:
    ada, bob, _ = await home.users("ada", "bob", "eve")
    await home.messaging.create_direct(bob, ["eve"])

    with pytest.raises(NotAllowed):
        await home.messaging.list_direct_rooms(ada, Paging())
    with pytest.raises(NotAllowed):
        await home.messaging.create_direct(ada, ["bob", "eve"], exclude_self=True)
    home.authorization.granted[ada].add("admin")
    await home.messaging.create_direct(ada, ["bob", "eve"], exclude_self=True)
    page = await home.messaging.list_direct_rooms(ada, Paging())

    assert [room["usernames"] for room in page.items] == [["bob", "eve"]]


async def test_others_rooms_are_read_only_if_that_is_allowed(home: House) -> None:
    """Off by default; then by administrators, who leave a trace."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    channel = await home.room(ada)
    for number in range(3):
        await home.say(ada, room, f"word {number}")
    home.authorization.granted[eve].add("admin")

    with pytest.raises(Disabled):
        await home.messaging.messages_of_others(eve, room, Paging())
    await home.setting("API_Enable_Direct_Message_History_EndPoint", True)
    with pytest.raises(NotAllowed):
        await home.messaging.messages_of_others(bob, room, Paging())
    with pytest.raises(InvalidRoom):
        await home.messaging.messages_of_others(eve, channel, Paging())
    traces = _Traces()
    await home.bus.listen(traces, service="audit")
    page = await home.messaging.messages_of_others(eve, room, Paging(count=2, offset=1))
    await home.bus.settled()

    assert [one["msg"] for one in page.items] == ["word 1", "word 0"]
    assert page.total == 3
    assert [(one.actor, one.action, one.target) for one in traces.heard] == [
        (eve, "room.read-by-administrator", room)
    ]


class _Traces:
    def __init__(self) -> None:
        self.heard: list[Audited] = []

    @listen(Audited, to="one")
    async def on_audited(self, event: Audited) -> None:
        self.heard.append(event)
