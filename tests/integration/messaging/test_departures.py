"""What leaves with a user, and what a changed name brings about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hubbub.contracts.events import UserIdentityChanged
from hubbub.contracts.members import Departure, LastOwnerLeaves, RoomRole
from hubbub.contracts.workspace import BOT_USER_ID, GENERAL_ROOM_ID
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def _changed(home: House, user_id: UserId, *, deleted: bool = False) -> None:
    """What the hub tells when an account changed or went."""
    if deleted:
        await home.database.users.delete_one({"_id": user_id})
    await home.bus.publish(UserIdentityChanged(user_id=user_id, deleted=deleted))
    await home.bus.settled()


async def _names(home: House, room_ids: list[RoomId]) -> list[str]:
    return [str((await home.stored_room(room_id))["name"]) for room_id in room_ids]


async def _messages(home: House, **query: Any) -> int:
    return await home.database.rocketchat_message.count_documents(query)


async def test_what_stands_in_the_way(home: House) -> None:
    """Rooms that nobody else owns, rooms in which nobody else is; not the one for everybody,
    and no direct rooms."""
    ada, bob, _ = await home.users("ada", "bob", "eve")
    shared, alone = await home.room(ada, "bob", "eve"), await home.room(ada)
    two_owners = await home.room(ada, "bob")
    await home.messaging.set_room_role(ada, two_owners, bob, RoomRole.OWNER, True)
    await home.room(bob, "ada")
    await home.messaging.create_direct(ada, ["bob"])
    await home.messaging.join_default_rooms(ada)
    for_all = await home.room(ada)
    await home.database.rocketchat_room.update_one({"_id": for_all}, {"$set": {"default": True}})

    found = await home.messaging.check_departure(ada)

    assert found == Departure(
        should_change_owner=await _names(home, [shared]),
        should_be_removed=await _names(home, [alone]),
    )
    with pytest.raises(LastOwnerLeaves) as refused:
        await home.messaging.relinquish_rooms(ada, "deleted")
    assert refused.value.code == "user-last-owner"
    assert refused.value.message == "[user-last-owner]"
    assert refused.value.details == {
        "shouldChangeOwner": found.should_change_owner,
        "shouldBeRemoved": found.should_be_removed,
    }
    assert "owner" in (await home.membership(ada, shared))["roles"]


async def test_a_room_without_an_owner_counts_by_its_members(home: House) -> None:
    """Being the only one in a room that nobody owns stands in the way as well."""
    ada, bob = await home.users("ada", "bob")
    room = await home.room(ada, "bob")
    await home.database.rocketchat_subscription.update_one(
        {"rid": room, "u._id": ada}, {"$unset": {"roles": ""}}
    )

    assert (await home.messaging.check_departure(bob)).is_free
    await home.messaging.leave_room(ada, room)

    assert (await home.messaging.check_departure(bob)).should_be_removed == await _names(
        home, [room]
    )


async def test_the_oldest_active_member_inherits(home: House) -> None:
    """Bots and those who cannot act come last. Deactivation leaves the memberships."""
    ada, _, eve, old = await home.users("ada", "bob", "eve", "old")
    await home.users("robot", type="bot")
    await home.database.users.update_one({"_id": old}, {"$set": {"active": False}})
    room, alone = await home.room(ada, "bob", "eve", "old", "robot"), await home.room(ada)
    joined = (await home.membership(ada, room))["ts"]
    for days, username in enumerate(("robot", "old", "eve", "bob")):
        await home.database.rocketchat_subscription.update_one(
            {"rid": room, "u.username": username},
            {"$set": {"ts": joined + timedelta(days=days)}},
        )

    await home.messaging.relinquish_rooms(ada, "deactivated", confirmed=True)
    await home.messaging.relinquish_rooms(ada, "deactivated")

    assert (await home.membership(eve, room))["roles"] == ["owner"]
    assert (await home.membership(ada, room))["roles"] == ["owner"]
    assert await home.database.rocketchat_room.find_one({"_id": alone}) is None
    told = await home.database.rocketchat_message.find_one({"rid": room})
    assert told is not None
    assert (told["t"], told["msg"], told["role"], told["u"]["_id"]) == (
        "subscription-role-added",
        "eve",
        "owner",
        BOT_USER_ID,
    )


@pytest.mark.parametrize("erasure", ["Delete", "Unlink", "Keep"])
async def test_a_deleted_account(home: House, erasure: str) -> None:
    """Memberships end and are remembered; messages go as the workspace is set."""
    ada, bob = await home.users("ada", "bob")
    await home.setting("Message_ErasureType", erasure)
    room = await home.room(bob, "ada")
    direct = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    theirs = await home.say(bob, room, "one")
    await home.say(ada, room, "two", tmid=theirs["_id"])
    await home.say(ada, room, "three")
    await home.say(ada, direct, "four")
    await home.messaging.mute_user(bob, room, "ada", True)
    await home.messaging.join_default_rooms(ada)
    await home.settled()

    await home.messaging.relinquish_rooms(ada, "deleted")
    await _changed(home, ada, deleted=True)
    await home.settled()

    stored = await home.stored_room(room)
    memberships = home.database.rocketchat_subscription
    assert await memberships.count_documents({"u._id": ada}) == 0
    kept = home.database.rocketchat__trash.count_documents(
        {"__collection__": "subscription", "u._id": ada}
    )
    assert await kept == 3
    assert (stored["usersCount"], stored["muted"]) == (1, [])
    assert (await home.stored_room(GENERAL_ROOM_ID))["usersCount"] == 0
    parent = await home.message(theirs["_id"])
    assert parent is not None
    match erasure:
        case "Delete":
            assert await _messages(home, rid=room, t={"$exists": False}) == 1
            assert stored["msgs"] == 2  # one, and that somebody was muted
            assert stored["lastMessage"]["_id"] == theirs["_id"]
            assert parent["tcount"] == 0
            assert await memberships.count_documents({"rid": direct}) == 0
            assert await _messages(home, rid=direct) == 0
        case "Unlink":
            assert await _messages(home, **{"u._id": BOT_USER_ID, "alias": "Removed User"}) == 4
            assert await _messages(home, **{"u._id": ada}) == 0
        case _:
            # What was said, and that somebody joined the room for everybody.
            assert await _messages(home, **{"u._id": ada}) == 4
    if erasure != "Delete":
        assert (await home.stored_room(direct))["ro"] is True
        assert (await home.membership(bob, direct))["name"] == "ada"
        with pytest.raises(NotAllowed):
            await home.say(bob, direct, "hello?")


async def test_erased_words_are_kept_nowhere(home: House) -> None:
    """The trash knows that messages are gone, not what they said; once, and in one record."""
    ada, bob = await home.users("ada", "bob")
    room = await home.room(bob, "ada")
    said = [(await home.say(ada, room, f"secret {number}"))["_id"] for number in range(3)]
    await home.settled()

    await home.messaging.relinquish_rooms(ada, "deleted")

    trash = [one async for one in home.database.rocketchat__trash.find({"rid": room})]
    stubs = [one for one in trash if one["__collection__"] == "message"]
    (record,) = [one for one in trash if one["__collection__"] == "prune"]
    assert "secret" not in str(trash)
    assert {one["_id"] for one in stubs} == set(said) == set(record["ids"])
    assert {one["prunedBy"] for one in stubs} == {record["_id"]}
    assert record["users"] == ["ada"]


async def test_direct_rooms_of_several_go_on(home: House) -> None:
    ada, bob, _ = await home.users("ada", "bob", "eve")
    room = RoomId((await home.messaging.create_direct(ada, ["bob", "eve"]))["_id"])

    await home.messaging.relinquish_rooms(ada, "deleted")

    stored = await home.stored_room(room)
    assert (stored["usernames"], stored["uids"]) == (["bob", "eve"], ["u-bob", "u-eve"])
    assert (stored["usersCount"], stored["ro"]) == (2, False)
    assert (await home.membership(bob, room))["name"] == "eve"


async def test_what_is_left_is_ended_later(home: House) -> None:
    """An account that went without a word, or joined rooms meanwhile, leaves nothing behind."""
    ada, bob = await home.users("ada", "bob")
    room, alone = await home.room(ada, "bob"), await home.room(ada)

    await _changed(home, ada, deleted=True)

    assert (await home.membership(bob, room))["roles"] == ["owner"]
    assert await home.database.rocketchat_subscription.count_documents({"u._id": ada}) == 0
    assert await home.database.rocketchat_room.find_one({"_id": alone}) is None


async def test_a_living_account_keeps_everything(home: House) -> None:
    """Whatever was told of its end."""
    (ada,) = await home.users("ada")
    room = await home.room(ada)

    await home.bus.publish(UserIdentityChanged(user_id=ada, deleted=True))
    await home.bus.settled()

    assert (await home.membership(ada, room))["roles"] == ["owner"]


async def test_a_new_name_is_carried(home: House) -> None:
    """Into memberships, direct rooms on both sides, and lists of who may not speak."""
    ada, bob, _ = await home.users("ada", "bob", "eve")
    room = await home.room(ada, "bob")
    await home.messaging.mute_user(ada, room, "bob", True)
    pair = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    alone = RoomId((await home.messaging.create_direct(bob, ["bob"]))["_id"])
    several = RoomId((await home.messaging.create_direct(ada, ["bob", "eve"]))["_id"])

    await home.database.users.update_one(
        {"_id": bob}, {"$set": {"username": "zed", "name": "Zed Zulu"}}
    )
    await _changed(home, bob)

    assert (await home.membership(bob, room))["u"] == {
        "_id": bob,
        "username": "zed",
        "name": "Zed Zulu",
    }
    assert (await home.stored_room(room))["muted"] == ["zed"]
    assert (await home.stored_room(pair))["usernames"] == ["ada", "zed"]
    assert (await home.stored_room(several))["usernames"] == ["ada", "eve", "zed"]
    titles = {
        room_id: (found["name"], found["fname"])
        for user, room_id in ((ada, pair), (bob, pair), (bob, alone), (ada, several))
        if (found := await home.membership(user, room_id))
        if user != bob or room_id == alone
    }
    assert titles == {
        pair: ("zed", "Zed Zulu"),
        alone: ("zed", "Zed Zulu"),
        several: ("eve, zed", "Eve, Zed Zulu"),
    }
    assert (await home.membership(bob, pair))["name"] == "ada"
    with pytest.raises(NotAllowed):
        await home.say(bob, room)


async def test_a_name_that_is_taken_back(home: House) -> None:
    """Without a name, lists show the username; a repeat writes nothing."""
    ada, bob = await home.users("ada", "bob")
    pair = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])
    await home.database.users.update_one({"_id": bob}, {"$unset": {"name": ""}})

    await _changed(home, bob)
    before = await home.membership(ada, pair)
    own = await home.membership(bob, pair)
    await _changed(home, bob)

    assert (before["name"], before["fname"]) == ("bob", "bob")
    assert own["u"] == {"_id": bob, "username": "bob"}
    assert await home.membership(ada, pair) == before
    assert await home.membership(bob, pair) == own


async def test_nobody_writes_to_the_inactive(home: House) -> None:
    """Direct rooms of two are read-only while one of them cannot answer."""
    ada, bob = await home.users("ada", "bob")
    pair = RoomId((await home.messaging.create_direct(ada, ["bob"]))["_id"])

    await home.database.users.update_one({"_id": bob}, {"$set": {"active": False}})
    await _changed(home, bob)
    with pytest.raises(NotAllowed):
        await home.say(ada, pair)
    await home.database.users.update_one({"_id": bob}, {"$set": {"active": True}})
    await _changed(home, bob)
    await home.say(ada, pair)

    assert (await home.stored_room(pair))["ro"] is False


async def test_invitations_go_with_their_maker(home: House) -> None:
    ada, bob = await home.users("ada", "bob")
    room = await home.room(ada, "bob")
    await home.messaging.find_or_create_invite(ada, room, 1, 0)

    await home.messaging.relinquish_rooms(ada, "deleted", confirmed=True)

    assert await home.database.rocketchat_invites.count_documents({}) == 0
    assert (await home.membership(bob, room))["roles"] == ["owner"]
