"""`chat.postMessage`: from what a client calls a channel to a sent message."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Document
from hubbub.contracts.messages import (
    ActionNotAllowed,
    InvalidRoom,
    MessageTooLong,
    NewMessage,
)
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import BadRequest, NotAllowed, NotFound
from hubbub.ids import RoomId, random_id
from services.gateway.rest.answers import InvalidParams, PlainRefusal
from services.gateway.rest.asked import Asked, Flag, Word, Words
from services.gateway.rest.call import Call
from services.gateway.rest.families.attachments import Attachments, Link
from services.gateway.rest.validation import filled

MAX_TARGETS = 50  # rooms that one call may send to


class Post(Asked):
    """A text, and where it is to go."""

    room_id: Words = Field(default=[])
    """A room or several, by id; goes before `channel`."""
    channel: Words = Field(default=[])
    """Rooms by id or name (`#general`), users by name (`@ann`) or id."""
    text: Word | None = None
    msg: Word | None = None
    """The same as `text`."""
    tmid: Word | None = None
    """The first message of the thread to reply in."""
    alias: Word | None = None
    """Another name to show; needs `message-impersonate`, as do `avatar` and `emoji`."""
    avatar: Link | None = None
    emoji: Word | None = None
    attachments: Attachments | None = None
    parse_urls: Flag = True
    """Whether links in the text are listed in the message."""
    custom_fields: dict[str, Any] | None = None


async def post(call: Call, asked: Post) -> tuple[str, Document]:
    """Send one text to each target; the first target as it was given, and its message.

    Raises: BadRequest: `invalid-channel`; InvalidParams; what messaging refuses.
    """
    targets = asked.room_id or asked.channel
    if not targets:
        raise _invalid_channel()
    if len(targets) > MAX_TARGETS:
        raise InvalidParams(f"must NOT have more than {MAX_TARGETS} items")
    fields = {
        "msg": (asked.text or asked.msg or "").strip(),
        "tmid": asked.tmid or None,
        "alias": asked.alias,
        "avatar": asked.avatar,
        "emoji": asked.emoji,
        "attachments": asked.attachments,
        "parseUrls": asked.parse_urls,
        "customFields": asked.custom_fields,
    }
    rooms = [await room_for(call, target) for target in targets]
    messages = [filled(NewMessage, {**fields, "rid": room_id}) for room_id in rooms]
    try:
        sent = [await send(call, message) for message in messages]
    except ActionNotAllowed as error:
        # Another author's name, image or emoji: this endpoint has its own code for it.
        raise NotAllowed(error.reason) from None
    return targets[0], sent[0]


async def send(call: Call, message: NewMessage) -> Document:
    """Send one message; a repeated attempt inside is the same message."""
    if message.id is None:
        message = message.model_copy(update={"id": random_id()})
    try:
        stored = await call.services.messaging.send_message(call.user_id, message, allow_empty=True)
    except MessageTooLong:
        raise PlainRefusal("error-message-size-exceeded") from None
    call.door.metrics.message_sent()
    return stored


async def room_for(call: Call, target: str) -> RoomId:
    """The room behind an id, a name, `#name`, `@username` or a user's id.

    The sender becomes a member of a public room. Raises: BadRequest: `invalid-channel`.
    """
    messaging = call.services.messaging
    match target[0], target[1:]:
        case _, "":
            raise _invalid_channel()
        case "@", username:
            return await _direct_with(call, username)
        case "#", name:
            found = await _room_named(call, name)
        case _:
            if await messaging.subscription_of(call.user_id, RoomId(target)) is not None:
                return RoomId(target)
            found = await _room_named(call, target)
    if found is None:
        return await _direct_with_id(call, target)
    await _join(call, found)
    return found


async def _room_named(call: Call, name: str) -> RoomId | None:
    try:
        return await call.services.messaging.room_id_of(call.user_id, name)
    except (NotAllowed, NotFound):
        return None


async def _join(call: Call, room_id: RoomId) -> None:
    messaging = call.services.messaging
    if await messaging.subscription_of(call.user_id, room_id) is not None:
        return
    try:
        room = await messaging.get_room(call.user_id, room_id=room_id)
        if room.get("t") == "c":
            await messaging.join_room(call.user_id, room_id)
    except (RoomNotFound, InvalidRoom, NotAllowed):
        raise _invalid_channel() from None


async def _direct_with(call: Call, username: str) -> RoomId:
    try:
        room = await call.services.messaging.create_direct(call.user_id, [username])
    except (UserNotFound, NotAllowed):
        raise _invalid_channel() from None
    return RoomId(room["_id"])


async def _direct_with_id(call: Call, user_id: str) -> RoomId:
    try:
        user = await call.services.account.user_info(call.user_id, user_id=user_id)
    except UserNotFound:
        raise _invalid_channel() from None
    return await _direct_with(call, user["username"])


def _invalid_channel() -> BadRequest:
    return BadRequest("", code="invalid-channel")
