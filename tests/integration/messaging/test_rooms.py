"""Rooms: making, joining, leaving, finding."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Paging
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import (
    DuplicateRoomName,
    InvalidRoomName,
    LastOwner,
    NewRoom,
    NotInRoom,
    RoomNotFound,
    RoomType,
)
from hubbub.contracts.workspace import PUBLISHED_ROOM_FIELDS, SETTINGS
from hubbub.errors import BadRequest, NotAllowed, Unauthenticated
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House, house
from tests.waiting import eventually

pytestmark = pytest.mark.integration


def _new(name: str, kind: str = "c", **fields: Any) -> NewRoom:
    return NewRoom.model_validate({"type": kind, "name": name, **fields})


async def test_a_new_channel(home: House) -> None:
    """The creator owns it and has seen it; members notice it; nothing is said about it."""
    ada, bob = await home.users("ada", "bob")

    room = await home.messaging.create_room(
        ada, _new("news", members=["bob", "nobody"], topic="t", custom_fields={"a": 1})
    )

    owner = await home.membership(ada, room["_id"])
    member = await home.membership(bob, room["_id"])
    assert room.keys() <= PUBLISHED_ROOM_FIELDS
    assert (room["t"], room["name"], room["fname"]) == ("c", "news", "news")
    assert (room["msgs"], room["usersCount"], room["topic"]) == (0, 2, "t")
    assert room["u"] == {"_id": ada, "username": "ada"}
    assert owner["roles"] == ["owner"]
    assert await home.database.rocketchat_message.count_documents({}) == 0
    seen = await home.messaging.subscription_of(bob, room["_id"])
    assert seen is not None
    assert (seen["alert"], seen["unread"], seen["userMentions"]) == (True, 1, 1)
    assert "roles" not in member


async def test_names_are_unique_and_checked(home: House) -> None:
    """Over channels and groups; a repeat that may come unasked is answered with the room."""
    ada, bob = await home.users("ada", "bob")
    room = await home.messaging.create_room(ada, _new("news"))
    repeat = _new("news").model_copy(update={"repeatable": True})

    assert (await home.messaging.create_room(ada, repeat))["_id"] == room["_id"]
    with pytest.raises(DuplicateRoomName):
        await home.messaging.create_room(ada, _new("news"))
    for user, kind in ((bob, "c"), (ada, "p")):
        with pytest.raises(DuplicateRoomName) as duplicate:
            await home.messaging.create_room(user, _new("news", kind))
        assert duplicate.value.reason == "A channel with name 'news' exists"
    await home.say(ada, RoomId(room["_id"]))
    with pytest.raises(DuplicateRoomName):
        await home.messaging.create_room(ada, repeat)
    with pytest.raises(InvalidRoomName) as invalid:
        await home.messaging.create_room(ada, _new("no such name"))
    assert invalid.value.details == {"channel_name": "no such name"}


async def test_rooms_made_at_the_same_moment(home: House) -> None:
    """Only one gets the name."""
    users = await home.users("ada", "bob", "eve")

    outcomes = await asyncio.gather(
        *(home.messaging.create_room(user, _new("news")) for user in users),
        return_exceptions=True,
    )

    assert sum(isinstance(one, dict) for one in outcomes) == 1
    assert sum(isinstance(one, DuplicateRoomName) for one in outcomes) == 2
    assert await home.database.rocketchat_subscription.count_documents({"name": "news"}) == 1


async def test_creating_needs_the_right(home: House) -> None:
    """Guests make nothing."""
    ada, bob = await home.users("ada", "bob")
    home.authorization.granted[ada] = {"guest"}

    with pytest.raises(NotAllowed):
        await home.messaging.create_room(ada, _new("news"))
    with pytest.raises(NotAllowed):
        await home.messaging.create_direct(ada, ["bob"])
    with pytest.raises(Unauthenticated):
        await home.messaging.create_room(UserId("nobody"), _new("news"))
    assert bob


async def test_direct_rooms(home: House) -> None:
    """One per set of people, whoever asks, named after the others."""
    ada, bob, eve = await home.users("ada", "bob", "eve")

    rooms = await asyncio.gather(
        *(home.messaging.create_direct(ada, ["bob", ""]) for _ in range(5)),
        *(home.messaging.create_direct(bob, ["ada"]) for _ in range(5)),
    )
    alone = await home.messaging.create_direct(ada, ["ada"])
    three = await home.messaging.create_direct(ada, ["bob", "eve"])
    same_three = await home.messaging.create_direct(eve, ["bob", "ada"])

    assert {room["rid"] for room in rooms} == {"u-adau-bob"}
    assert rooms[0]["usernames"] == ["ada", "bob"]
    assert (rooms[0]["t"], rooms[0]["usersCount"]) == ("d", 2)
    assert alone["rid"] == "u-adau-ada"
    assert three["rid"] == same_three["rid"]
    membership = await home.membership(bob, "u-adau-bob")
    assert (membership["name"], membership["fname"]) == ("ada", "Ada")
    assert membership["open"] is True  # bob asked for it himself
    assert (await home.membership(eve, three["rid"]))["name"] == "ada, bob"
    assert await home.database.rocketchat_subscription.count_documents({"t": "d"}) == 6


async def test_usernames_are_found_in_any_case(home: House) -> None:
    """As sign-in finds them: the exact one first, else the only one that fits."""
    # Data of another server may have names that differ only in case: then this is not unique.
    users = home.database.users
    await users.drop_index("username_caseless")
    await users.create_index(
        "username",
        name="username_caseless_twins",
        sparse=True,
        collation={"locale": "en", "strength": 2},
    )
    ada, bob, upper = await home.users("ada", "bob", "BOB")

    direct = await home.messaging.create_direct(ada, ["Ada"])
    exact = await home.messaging.create_direct(ada, ["bob"])
    room = await home.messaging.create_room(ada, _new("news", members=["ADA", "BOB", "bob"]))

    assert direct["usernames"] == ["ada"]
    assert sorted(exact["uids"]) == sorted([ada, bob])
    assert room["usersCount"] == 3, "the creator counts once, whatever the case"
    assert await home.messaging.room_id_of(bob, "ADA") == exact["_id"]
    with pytest.raises(NotAllowed):
        await home.messaging.room_id_of(ada, "BOB")  # the exact one counts, and has no room
    with pytest.raises(UserNotFound):
        await home.messaging.create_direct(ada, ["Bob"])  # could be either
    added = await home.messaging.add_users(ada, RoomId(room["_id"]), ["bob", "Ada"])
    assert added["usersCount"] == 3
    assert upper


async def test_a_lost_membership_of_a_direct_room_comes_back(home: House) -> None:
    """And a hidden room is shown again."""
    ada, bob = await home.users("ada", "bob")
    room = await home.messaging.create_direct(ada, ["bob"])
    memberships = home.database.rocketchat_subscription
    await memberships.delete_one({"rid": room["rid"], "u._id": bob})
    await home.messaging.set_room_open(ada, room["rid"], is_open=False)

    await home.messaging.create_direct(ada, ["bob"])

    assert (await home.membership(bob, room["rid"]))["name"] == "ada"
    assert (await home.membership(ada, room["rid"]))["open"] is True


async def test_direct_rooms_have_limits(home: House) -> None:
    """Unknown people, too many people."""
    (ada, *_) = await home.users("ada", *(f"u{n}" for n in range(9)))

    with pytest.raises(UserNotFound):
        await home.messaging.create_direct(ada, ["nobody"])
    with pytest.raises(UserNotFound):
        await home.messaging.create_direct(ada, [""])
    with pytest.raises(BadRequest) as refused:
        await home.messaging.create_direct(ada, [f"u{n}" for n in range(8)])
    assert refused.value.code == "error-direct-message-max-user-exceeded"


async def test_joining_and_leaving(home: House) -> None:
    """Both are said once, counted, and repeatable where they should be."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada)

    await home.messaging.join_room(bob, room_id)
    joined = await home.messaging.join_room(bob, room_id)
    assert joined["usersCount"] == 2
    await home.messaging.leave_room(bob, room_id)
    with pytest.raises(NotInRoom):
        await home.messaging.leave_room(bob, room_id)

    said = home.database.rocketchat_message.find({"rid": room_id}).sort("seq")
    assert [(message["t"], message["msg"], message["seq"]) async for message in said] == [
        ("uj", "bob", 1),
        ("ul", "bob", 2),
    ]
    room = await home.stored_room(room_id)
    ended = await home.database.rocketchat__trash.find_one({"__collection__": "subscription"})
    assert (room["usersCount"], room["msgs"]) == (1, 2)
    assert ended is not None
    assert (ended["rid"], ended["u"]["_id"]) == (room_id, bob)


async def test_joining_has_rules(home: House) -> None:
    """Groups, archived rooms and codes."""
    ada, bob = await home.users("ada", "bob")
    group, channel = await home.room(ada, kind="p"), await home.room(ada)
    rooms = home.database.rocketchat_room

    with pytest.raises(NotAllowed):
        await home.messaging.join_room(bob, group)
    with pytest.raises(InvalidRoom):
        await home.messaging.join_room(bob, RoomId("nowhere"))
    code = {"joinCode": "xyz", "joinCodeRequired": True}
    await rooms.update_one({"_id": channel}, {"$set": code})
    for given, expected in ((None, "error-code-required"), ("abc", "error-code-invalid")):
        with pytest.raises(BadRequest) as refused:
            await home.messaging.join_room(bob, channel, given)
        assert refused.value.code == expected
    room = await home.messaging.join_room(bob, channel, "xyz")
    assert "joinCode" not in room
    await rooms.update_one({"_id": group}, {"$set": {"t": "c", "archived": True}})
    with pytest.raises(NotAllowed):
        await home.messaging.join_room(bob, group)


async def test_the_last_owner_stays(home: House) -> None:
    """Unless nobody else is left; two who leave at once do not both get through."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room_id = await home.room(ada, "bob", "eve")
    memberships = home.database.rocketchat_subscription

    with pytest.raises(LastOwner):
        await home.messaging.leave_room(ada, room_id)
    assert (await home.stored_room(room_id))["usersCount"] == 3
    await memberships.update_one({"rid": room_id, "u._id": bob}, {"$set": {"roles": ["owner"]}})
    async with house(home.database) as other:
        outcomes = await asyncio.gather(
            home.messaging.leave_room(ada, room_id),
            other.messaging.leave_room(bob, room_id),
            return_exceptions=True,
        )
    assert sorted(type(one).__name__ for one in outcomes) == ["LastOwner", "NoneType"]
    alone = await home.room(eve)
    await home.messaging.leave_room(eve, alone)


async def test_adding_and_removing_others(home: House) -> None:
    """By those who may; each addition is said once."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room_id = await home.room(ada)

    await home.messaging.add_users(ada, room_id, ["bob", "eve"])
    room = await home.messaging.add_users(ada, room_id, ["bob"])
    assert room["usersCount"] == 3
    with pytest.raises(UserNotFound):
        await home.messaging.add_users(ada, room_id, ["nobody"])
    with pytest.raises(NotAllowed):
        await home.messaging.add_users(bob, room_id, ["eve"])
    with pytest.raises(NotAllowed):
        await home.messaging.remove_user(bob, room_id, "eve")
    after = await home.messaging.remove_user(ada, room_id, "eve")
    assert after["usersCount"] == 2
    with pytest.raises(NotInRoom):
        await home.messaging.remove_user(ada, room_id, "eve")
    with pytest.raises(UserNotFound):
        await home.messaging.remove_user(ada, room_id, "nobody")
    with pytest.raises(LastOwner):
        await home.messaging.remove_user(ada, room_id, "ada")
    said = home.database.rocketchat_message.find({"rid": room_id}).sort("seq")
    assert [(m["t"], m["msg"], m["u"]["username"]) async for m in said] == [
        ("au", "bob", "ada"),
        ("au", "eve", "ada"),
        ("ru", "eve", "ada"),
    ]
    direct = await home.messaging.create_direct(ada, ["bob"])
    with pytest.raises(NotAllowed):
        await home.messaging.add_users(ada, direct["rid"], ["eve"])
    assert eve


async def test_an_end_is_known_to_a_majority_and_carries_its_document(home: House) -> None:
    """The change stream shows who was removed from where."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    async with await home.database.rocketchat_subscription.watch(
        [{"$match": {"operationType": "delete"}}],
        full_document_before_change="required",
        max_await_time_ms=100,
    ) as stream:
        await home.messaging.remove_user(ada, room_id, "bob")

        change = await eventually(stream.try_next)
        assert change is not None
        assert change["fullDocumentBeforeChange"]["u"]["_id"] == bob
        assert change["fullDocumentBeforeChange"]["rid"] == room_id


async def test_everybody_joins_the_default_rooms(home: House) -> None:
    """`GENERAL` is there from the start, without owner; joining it twice is no harm."""
    (ada,) = await home.users("ada")

    await home.messaging.join_default_rooms(ada)
    await home.messaging.join_default_rooms(ada)

    room = await home.messaging.get_room(ada, name="general")
    membership = await home.membership(ada, "GENERAL")
    assert (room["_id"], room["default"], room["usersCount"]) == ("GENERAL", True, 1)
    assert "roles" not in membership
    assert await home.database.rocketchat_message.count_documents({"t": "uj"}) == 1
    with pytest.raises(Unauthenticated):
        await home.messaging.join_default_rooms(UserId("nobody"))


async def test_what_is_gone_is_told_since_a_date(home: House) -> None:
    """`remove` lists ended memberships, and rooms that the user had."""
    ada, bob = await home.users("ada", "bob")
    kept, left = await home.room(ada, "bob"), await home.room(ada, "bob")
    membership = await home.membership(bob, left)
    since = await home.service._desk.now()

    everything = await home.messaging.rooms_of(bob)
    assert {room["_id"] for room in everything.update} == {kept, left}
    assert everything.remove == []
    await home.messaging.leave_room(bob, left)
    await home.room(ada)
    rooms = await home.messaging.rooms_of(bob, since)
    memberships = await home.messaging.subscriptions_of(bob, since)
    assert [room["_id"] for room in rooms.remove] == [left]
    assert left not in {room["_id"] for room in rooms.update}
    assert [entry["_id"] for entry in memberships.remove] == [membership["_id"]]
    assert all(entry["_deletedAt"] >= since for entry in rooms.remove + memberships.remove)
    later = await home.messaging.rooms_of(bob, since + timedelta(hours=1))
    assert later.update == later.remove == []
    assert (await home.messaging.rooms_of(None)).update == []


async def test_foreign_memberships_have_what_clients_need(home: House) -> None:
    """Counters, flags and dates are filled in, whatever a load tester wrote."""
    (ada,) = await home.users("ada")
    await home.database.rocketchat_room.insert_one(
        {"_id": "lt", "t": "c", "name": "lt", "_updatedAt": "2020-01-01T00:00:00.000Z"}
    )
    await home.database.rocketchat_subscription.insert_one(
        {"_id": "lts", "rid": "lt", "u": {"_id": ada}, "ls": "2020-01-01T00:00:00.000Z"}
    )
    now = datetime.now(UTC)

    (membership,) = (await home.messaging.subscriptions_of(ada, now)).update
    (room,) = (await home.messaging.rooms_of(ada, now)).update
    (place,) = await home.messaging.memberships_of(ada)

    assert (membership["open"], membership["alert"], membership["unread"]) == (True, False, 0)
    assert membership["ls"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert room["_updatedAt"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert (room["msgs"], room["usersCount"]) == (0, 0)
    assert (place.room_id, place.room_type, place.room_name) == ("lt", "c", "lt")


async def test_finding_a_room(home: House) -> None:
    """By id, name, or the other's username; what one may not see does not exist."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    channel, group = await home.room(ada), await home.room(ada, kind="p")
    direct = await home.messaging.create_direct(ada, ["bob"])
    name = (await home.stored_room(channel))["name"]
    secret = (await home.stored_room(group))["name"]

    assert await home.messaging.room_id_of(eve, channel) == channel
    assert await home.messaging.room_id_of(eve, name) == channel
    assert await home.messaging.room_id_of(ada, "bob") == direct["rid"]
    assert await home.messaging.room_name_of(ada, direct["rid"]) == "bob"
    assert await home.messaging.room_name_of(bob, direct["rid"]) == "ada"
    assert await home.messaging.room_name_of(ada, group) == secret
    for unknown in (group, secret, "nothing", "ada", direct["rid"]):
        with pytest.raises(NotAllowed):
            await home.messaging.room_id_of(eve, unknown)
        with pytest.raises(RoomNotFound):
            await home.messaging.get_room(eve, room_id=unknown)
        with pytest.raises(RoomNotFound):
            await home.messaging.get_room(eve, name=unknown)
    with pytest.raises(RoomNotFound):
        await home.messaging.get_room(ada, room_id=channel, types=[RoomType.PRIVATE_GROUP])
    assert (await home.messaging.get_room(ada, name=secret))["_id"] == group


async def test_lists_of_rooms(home: House) -> None:
    """Public ones for all, groups for their members; names literally."""
    ada, bob = await home.users("ada", "bob")
    for name in ("a.c", "abc", "xyz"):
        await home.messaging.create_room(ada, _new(name))
    await home.messaging.create_room(bob, _new("secret", "p"))

    async def names(user: UserId, kind: Any, **wanted: Any) -> list[str]:
        page = await home.messaging.list_rooms(user, kind, Paging(), **wanted)
        return [room["name"] for room in page.items]

    assert await names(bob, "c") == ["a.c", "abc", "general", "xyz"]
    assert await names(bob, "c", joined_only=True) == []
    assert await names(bob, "c", name="abc") == ["abc"]
    assert await names(bob, "c", name_part="A.") == ["a.c"]
    assert await names(bob, "p") == ["secret"]
    assert await names(ada, "p") == []
    home.authorization.granted[ada] = {"admin"}
    assert await names(ada, "p") == ["secret"]
    page = await home.messaging.list_rooms(
        bob, "c", Paging(offset=1, count=2, sort={"name": -1, "joinCode": 1})
    )
    assert [room["name"] for room in page.items] == ["general", "abc"]
    assert page.total == 4


async def test_members(home: House) -> None:
    """By username; filtered by name or presence; not for strangers of a group."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    await home.database.users.update_one({"_id": bob}, {"$set": {"status": "offline"}})
    room_id = await home.room(ada, "bob", "eve", kind="p")

    async def usernames(**wanted: Any) -> list[str]:
        page = await home.messaging.members(ada, room_id, Paging(), **wanted)
        return [member["username"] for member in page.items]

    page = await home.messaging.members(ada, room_id, Paging(offset=1, count=1))
    assert [member["username"] for member in page.items] == ["bob"]
    assert page.items[0]["status"] == "offline"
    assert page.total == 3
    assert await usernames() == ["ada", "bob", "eve"]
    assert await usernames(online_only=True) == ["ada", "eve"]
    assert await usernames(name_filter="B") == ["bob"]
    assert await usernames(name_filter=".*") == []
    (holder,) = await home.messaging.room_roles(bob, room_id)
    assert (holder["u"]["username"], holder["roles"]) == ("ada", ["owner"])
    await home.users("zoe")
    for call in (
        home.messaging.members(UserId("u-zoe"), room_id, Paging()),
        home.messaging.room_roles(UserId("u-zoe"), room_id),
    ):
        with pytest.raises(NotAllowed):
            await call
    with pytest.raises(RoomNotFound):
        await home.messaging.members(ada, RoomId("nowhere"), Paging())
    assert eve


async def test_search(home: House) -> None:
    """Beginnings first, then parts, literally; groups of others are not found."""
    ada, _, _ = await home.users("ada", "adam", "badar")
    for name in ("team", "my.team", "steam"):
        await home.messaging.create_room(ada, _new(name))
    (zed,) = await home.users("zed")
    await home.messaging.create_room(zed, _new("team-secret", "p"))

    found = await home.messaging.find_users_and_rooms(ada, "ada", except_usernames=["adam"])
    rooms = await home.messaging.find_users_and_rooms(ada, "team", users=False)
    literal = await home.messaging.find_users_and_rooms(ada, ".*")
    own = await home.messaging.find_users_and_rooms(zed, "team-s", users=False)

    assert [user["username"] for user in found["users"]] == ["ada", "badar"]
    assert [room["name"] for room in rooms["rooms"]] == ["team", "my.team", "steam"]
    assert rooms["users"] == []
    assert literal == {"users": [], "rooms": []}
    assert [room["name"] for room in own["rooms"]] == ["team-secret"]


async def test_marks(home: House) -> None:
    """Favourite and hidden, for members."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada)

    assert await home.messaging.set_favorite(ada, room_id, favorite=True)
    assert (await home.membership(ada, room_id))["f"] is True
    assert not await home.messaging.set_favorite(bob, room_id, favorite=True)
    assert not await home.messaging.set_room_open(bob, room_id, is_open=False)


async def test_room_settings(home: House) -> None:
    """All keys or none; memberships follow; each change is said once."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    wanted = {"roomName": "fresh", "roomTopic": "$topic", "readOnly": True, "joinCode": "x"}

    room = await home.messaging.save_room_settings(ada, room_id, wanted)
    again = await home.messaging.save_room_settings(
        ada, room_id, {key: wanted[key] for key in ("roomName", "roomTopic", "readOnly")}
    )

    assert (room["name"], room["topic"], room["ro"]) == ("fresh", "$topic", True)
    assert (room["joinCodeRequired"], "joinCode" in room) == (True, False)
    assert again["_updatedAt"] == room["_updatedAt"]
    assert (await home.membership(bob, room_id))["name"] == "fresh"
    said = home.database.rocketchat_message.find({"rid": room_id}).sort("seq")
    assert [(message["t"], message["msg"]) async for message in said] == [
        ("r", "fresh"),
        ("room_changed_topic", "$topic"),
        ("room-set-read-only", "ada"),
    ]
    with pytest.raises(NotAllowed):
        await home.say(bob, room_id)
    await home.say(ada, room_id, "owners may")
    for settings, error in (
        ({"roomName": "general"}, DuplicateRoomName),
        ({"roomName": "not a name"}, InvalidRoomName),
        ({"roomTopic": "new", "unknown": 1}, BadRequest),
        ({"readOnly": "yes"}, BadRequest),
    ):
        with pytest.raises(error):
            await home.messaging.save_room_settings(ada, room_id, settings)
    with pytest.raises(NotAllowed):
        await home.messaging.save_room_settings(bob, room_id, {"roomTopic": "mine"})
    assert (await home.stored_room(room_id))["topic"] == "$topic"


async def test_a_room_that_becomes_private(home: House) -> None:
    """Is no longer found by strangers."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada)

    room = await home.messaging.save_room_settings(ada, room_id, {"roomType": "p"})

    assert room["t"] == "p"
    assert (await home.membership(ada, room_id))["t"] == "p"
    with pytest.raises(RoomNotFound):
        await home.messaging.get_room(bob, room_id=room_id)


async def test_erasing_a_room(home: House) -> None:
    """Its members learn of it; nothing is left; `GENERAL` stays."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    await home.say(ada, room_id)
    since = await home.service._desk.now()

    with pytest.raises(NotAllowed):
        await home.messaging.erase_room(bob, room_id)
    await home.messaging.erase_room(ada, room_id)

    assert [room["_id"] for room in (await home.messaging.rooms_of(bob, since)).remove] == [room_id]
    assert await home.database.rocketchat_message.count_documents({"rid": room_id}) == 0
    with pytest.raises(InvalidRoom):
        await home.messaging.erase_room(ada, room_id)
    with pytest.raises(InvalidRoom):
        await home.say(ada, room_id)
    home.authorization.granted[ada] = {"admin"}
    with pytest.raises(NotAllowed):
        await home.messaging.erase_room(ada, RoomId("GENERAL"))


async def test_settings_of_a_new_workspace(home: House) -> None:
    """Every default is there; a second start changes nothing."""
    settings = home.database.rocketchat_settings
    first = {setting["_id"]: setting async for setting in settings.find({})}
    await settings.update_one({"_id": "Site_Name"}, {"$set": {"value": "Mine"}})

    async with house(home.database):
        second = {setting["_id"]: setting async for setting in settings.find({})}

    assert first.keys() == SETTINGS.keys()
    assert len(first["uniqueID"]["value"]) == 17
    assert first["API_Default_Count"]["packageValue"] == 50
    assert second == first | {"Site_Name": first["Site_Name"] | {"value": "Mine"}}
    changes = await home.messaging.public_settings()
    assert {setting["_id"] for setting in changes.update} == {
        setting.id for setting in SETTINGS.values() if setting.public
    }
    later = await home.messaging.public_settings(datetime.now(UTC) + timedelta(hours=1))
    assert later.update == []
    page = await home.messaging.list_public_settings(Paging(), ["Site_Name", "Language", "none"])
    assert page.total == 2
    assert page.items[1] == {"_id": "Site_Name", "value": "Mine", "type": "string"}
    statistics = await home.messaging.statistics()
    assert statistics["totalChannels"] == 1
    assert statistics["uniqueId"] == first["uniqueID"]["value"]
