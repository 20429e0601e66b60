"""Links that let their holders into a room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hubbub.contracts.events import RoomChanged
from hubbub.contracts.members import InvalidInvite
from hubbub.contracts.messages import InvalidRoom
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def test_an_invitation(home: House) -> None:
    """The same limits give the same link while it is valid, other limits another one."""
    ada, _ = await home.users("ada", "bob")
    room = await home.room(ada, kind="p")

    invite = await home.messaging.find_or_create_invite(ada, room, 7, 5)
    same = await home.messaging.find_or_create_invite(ada, room, 7, 5)
    other = await home.messaging.find_or_create_invite(ada, room, 0, 0)

    assert invite == same
    assert invite["_id"] != other["_id"]
    assert (invite["rid"], invite["userId"], invite["uses"]) == (room, ada, 0)
    assert invite["expires"] - invite["createdAt"] == timedelta(days=7)
    assert invite["url"].endswith(f"/invite/{invite['_id']}")
    assert other["expires"] is None


async def test_limits_and_rights(home: House) -> None:
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob", kind="p")

    with pytest.raises(BadRequest) as days:
        await home.messaging.find_or_create_invite(ada, room, 2, 0)
    with pytest.raises(BadRequest) as uses:
        await home.messaging.find_or_create_invite(ada, room, 1, 2)
    with pytest.raises(NotAllowed):
        await home.messaging.find_or_create_invite(bob, room, 1, 0)
    for nowhere in (room, RoomId("nowhere")):
        with pytest.raises(InvalidRoom):
            await home.messaging.find_or_create_invite(eve, nowhere, 1, 0)

    assert (days.value.code, uses.value.code) == (
        "invalid-number-of-days",
        "invalid-number-of-uses",
    )


async def test_joining_by_invitation(home: House) -> None:
    """Into a private room; each newcomer takes a use, members take none."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room = await home.room(ada, kind="p")
    token = (await home.messaging.find_or_create_invite(ada, room, 1, 1))["_id"]

    assert await home.messaging.is_invite_valid(token)
    joined = await home.messaging.use_invite(bob, token)
    assert not await home.messaging.is_invite_valid(token)
    with pytest.raises(InvalidInvite) as refused:
        await home.messaging.use_invite(eve, token)

    stored = await home.stored_room(room)
    assert joined == {
        "rid": room,
        "t": "p",
        "name": stored["name"],
        "fname": stored["fname"],
    }
    assert (await home.membership(bob, room))["open"] is True
    assert stored["usersCount"] == 2
    assert refused.value.reason == "The invite token is invalid."
    message = await home.database.rocketchat_message.find_one({"rid": room})
    assert message is not None
    assert (message["t"], message["u"]["_id"]) == ("uj", bob)


async def test_a_member_uses_nothing_up(home: House) -> None:
    ada, _ = await home.users("ada", "bob")
    room = await home.room(ada)
    token = (await home.messaging.find_or_create_invite(ada, room, 1, 1))["_id"]

    await home.messaging.use_invite(ada, token)

    assert await home.messaging.is_invite_valid(token)


async def test_old_ones_let_nobody_in(home: House) -> None:
    """Nor do those of rooms that are gone, nor such that never were."""
    ada, bob = await home.users("ada", "bob")
    old, gone = await home.room(ada), await home.room(ada)
    first = (await home.messaging.find_or_create_invite(ada, old, 1, 0))["_id"]
    second = (await home.messaging.find_or_create_invite(ada, gone, 0, 0))["_id"]
    past = datetime.now(UTC) - timedelta(seconds=1)
    await home.database.rocketchat_invites.update_one({"_id": first}, {"$set": {"expires": past}})
    await home.messaging.erase_room(ada, gone)

    for token in (first, second, "never", "$ne"):
        assert not await home.messaging.is_invite_valid(token)
        with pytest.raises(InvalidInvite):
            await home.messaging.use_invite(bob, token)
    await home.bus.publish(RoomChanged(room_id=gone, deleted=True))
    await home.bus.settled()
    assert await home.database.rocketchat_invites.count_documents({"rid": gone}) == 0


async def test_who_sees_and_removes_them(home: House) -> None:
    """Owners those of their rooms, administrators all, others none."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    mine, theirs = await home.room(ada, "eve", kind="p"), await home.room(bob, kind="p")
    one = await home.messaging.find_or_create_invite(ada, mine, 1, 0)
    two = await home.messaging.find_or_create_invite(bob, theirs, 1, 0)

    assert await home.messaging.list_invites(ada) == [one]
    with pytest.raises(NotAllowed):
        await home.messaging.list_invites(eve)
    with pytest.raises(NotAllowed):
        await home.messaging.remove_invite(eve, one["_id"])
    home.authorization.granted[eve].add("admin")
    listed = await home.messaging.list_invites(eve)
    assert {invite["_id"] for invite in listed} == {one["_id"], two["_id"]}
    await home.messaging.remove_invite(ada, one["_id"])
    with pytest.raises(InvalidInvite) as refused:
        await home.messaging.remove_invite(ada, one["_id"])
    assert refused.value.code == "invalid-invitation-id"
    assert await home.messaging.list_invites(ada) == []
