"""Discussions: rooms that hang on another one, and on a message in it."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.discussions import NestedDiscussion, NewDiscussion
from hubbub.contracts.documents import Document, Paging
from hubbub.contracts.messages import ActionNotAllowed, InvalidRoom, MessageNotFound
from hubbub.errors import HubbubError, NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def _begun(
    home: House, user_id: UserId, parent_id: RoomId, name: str = "Plans & dreams", **fields: Any
) -> Document:
    wanted = NewDiscussion.model_validate({"prid": parent_id, "t_name": name, **fields})
    return await home.messaging.create_discussion(user_id, wanted)


async def _leading_to(home: House, room_id: str) -> Document:
    """The parent's message that leads to a discussion."""
    found = await home.database.rocketchat_message.find_one({"drid": room_id})
    assert found is not None
    return found


@pytest.mark.parametrize(("kind", "expected"), [("c", "c"), ("p", "p")])
async def test_a_discussion_hangs_on_its_room(home: House, kind: str, expected: str) -> None:
    """Its type follows the parent's; the parent gets a message that leads to it."""
    ada, bob = await home.users("ada", "bob")
    parent_id = await home.room(ada, "bob", kind=kind)

    made = await _begun(home, ada, parent_id, users=["bob", "nobody"], topic="t")

    assert made["prid"] == parent_id
    assert (made["t"], made["fname"], made["topic"]) == (expected, "Plans & dreams", "t")
    assert made["name"] != "Plans & dreams"
    assert made["usersCount"] == 2
    leading = await _leading_to(home, made["_id"])
    assert (leading["t"], leading["msg"]) == ("discussion-created", "Plans & dreams")
    assert (leading["rid"], leading["u"]["username"], leading["dcount"]) == (parent_id, "ada", 0)
    assert isinstance(leading["seq"], int)
    mine, theirs = await home.membership(ada, made["_id"]), await home.membership(bob, made["_id"])
    assert (mine["roles"], mine["alert"], mine["prid"]) == (["owner"], False, parent_id)
    assert (theirs["alert"], theirs["fname"]) == (True, "Plans & dreams")


async def test_the_parent_shows_how_much_is_said(home: House) -> None:
    """`dcount` and `dlm` follow the discussion, also when a message in it goes."""
    (ada,) = await home.users("ada")
    home.authorization.granted[ada] = {"admin"}
    parent_id = await home.room(ada)
    made = await _begun(home, ada, parent_id, reply="first")
    last = await home.say(ada, made["_id"], "second")

    async def shown() -> tuple[int, Any]:
        leading = await _leading_to(home, made["_id"])
        return leading["dcount"], leading["dlm"]

    await eventually(lambda: _is(shown, (2, last["ts"])), within=5)
    await home.messaging.delete_message(ada, last["_id"])
    assert (await shown())[0] == 1


async def _is(look: Any, expected: Any) -> bool:
    return bool(await look() == expected)


async def test_a_message_has_one_discussion(home: House) -> None:
    """It begins with a quote of the message and with its author; asking again finds it."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    parent_id = await home.room(ada, "bob", "eve")
    about = await home.say(bob, parent_id, "what about tea?")

    made = await _begun(home, ada, parent_id, pmid=about["_id"], reply="yes, tea")
    again = await _begun(home, eve, parent_id, "other name", pmid=about["_id"])

    assert again["_id"] == made["_id"]
    assert made["description"] == "what about tea?"
    members = await home.database.rocketchat_subscription.distinct(
        "u.username", {"rid": made["_id"]}
    )
    assert members == ["ada", "bob", "eve"]
    said = await home.database.rocketchat_message.find({"rid": made["_id"]}).sort("seq").to_list()
    quote = said[0]["attachments"][0]
    assert (quote["text"], quote["author_name"]) == ("what about tea?", "bob")
    assert [message["msg"] for message in said] == ["", "yes, tea", "eve"]
    assert said[2]["t"] == "ut"
    assert await home.database.rocketchat_message.count_documents({"drid": made["_id"]}) == 1
    assert "pmid" not in made


async def test_a_repeated_wish_gets_what_the_first_one_made(home: House) -> None:
    """Only where the caller says that it may be a repeat."""
    (ada,) = await home.users("ada")
    parent_id = await home.room(ada)

    first = await _begun(home, ada, parent_id, repeatable=True)
    again = await _begun(home, ada, parent_id, repeatable=True)
    another = await _begun(home, ada, parent_id)

    assert first["_id"] == again["_id"] != another["_id"]


async def test_who_may_not_begin_one(home: House) -> None:
    """Each refusal, and nothing is made."""
    ada, bob = await home.users("ada", "bob")
    group, channel = await home.room(ada, kind="p"), await home.room(ada)
    inside = await _begun(home, ada, channel)
    elsewhere = await home.say(ada, group, "secret")
    home.authorization.granted["u-bob"] = {"user"}

    async def refused(user_id: UserId, parent: str, **fields: Any) -> HubbubError:
        with pytest.raises(HubbubError) as caught:
            await _begun(home, user_id, RoomId(parent), **fields)
        return caught.value

    assert isinstance(await refused(bob, group), InvalidRoom)
    assert isinstance(await refused(bob, "nowhere"), InvalidRoom)
    nested = await refused(ada, inside["_id"])
    assert isinstance(nested, NestedDiscussion)
    assert nested.code == "error-nested-discussion"
    assert isinstance(await refused(ada, channel, pmid=elsewhere["_id"]), MessageNotFound)
    await home.messaging.save_room_settings(ada, channel, {"readOnly": True})
    assert isinstance(await refused(bob, channel), NotAllowed)
    await home.setting("Discussion_enabled", value=False)
    assert isinstance(await refused(ada, group), ActionNotAllowed)
    home.authorization.granted["u-bob"] = {"bot"}
    await home.setting("Discussion_enabled", value=True)
    assert isinstance(await refused(bob, channel), ActionNotAllowed)
    assert await home.database.rocketchat_room.count_documents({"prid": {"$exists": True}}) == 1


async def test_a_new_name_shows_everywhere(home: House) -> None:
    """In the room, its memberships, and the message that leads to it; the address stays."""
    ada, bob = await home.users("ada", "bob")
    parent_id = await home.room(ada, "bob")
    made = await _begun(home, ada, parent_id, users=["bob"])

    after = await home.messaging.save_room_settings(ada, made["_id"], {"roomName": "Tea? Now!"})

    assert (after["name"], after["fname"]) == (made["name"], "Tea? Now!")
    assert (await home.membership(bob, made["_id"]))["fname"] == "Tea? Now!"
    assert (await _leading_to(home, made["_id"]))["msg"] == "Tea? Now!"


async def test_discussions_of_a_room(home: House) -> None:
    """Latest activity first, by a part of the name, and only with access to the room."""
    ada, bob = await home.users("ada", "bob")
    parent_id = await home.room(ada, kind="p")
    first = await _begun(home, ada, parent_id, "Apples")
    second = await _begun(home, ada, parent_id, "Pears (.*)")
    await home.say(ada, first["_id"], "crunchy")

    page = await home.messaging.discussions(ada, parent_id, Paging())
    found = await home.messaging.discussions(ada, parent_id, Paging(), "(.*)")
    cut = await home.messaging.discussions(ada, parent_id, Paging(count=1, offset=1))

    assert [room["_id"] for room in page.items] == [first["_id"], second["_id"]]
    assert ([room["_id"] for room in found.items], found.total) == ([second["_id"]], 1)
    assert ([room["_id"] for room in cut.items], cut.total) == ([second["_id"]], 2)
    with pytest.raises(NotAllowed):
        await home.messaging.discussions(bob, parent_id, Paging())
