"""Editing, deleting, reacting: the stored message's room decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from hubbub.contracts.messages import ActionNotAllowed, MessageEdit, MessageNotFound
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


def _edit(message_id: str, text: str | None = None, **fields: Any) -> MessageEdit:
    wanted = {"_id": message_id, **fields} | ({} if text is None else {"msg": text})
    return MessageEdit.model_validate(wanted)


async def test_an_edit_is_read_anew(home: House) -> None:
    """Mentions and links follow the text; `ts` and `seq` stay; the room's copy too."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    sent = await home.say(ada, room_id, "@bob")

    after = await home.messaging.update_message(ada, _edit(sent["_id"], "$see http://x.org"))

    stored = await home.message(sent["_id"])
    assert after is not None
    assert stored is not None
    assert after["msg"] == "$see http://x.org"
    assert after["mentions"] == []
    assert after["urls"] == [{"url": "http://x.org", "meta": {}}]
    assert after["editedBy"] == {"_id": ada, "username": "ada"}
    assert after["editedAt"] == after["_updatedAt"] > sent["ts"] == after["ts"]
    assert stored["seq"] == 1
    assert (await home.stored_room(room_id))["lastMessage"]["msg"] == "$see http://x.org"
    assert bob


async def test_an_edit_that_changes_nothing_is_not_written(home: House) -> None:
    """Clients send back the whole message; the same text is no edit."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id, "same")
    whole = {**sent, "msg": "same", "groupable": False, "bot": None}

    assert await home.messaging.update_message(ada, MessageEdit.model_validate(whole)) is None

    stored = await home.message(sent["_id"])
    assert stored is not None
    assert "editedAt" not in stored
    assert await home.messaging.update_message(ada, _edit("none", "x")) is None


async def _changed(home: House, message_id: str) -> AsyncIterator[str]:
    """Ada and Bob do one thing after the other to a message; what was done last."""
    messaging, ada, bob = home.messaging, UserId("u-ada"), UserId("u-bob")
    for text in ("one", "another"):
        await messaging.update_message(ada, _edit(message_id, text))
        yield f"edit: {text}"
    await messaging.set_reaction(ada, ":x:", MessageId(message_id), should_react=True)
    yield "reaction"
    for starred in (True, False):
        await messaging.star_message(ada, MessageId(message_id), starred)
        yield f"star: {starred}"
    await messaging.pin_message(ada, MessageId(message_id))
    yield "pin"
    await messaging.unpin_message(ada, MessageId(message_id))
    yield "no pin"
    await messaging.follow_message(bob, MessageId(message_id), following=True)
    yield "follow"
    await messaging.follow_message(bob, MessageId(message_id), following=False)
    yield "no follow"


async def test_changes_are_dated_behind_what_a_room_has_given_out(home: House) -> None:
    """A new primary's clock is behind its predecessor's: messages go on from the room's youngest
    date. A change to one of them has to be younger than what clients have of it, and than the
    date since which they ask for changes, or they take it for old and never hear of it."""
    ada, _ = await home.users("ada", "bob")
    home.authorization.granted[ada] = {"admin"}
    room_id = await home.room(ada, "bob")
    old = await home.say(ada, room_id, "old")
    ahead = old["ts"] + timedelta(seconds=30)
    await home.database.rocketchat_room.update_one(
        {"_id": room_id}, {"$set": {"lm": ahead, "tsHigh": ahead}}
    )
    last = await home.say(ada, room_id, "last")
    assert last["ts"] > ahead
    parent, reply = last, await home.say(ada, room_id, "reply", tmid=last["_id"])

    for message in (old, last):
        versions = [message["_updatedAt"]]
        async for what in _changed(home, message["_id"]):
            stored = await home.message(message["_id"])
            assert stored is not None
            assert stored["ts"] == message["ts"], what
            assert stored["_updatedAt"] > versions[-1], what
            assert stored["_updatedAt"] >= last["ts"], what
            versions.append(stored["_updatedAt"])
            page = await home.messaging.changes_page(ada, room_id, "updated", 9, after=last["ts"])
            assert message["_id"] in {one["_id"] for one in page.items}, what
        edited = await home.message(message["_id"])
        assert edited is not None
        assert edited["editedAt"] > last["ts"]
    before = await home.message(parent["_id"])
    await home.messaging.delete_message(ada, reply["_id"])
    after = await home.message(parent["_id"])
    assert before is not None
    assert after is not None
    assert after["_updatedAt"] > before["_updatedAt"]
    for keep in (False, True):
        gone = await home.say(ada, room_id, "gone")
        await home.setting("Message_KeepHistory", value=keep)
        await home.messaging.delete_message(ada, gone["_id"])
        page = await home.messaging.changes_page(
            ada, room_id, "deleted", 9, after=gone["ts"] - timedelta(milliseconds=1)
        )
        assert gone["_id"] in {one["_id"] for one in page.items}, keep


async def test_edits_at_the_same_time_are_both_applied(home: House) -> None:
    """The second one sees the first."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id, "0")

    await asyncio.gather(
        home.messaging.update_message(ada, _edit(sent["_id"], "1")),
        home.messaging.update_message(ada, _edit(sent["_id"], alias=None, msg="2")),
    )

    assert (await home.messaging.get_message(ada, sent["_id"]))["msg"] in {"1", "2"}


async def test_rights_to_edit(home: House) -> None:
    """The own message, in time, in a room one is in; the given room does not count."""
    ada, bob = await home.users("ada", "bob")
    foreign_room, own_room = await home.room(ada, kind="p"), await home.room(bob)
    sent = await home.say(ada, foreign_room, "mine")

    for given in ({}, {"rid": own_room}):
        with pytest.raises(ActionNotAllowed):
            await home.messaging.update_message(bob, _edit(sent["_id"], "yours", **given))
    with pytest.raises(BadRequest) as refused:
        await home.messaging.update_message(ada, _edit(sent["_id"], "x", rid=own_room))
    assert refused.value.code == "error-invalid-update-key"
    with pytest.raises(BadRequest) as refused:
        await home.messaging.update_message(ada, _edit(sent["_id"], u={"_id": "u-bob"}))
    assert refused.value.code == "error-invalid-update-key"
    await home.setting("Message_AllowEditing_BlockEditInMinutes", 1)
    await home.database.rocketchat_message.update_one(
        {"_id": sent["_id"]}, {"$set": {"ts": sent["ts"] - timedelta(minutes=2)}}
    )
    home.authorization.granted[ada] = {"user"}
    with pytest.raises(BadRequest) as refused:
        await home.messaging.update_message(ada, _edit(sent["_id"], "late"))
    assert refused.value.code == "error-message-editing-blocked"


async def test_deleting_removes_and_remembers(home: House) -> None:
    """The message goes to the trash, the room's and the thread's numbers follow."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    first = await home.say(ada, room_id, "first")
    reply = await home.say(ada, room_id, "reply", tmid=first["_id"], tshow=True)
    last = await home.say(ada, room_id, "last")

    answer = await home.messaging.delete_message(ada, last["_id"])

    room = await home.stored_room(room_id)
    kept = await home.database.rocketchat__trash.find_one({"_id": last["_id"]})
    assert answer == {"_id": last["_id"], "rid": room_id, "ts": last["ts"]}
    assert await home.message(last["_id"]) is None
    assert kept is not None
    assert (kept["__collection__"], kept["msg"], kept["rid"]) == ("message", "last", room_id)
    assert room["lastMessage"]["_id"] == reply["_id"]
    assert room["msgs"] == 2
    await home.messaging.delete_message(ada, reply["_id"])
    parent = await home.message(first["_id"])
    assert parent is not None
    assert parent["tcount"] == 0
    assert (await home.stored_room(room_id))["lastMessage"]["_id"] == first["_id"]
    with pytest.raises(MessageNotFound):
        await home.messaging.delete_message(ada, last["_id"])


@pytest.mark.parametrize(
    ("keep", "show", "replies", "outcome"),
    [
        pytest.param(False, False, 0, "removed", id="plain"),
        pytest.param(True, False, 0, "hidden", id="history is kept"),
        pytest.param(False, True, 0, "emptied", id="status is shown"),
        pytest.param(False, False, 1, "emptied", id="has replies"),
        pytest.param(True, True, 0, "emptied", id="both"),
    ],
)
async def test_what_becomes_of_a_deleted_message(
    home: House, keep: bool, show: bool, replies: int, outcome: str
) -> None:
    """It depends on the workspace, and on whether others answered it."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    await home.setting("Message_KeepHistory", keep)
    await home.setting("Message_ShowDeletedStatus", show)
    sent = await home.say(ada, room_id, "secret")
    for _ in range(replies):
        await home.say(ada, room_id, "reply", tmid=sent["_id"])

    await home.messaging.delete_message(ada, sent["_id"])

    stored = await home.message(sent["_id"])
    match outcome:
        case "removed":
            assert stored is None
        case "hidden":
            assert stored is not None
            assert stored["_hidden"] is True
            with pytest.raises(MessageNotFound):
                await home.messaging.get_message(ada, sent["_id"])
        case _:
            assert stored is not None
            assert (stored["t"], stored["msg"], stored["mentions"]) == ("rm", "", [])
            copies = home.database.rocketchat_message.find({"parent": sent["_id"]})
            texts = [copy["msg"] async for copy in copies]
            assert texts == (["secret"] if keep else [])


async def test_rights_to_delete(home: House) -> None:
    """Strangers and those who lost the right may not."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    of_ada, of_bob = await home.say(ada, room_id), await home.say(bob, room_id)

    with pytest.raises(ActionNotAllowed):
        await home.messaging.delete_message(bob, of_ada["_id"])
    await home.messaging.delete_message(ada, of_bob["_id"])  # as owner of the room
    await home.setting("Message_AllowDeleting", value=False)
    again = await home.say(bob, room_id)
    with pytest.raises(ActionNotAllowed):
        await home.messaging.delete_message(bob, again["_id"])


async def test_reactions(home: House) -> None:
    """Add, repeat, toggle, remove; nothing is left when nobody reacts."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    sent = await home.say(ada, room_id)

    await home.messaging.set_reaction(ada, "smile", sent["_id"], should_react=True)
    first = await home.messaging.toggle_reaction(bob, ":smile:", sent["_id"])
    second = await home.messaging.set_reaction(bob, ":smile:", sent["_id"], should_react=True)

    assert first["reactions"] == {":smile:": {"usernames": ["ada", "bob"]}}
    assert second == first
    room = await home.stored_room(room_id)
    assert room["lastMessage"]["reactions"] == first["reactions"]
    await home.messaging.toggle_reaction(ada, ":smile:", sent["_id"])
    last = await home.messaging.set_reaction(bob, ":smile:", sent["_id"], should_react=False)
    assert "reactions" not in last


@pytest.mark.parametrize("reaction", ["", "::", ":a b:", ":a.b:", ":$a:", ":" + "a" * 65 + ":"])
async def test_what_is_no_emoji(home: House, reaction: str) -> None:
    """Nothing that could mean something to the database becomes a key."""
    (ada,) = await home.users("ada")
    sent = await home.say(ada, await home.room(ada))

    with pytest.raises(NotAllowed):
        await home.messaging.toggle_reaction(ada, reaction, sent["_id"])


async def test_who_may_not_react(home: House) -> None:
    """Strangers, muted ones, and in a read-only room most people."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room_id = await home.room(ada, "bob")
    sent = await home.say(ada, room_id)

    with pytest.raises(NotAllowed) as refused:
        await home.messaging.toggle_reaction(eve, ":x:", sent["_id"])
    assert refused.value.code == "not-authorized"
    rooms = home.database.rocketchat_room
    await rooms.update_one({"_id": room_id}, {"$set": {"ro": True}})
    with pytest.raises(NotAllowed):
        await home.messaging.toggle_reaction(bob, ":x:", sent["_id"])
    await rooms.update_one({"_id": room_id}, {"$set": {"reactWhenReadOnly": True}})
    await home.messaging.toggle_reaction(bob, ":x:", sent["_id"])
    await rooms.update_one({"_id": room_id}, {"$set": {"muted": ["bob"]}})
    with pytest.raises(NotAllowed):
        await home.messaging.toggle_reaction(bob, ":x:", sent["_id"])
    with pytest.raises(MessageNotFound):
        await home.messaging.toggle_reaction(ada, ":x:", MessageId("none"))
