"""`chat.*`: stars, pins, follows, reports; `subscriptions.unread`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.contracts.messages import MessageNotFound
from hubbub.ids import MessageId, RoomId
from services.gateway.rest.answers import InvalidParams, PlainRefusal
from services.gateway.rest.asked import Asked, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.chat import no_such_message
from services.gateway.rest.router import Routes

routes = Routes()


class Marked(Asked):
    """A message by id."""

    message_id: Required


async def _star(call: Call, message_id: str, *, starred: bool) -> None:
    try:
        await call.services.messaging.star_message(
            call.user_id, MessageId(message_id), starred=starred
        )
    except MessageNotFound:
        raise no_such_message() from None


@routes.post("chat.starMessage")
async def star(call: Call, asked: Marked) -> None:
    """Put the caller's star on a message."""
    await _star(call, asked.message_id, starred=True)


@routes.post("chat.unStarMessage")
async def unstar(call: Call, asked: Marked) -> None:
    """Take the caller's star off a message."""
    await _star(call, asked.message_id, starred=False)


@routes.post("chat.pinMessage")
async def pin(call: Call, asked: Marked) -> dict[str, Any]:
    """Pin a message; the system message that tells the room of it."""
    try:
        pinned = await call.services.messaging.pin_message(
            call.user_id, MessageId(asked.message_id)
        )
    except MessageNotFound:
        raise no_such_message() from None
    return {"message": pinned.notice}


@routes.post("chat.unPinMessage")
async def unpin(call: Call, asked: Marked) -> None:
    """Take the pin off a message."""
    try:
        await call.services.messaging.unpin_message(call.user_id, MessageId(asked.message_id))
    except MessageNotFound:
        raise no_such_message() from None


class Followed(Asked):
    """A thread, by any of its messages."""

    mid: Required


async def _follow(call: Call, message_id: str, *, following: bool) -> None:
    try:
        await call.services.messaging.follow_message(
            call.user_id, MessageId(message_id), following=following
        )
    except MessageNotFound:
        raise no_such_message() from None


@routes.post("chat.followMessage")
async def follow(call: Call, asked: Followed) -> None:
    """Hear of replies in a thread."""
    await _follow(call, asked.mid, following=True)


@routes.post("chat.unfollowMessage")
async def unfollow(call: Call, asked: Followed) -> None:
    """Hear no longer of replies in a thread."""
    await _follow(call, asked.mid, following=False)


class Reported(Asked):
    """A message, and what is wrong with it."""

    message_id: Word | None = None
    description: Word | None = None


@routes.post("chat.reportMessage")
async def report(call: Call, asked: Reported) -> None:
    """Tell the workspace's moderators about a message."""
    if not asked.message_id:
        raise PlainRefusal('The required "messageId" param is missing.')
    if not asked.description:
        raise PlainRefusal('The required "description" param is missing.')
    try:
        await call.services.messaging.report_message(
            call.user_id, MessageId(asked.message_id), asked.description
        )
    except MessageNotFound:
        raise no_such_message() from None


@routes.get("chat.getMessageReadReceipts")
async def receipts(call: Call, asked: Marked) -> dict[str, Any]:
    """Who has seen a message, while the workspace keeps track of it."""
    try:
        found = await call.services.messaging.read_receipts(
            call.user_id, MessageId(asked.message_id)
        )
    except MessageNotFound:
        raise no_such_message() from None
    return {"receipts": found}


class Reference(Asked):
    """A message by id."""

    id: Required = Field(alias="_id")


class Unread(Asked):
    """From where on nothing has been seen: a room's newest message, or this one."""

    room_id: Word | None = None
    first_unread_message: Reference | None = None


@routes.post("subscriptions.unread")
async def unread(call: Call, asked: Unread) -> None:
    """Everything from a message on counts as not yet seen."""
    first = asked.first_unread_message
    if not asked.room_id and first is None:
        raise InvalidParams("must have required property 'roomId'")
    await call.services.messaging.mark_unread(
        call.user_id,
        room_id=RoomId(asked.room_id) if asked.room_id else None,
        first_unread=None if first is None else MessageId(first.id),
    )
