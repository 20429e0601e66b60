"""Messages with files: only the keeper of files makes them, and room rules hold for them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hubbub.contracts.files import FileNote, StoredFile
from hubbub.contracts.messages import MessageEdit, MessageNotFound
from hubbub.contracts.pictures import Pictures
from hubbub.errors import BadRequest, NotAllowed, Unavailable
from hubbub.ids import MessageId, RoomId, UserId
from hubbub.mongo import Database
from tests.integration.messaging.house import House, house

pytestmark = pytest.mark.integration

FILE = StoredFile(
    id="file1", name="a.txt", type="text/plain", size=5, path="/file-upload/file1/a.txt"
)


@pytest.fixture
async def home(database: Database) -> AsyncIterator[House]:
    async with house(database) as home:
        yield home


async def sent(
    home: House, user: UserId, room: RoomId, message_id: str = "m1", **note: Any
) -> dict[str, Any]:
    return await home.messaging.send_file_message(
        user, room, MessageId(message_id), FILE, FileNote(**note)
    )


async def test_a_file_is_sent(home: House) -> None:
    """Like any message: in its order, with mentions; and with its file."""
    ana, bo = await home.users("ana", "bo")
    room = await home.room(ana, "bo")
    first = await home.say(bo, room)
    message = await sent(home, ana, room, text="look @bo", description="it", custom_fields={"k": 1})

    stored = await home.message("m1")
    assert stored is not None
    assert stored["seq"] > (await home.message(first["_id"]) or {})["seq"]
    assert [one["username"] for one in stored["mentions"]] == ["bo"]
    assert message["file"]["_id"] == "file1"
    assert message["files"] == [message["file"]]
    assert message["attachments"][0]["title_link"] == "/file-upload/file1/a.txt"
    assert message["attachments"][0]["description"] == "it"
    assert message["customFields"] == {"k": 1}
    await home.settled()
    assert (await home.membership(bo, room))["userMentions"] == 1


async def test_sending_twice_is_sending_once(home: House) -> None:
    """Whatever is said the second time."""
    ana, *_ = await home.users("ana")
    room = await home.room(ana)
    first = await sent(home, ana, room, text="one")
    second = await sent(home, ana, room, text="two")

    assert first == second
    assert (await home.stored_room(room))["msgs"] == 1


async def test_rules_of_rooms_hold(home: House) -> None:
    """Who may not write may not send a file either."""
    ana, bo, _ = await home.users("ana", "bo", "cy")
    room = await home.room(ana, "bo")
    group = await home.room(ana, kind="p")
    await home.database.rocketchat_room.update_one({"_id": room}, {"$set": {"muted": ["bo"]}})

    for user, place in ((bo, room), (bo, group)):
        with pytest.raises(NotAllowed):
            await sent(home, user, place)
    with pytest.raises(BadRequest):
        await sent(home, ana, room, text="x" * 5001)
    with pytest.raises(BadRequest):
        await sent(home, ana, room, custom_fields={"$where": 1})
    assert await home.message("m1") is None


async def test_replies_with_a_file(home: House) -> None:
    """In a thread of the same room, and of no other: the file belongs to its room."""
    ana, *_ = await home.users("ana")
    room, other = await home.room(ana), await home.room(ana)
    parent, stranger = await home.say(ana, room), await home.say(ana, other)
    reply = await sent(home, ana, room, thread_id=parent["_id"])

    assert reply["tmid"] == parent["_id"]
    for thread in (stranger["_id"], "unknown"):
        with pytest.raises(MessageNotFound):
            await sent(home, ana, room, "m2", thread_id=thread)
    assert await home.message("m2") is None


async def test_nobody_else_makes_such_messages(home: House) -> None:
    """Neither by sending nor by editing."""
    ana, *_ = await home.users("ana")
    room = await home.room(ana)
    claim = {"type": "file", "title": "x", "title_link": "/file-upload/other/x"}
    message = await home.say(
        ana, room, file={"_id": "other"}, files=[{"_id": "other"}], attachments=[claim]
    )
    edit = {"_id": message["_id"], "msg": "new", "attachments": [claim, claim]}
    edited = await home.messaging.update_message(ana, MessageEdit.model_validate(edit))

    assert not {"file", "files"} & message.keys()
    assert "type" not in message["attachments"][0]
    assert edited is not None
    assert not any("type" in attachment for attachment in edited["attachments"])
    with pytest.raises(BadRequest):
        await home.messaging.update_message(
            ana,
            MessageEdit.model_validate({"_id": message["_id"], "msg": "x", "file": {"_id": "o"}}),
        )


async def test_which_messages_exist(home: House) -> None:
    """Hidden ones, too."""
    ana, *_ = await home.users("ana")
    room = await home.room(ana)
    one, two = await home.say(ana, room), await home.say(ana, room)
    await home.database.rocketchat_message.update_one(
        {"_id": two["_id"]}, {"$set": {"_hidden": True}}
    )
    wanted = [MessageId(one["_id"]), MessageId("unknown"), MessageId(two["_id"])]

    assert await home.messaging.stored_messages(wanted) == [one["_id"], two["_id"]]
    assert await home.messaging.stored_messages([]) == []


# -- pictures of rooms --------------------------------------------------------------------------


class FakePictures(Pictures):
    """Keeps pictures in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def set_user_avatar(self, user_id: UserId, picture: str) -> None:
        raise NotImplementedError

    async def reset_user_avatar(self, actor_id: UserId, user_id: UserId | None = None) -> None:
        raise NotImplementedError

    async def keep_room_avatar(self, room_id: RoomId, picture: str) -> str:
        if not picture.startswith("data:"):
            raise BadRequest("Invalid image", code="error-avatar-invalid-image")
        self.kept[room_id] = picture
        return f"etag-{len(picture)}"

    async def forget_room_avatar(self, room_id: RoomId) -> None:
        self.kept.pop(room_id, None)

    async def custom_emoji(self, updated_since: Any = None) -> Any:
        raise NotImplementedError


async def test_a_room_gets_a_picture(home: House) -> None:
    """Whoever may change the room; its tag is in the room, and a message tells of it."""
    ana, bo = await home.users("ana", "bo")
    room = await home.room(ana, "bo")
    picture = "data:image/png;base64," + base64.b64encode(b"x").decode()
    save = home.messaging.save_room_settings
    with pytest.raises(Unavailable):
        await save(ana, room, {"roomAvatar": picture})
    home.service._desk = replace(home.service._desk, pictures=FakePictures())
    with pytest.raises(NotAllowed):
        await save(bo, room, {"roomAvatar": picture})
    with pytest.raises(BadRequest):
        await save(ana, room, {"roomAvatar": "x", "roomTopic": "new"})
    with pytest.raises(BadRequest):
        await save(ana, room, {"roomAvatar": 7})
    with pytest.raises(BadRequest):
        await save(ana, room, {"roomAvatar": picture, "unknown": 1})
    assert "topic" not in await home.stored_room(room)

    after = await save(ana, room, {"roomAvatar": picture, "roomTopic": "new"})
    assert (after["avatarETag"], after["topic"]) == (f"etag-{len(picture)}", "new")
    await save(ana, room, {"roomAvatar": ""})
    assert "avatarETag" not in await home.stored_room(room)
    await save(ana, room, {"roomAvatar": ""})
    told = await home.database.rocketchat_message.count_documents(
        {"rid": room, "t": "room_changed_avatar"}
    )
    assert told == 2
