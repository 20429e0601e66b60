"""`chat.postMessage`: from what a client calls a channel to a sent message."""

from __future__ import annotations

from typing import Any

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
from services.gateway.rest.call import Call
from services.gateway.rest.families import attachments
from services.gateway.rest.validation import filled

MAX_TARGETS = 50  # rooms that one call may send to


async def post(call: Call) -> tuple[str, Document]:
    """Send one text to each target; the first target as it was given, and its message.

    Raises: BadRequest: `invalid-channel`; InvalidParams; what messaging refuses.
    """
    body = call.body
    targets = body.texts("roomId") or body.texts("channel")
    if not targets:
        raise _invalid_channel()
    if len(targets) > MAX_TARGETS:
        raise InvalidParams(f"must NOT have more than {MAX_TARGETS} items")
    checked(body.raw("attachments"))
    text = body.text("text") or body.text("msg") or ""
    fields = {
        "msg": text.strip(),
        "tmid": body.text("tmid"),
        "alias": body.text("alias"),
        "avatar": _link(body.text("avatar")),
        "emoji": body.text("emoji"),
        "attachments": body.raw("attachments"),
        "customFields": body.mapping("customFields"),
    }
    rooms = [await room_for(call, target) for target in targets]
    try:
        sent = [await send(call, {**fields, "rid": room_id}) for room_id in rooms]
    except ActionNotAllowed as error:
        # Another author's name, image or emoji: this endpoint has its own code for it.
        raise NotAllowed(error.reason) from None
    return targets[0], sent[0]


async def send(call: Call, fields: dict[str, Any]) -> Document:
    """Send one message; a repeated attempt inside is the same message."""
    message = filled(NewMessage, {"_id": random_id(), **_without_none(fields)})
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


def checked(value: Any) -> None:
    """Raises: InvalidParams: these are no attachments that may be sent."""
    if value is not None and (found := attachments.problems(value)):
        raise InvalidParams(*found)


def _link(value: str | None) -> str | None:
    if value and not attachments.link_is_safe(value):
        raise InvalidParams('must match format "uri"')
    return value


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _invalid_channel() -> BadRequest:
    return BadRequest("", code="invalid-channel")
