"""A private room in which everything that a room can hold says one secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubbub.ids import random_id
from tests.conformance.rest import Rest, User
from tests.conformance.test_rest_files import Files, picture
from tests.security.calls import Things


@dataclass(frozen=True)
class Scene:
    """What a member of the room sees and nobody else."""

    room: dict[str, Any]
    secret: str
    """In every text of the room, but for its name."""
    things: Things
    """The room, its messages, its file and its invitation; of its owner."""

    @property
    def room_id(self) -> str:
        found: str = self.room["_id"]
        return found


async def private_room(rest: Rest, files: Files, owner: User, *members: User) -> Scene:
    """A private group with a topic, a thread, a file, a discussion, and marks of all kinds."""
    names = [member.username for member in members]
    body = {"name": f"private-{random_id(8).lower()}", "members": names}
    room = (await rest.post("groups.create", owner, **body))["group"]
    return await _furnished(rest, files, "groups", room, owner, members)


async def direct_room(rest: Rest, files: Files, owner: User, other: User) -> Scene:
    """The same between two."""
    room = (await rest.post("im.create", owner, username=other.username))["room"]
    return await _furnished(rest, files, "im", room, owner, (other,))


async def _furnished(
    rest: Rest,
    files: Files,
    kind: str,
    room: dict[str, Any],
    owner: User,
    members: tuple[User, ...],
) -> Scene:
    word, suffix = f"word{random_id(8)}", random_id(12)
    secret = f"secret{suffix}"
    text = f"{word} {secret}"
    room_id = room["_id"]
    await rest.post(f"{kind}.setTopic", owner, roomId=room_id, topic=text)
    if kind == "groups":
        await rest.post("groups.setDescription", owner, roomId=room_id, description=text)
        await rest.post("groups.setAnnouncement", owner, roomId=room_id, announcement=text)
    everybody = " ".join(f"@{user.username}" for user in (owner, *members))

    async def say(said: str, **more: Any) -> str:
        message = {"rid": room_id, "msg": said, **more}
        stored = (await rest.post("chat.sendMessage", owner, message=message))["message"]
        found: str = stored["_id"]
        return found

    message_id = await say(f"{text} {everybody} @all")
    thread_id = await say(f"{text}: a thread")
    await say(f"{text}: a reply", tmid=thread_id)
    gone = await say(f"{text}: soon gone")
    await rest.post("chat.delete", owner, roomId=room_id, msgId=gone)
    if kind == "groups":  # who may pin is a role in the room, and here there is none
        await rest.post("chat.pinMessage", owner, messageId=message_id)
    await rest.post("chat.react", owner, messageId=message_id, emoji="tada")
    for user in (owner, *members):
        await rest.post("chat.starMessage", user, messageId=message_id)
    upload = await files.send(
        f"rooms.upload/{room_id}", owner, picture(), f"{secret}.png", msg=text, description=text
    )
    assert upload.status == 200, upload
    await rest.post("rooms.createDiscussion", owner, prid=room_id, t_name=text, reply=text)
    invite = {"_id": "none"}
    if kind == "groups":
        invite = await rest.post("findOrCreateInvite", owner, rid=room_id, days=1, maxUses=0)
    things = Things(
        room_id=room_id,
        room_name=room.get("name", room_id),
        message_id=message_id,
        thread_id=thread_id,
        user_id=owner.id,
        username=owner.username,
        invite=invite["_id"],
        file_id=upload.body["message"]["file"]["_id"],
        word=word,
        room_type="p" if kind == "groups" else "d",
    )
    return Scene(room, secret, things)
