"""Finding rooms, people and messages."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.discussions import NewDiscussion
from hubbub.contracts.documents import Paging
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.room_lists import MessageFilter
from hubbub.contracts.rooms import NewRoom
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def _named(home: House, owner: UserId, name: str, kind: str = "c", **fields: Any) -> RoomId:
    wanted = NewRoom.model_validate({"type": kind, "name": name, **fields})
    return RoomId((await home.messaging.create_room(owner, wanted))["_id"])


async def test_administrators_see_every_room(home: House) -> None:
    """Of every type, by a part of a name taken literally, page by page; others are refused."""
    ada, bob = await home.users("ada", "bob")
    home.authorization.granted[ada] = {"admin"}
    channel = await _named(home, bob, "apple.pie")
    group = await _named(home, bob, "pear", "p")
    direct = (await home.messaging.create_direct(bob, ["ada"]))["rid"]
    talk = await home.messaging.create_discussion(
        bob, NewDiscussion.model_validate({"prid": channel, "t_name": "Zoo"})
    )

    async def ids(*arguments: Any, **paging: Any) -> list[str]:
        page = await home.messaging.administered_rooms(ada, Paging(**paging), *arguments)
        assert page.total >= len(page.items)
        return [room["_id"] for room in page.items]

    everything = {"GENERAL", channel, group, direct, talk["_id"]}
    assert set(await ids()) == everything
    assert await ids("E.P") == [channel]
    assert await ids(".*") == []
    assert await ids(None, ["p"]) == [group]
    assert await ids(None, ["d"]) == [direct]
    assert set(await ids(None, ["p", "discussions"])) == {group, talk["_id"]}
    paged = [*await ids(count=2), *await ids(count=2, offset=2), *await ids(count=2, offset=4)]
    assert set(paged) == everything
    assert len(paged) == 5
    assert (await home.messaging.administered_room(ada, group))["name"] == "pear"
    with pytest.raises(InvalidRoom):
        await home.messaging.administered_room(ada, RoomId("nowhere"))
    for refused in (
        home.messaging.administered_rooms(bob, Paging()),
        home.messaging.administered_room(bob, group),
    ):
        with pytest.raises(NotAllowed) as caught:
            await refused
        assert caught.value.code == "error-not-authorized"


async def test_own_rooms_by_a_part_of_their_name(home: House) -> None:
    """Channels and groups of the caller, without discussions; those owned where asked."""
    ada, bob = await home.users("ada", "bob")
    mine = await _named(home, ada, "team-red", "p")
    joined = await _named(home, bob, "team-blue", members=["ada"])
    await _named(home, bob, "team-green")
    await home.messaging.create_discussion(
        ada, NewDiscussion.model_validate({"prid": mine, "t_name": "team talk"})
    )

    page = await home.messaging.own_rooms_named(ada, "TEAM", Paging())
    owned = await home.messaging.own_rooms_named(ada, "team", Paging(), owned_only=True)

    assert [room["_id"] for room in page.items] == [joined, mine]
    assert [room["_id"] for room in owned.items] == [mine]


async def test_the_directory(home: House) -> None:
    """Public channels, archived ones too; people with addresses only for who may see them."""
    (ada,) = await home.users("ada", emails=[{"address": "x@example.org"}])
    (bob,) = await home.users("bob", emails=[{"address": "y@example.org"}])
    (guest,) = await home.users("gus", active=False)
    home.authorization.granted[ada] = {"admin"}
    home.authorization.granted[guest] = {"guest"}
    channel = await _named(home, bob, "garden")
    await _named(home, bob, "garden-secret", "p")
    await home.messaging.save_room_settings(ada, channel, {"archived": True})

    channels = await home.messaging.channel_directory(bob, Paging(), "ARD")
    people = await home.messaging.user_directory(bob, Paging(sort={"name": -1}))
    seen = await home.messaging.user_directory(ada, Paging(), "AD")

    assert [room["_id"] for room in channels.items] == [channel]
    assert channels.items[0]["archived"] is True
    assert [user["username"] for user in people.items] == ["bob", "ada"]
    assert all("emails" not in user for user in people.items)
    assert [user["username"] for user in seen.items] == ["ada"]
    assert seen.items[0]["emails"] == [{"address": "x@example.org"}]
    for nothing in (
        await home.messaging.channel_directory(guest, Paging()),
        await home.messaging.user_directory(guest, Paging()),
    ):
        assert (nothing.items, nothing.total) == ([], 0)


async def test_names_that_are_taken(home: House) -> None:
    """Seen or not, by exactly this name."""
    (ada,) = await home.users("ada")
    await _named(home, ada, "hidden", "p")

    assert await home.messaging.room_name_exists("hidden") is True
    assert await home.messaging.room_name_exists("hid") is False
    assert await home.messaging.room_name_exists("") is False


async def test_messages_by_what_they_are(home: House) -> None:
    """Each condition, taken literally; hidden types and other people's stars stay out."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    first = await home.say(ada, room_id, "price: 1.50 (one)")
    second = await home.say(bob, room_id, "@ada PRICE?")
    third = await home.say(bob, room_id, "pinned")
    messages = home.database.rocketchat_message
    await messages.update_one({"_id": third["_id"]}, {"$set": {"pinned": True}})
    await messages.update_one(
        {"_id": first["_id"]}, {"$set": {"starred": [{"_id": ada}, {"_id": bob}]}}
    )

    async def ids(sort: dict[str, int] | None = None, **wanted: Any) -> list[str]:
        page = await home.messaging.messages_of(
            ada, room_id, Paging(sort=sort), MessageFilter.model_validate(wanted)
        )
        assert page.total == len(page.items)
        return [message["_id"] for message in page.items]

    everything = [third["_id"], second["_id"], first["_id"]]
    assert await ids() == everything
    assert await ids(sort={"ts": 1}) == everything[::-1]
    assert await ids(message_id=second["_id"]) == [second["_id"]]
    assert await ids(author="bob") == [third["_id"], second["_id"]]
    assert await ids(text="pinned") == [third["_id"]]
    assert await ids(text="1.50 (", text_part=True) == [first["_id"]]
    assert await ids(text="price", text_part=True) == [first["_id"]]
    assert await ids(text="price", text_part=True, ignore_case=True) == everything[1:]
    assert await ids(text=".*", text_part=True) == []
    assert await ids(at=second["ts"]) == [second["_id"]]
    assert await ids(mentioned=[ada, "x"]) == [second["_id"]]
    assert await ids(starred_by=[bob]) == [first["_id"]]
    assert await ids(pinned=True) == [third["_id"]]
    assert await ids(pinned=False) == everything[1:]
    page = await home.messaging.messages_of(ada, room_id, Paging(), MessageFilter())
    assert page.items[-1]["starred"] == [{"_id": ada}]


async def test_messages_of_a_group_are_for_its_members(home: House) -> None:
    """Every list of messages asks for access."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, kind="p")

    with pytest.raises(NotAllowed):
        await home.messaging.messages_of(bob, room_id, Paging(), MessageFilter())


async def test_people_of_a_room_come_first(home: House) -> None:
    """An empty text finds some of them and nothing else; strangers of the room find nobody so."""
    ada, bob, *_ = await home.users("ada", "bob", "abe", "zed")
    room_id = await home.room(ada, "zed", kind="p")
    find = home.messaging.find_users_and_rooms

    async def names(user_id: UserId, text: str, **options: Any) -> list[str]:
        found = await find(user_id, text, room_id=room_id, **options)
        return [user["username"] for user in found["users"]]

    assert await names(ada, "") == ["ada", "zed"]
    assert await names(ada, "a") == ["ada", "abe"]
    assert await names(ada, "", except_usernames=["ada"]) == ["zed"]
    assert await names(bob, "") == []
    assert await names(ada, "*") == []


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"roomTopic": "t"}, {"topic": "t"}),
        ({"encrypted": True}, {"encrypted": True}),
    ],
)
async def test_a_direct_room_is_changed_by_who_is_in_it(
    home: House, settings: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Its texts and flags; nothing else, and nobody else, administrators included."""
    ada, _bob, eve = await home.users("ada", "bob", "eve")
    home.authorization.granted[eve] = {"admin"}
    room_id = RoomId((await home.messaging.create_direct(ada, ["bob"]))["rid"])

    after = await home.messaging.save_room_settings(ada, room_id, settings)

    assert fields.items() <= after.items()
    with pytest.raises(NotAllowed):
        await home.messaging.save_room_settings(ada, room_id, {"roomName": "x"})
    with pytest.raises((InvalidRoom, NotAllowed)):
        await home.messaging.save_room_settings(eve, room_id, settings)


async def test_settings_change_all_or_none(home: House) -> None:
    """One wrong value among good ones: nothing happened, nothing is said."""
    ada, _bob = await home.users("ada", "bob")
    home.authorization.granted[ada] = {"admin"}
    room_id = await home.room(ada, "bob")

    with pytest.raises(BadRequest):
        await home.messaging.save_room_settings(
            ada, room_id, {"roomTopic": "new", "roomCustomFields": {"a.b": 1}}
        )
    assert "topic" not in await home.stored_room(room_id)
    assert await home.database.rocketchat_message.count_documents({"rid": room_id}) == 0

    await home.messaging.save_room_settings(
        ada,
        room_id,
        {"roomTopic": "new", "roomName": "renamed", "readOnly": True, "archived": True},
    )
    said = home.database.rocketchat_message.find({"rid": room_id}).sort("seq", 1)
    assert [(message["t"], message["msg"]) async for message in said] == [
        ("room_changed_topic", "new"),
        ("r", "renamed"),
        ("room-set-read-only", "ada"),
        ("room-archived", "ada"),
    ]
    for user_id in ("u-ada", "u-bob"):
        membership = await home.membership(user_id, room_id)
        assert (membership["name"], membership["archived"]) == ("renamed", True)
