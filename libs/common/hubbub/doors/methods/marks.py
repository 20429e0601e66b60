"""Marking and finding messages."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.contracts.documents import Document, Identifier, Paging, Text
from hubbub.doors.parameters import Limit, MessageReference, Parameter
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.ids import MessageId, RoomId

_MOST_FOUND = 100  # messages of one search


class Star(MessageReference):
    """A message, and whether it is to have the caller's star."""

    starred: bool = True


class Followed(Parameter):
    """The thread to follow, by any of its messages."""

    message_id: Identifier = Field(alias="mid")


@method("starMessage")
async def star_message(call: Call, star: Star) -> bool:
    """Put the caller's star on a message, or take it off."""
    await call.services.messaging.star_message(call.user_id, MessageId(star.id), star.starred)
    return True


@method("pinMessage")
async def pin_message(call: Call, message: MessageReference) -> Document:
    """Pin a message for everybody; the pinned message."""
    pinned = await call.services.messaging.pin_message(call.user_id, MessageId(message.id))
    return pinned.message


@method("unpinMessage")
async def unpin_message(call: Call, message: MessageReference) -> bool:
    """Take the pin off a message."""
    await call.services.messaging.unpin_message(call.user_id, MessageId(message.id))
    return True


@method("followMessage")
async def follow_message(call: Call, followed: Followed) -> bool:
    """Hear of replies in a thread."""
    await call.services.messaging.follow_message(
        call.user_id, MessageId(followed.message_id), following=True
    )
    return True


@method("unfollowMessage")
async def unfollow_message(call: Call, followed: Followed) -> bool:
    """Hear no longer of replies in a thread."""
    await call.services.messaging.follow_message(
        call.user_id, MessageId(followed.message_id), following=False
    )
    return True


@method("readThreads")
async def read_threads(call: Call, thread_id: Identifier) -> Nothing:
    """The replies of a thread have been seen."""
    await call.services.messaging.read_thread(call.user_id, MessageId(thread_id))
    return NOTHING


@method("unreadMessages")
async def unread_messages(
    call: Call,
    first_unread: MessageReference | None = None,
    room_id: Identifier | None = None,
) -> Nothing:
    """Everything from a message on, or a room's newest message, counts as not yet seen."""
    await call.services.messaging.mark_unread(
        call.user_id,
        room_id=None if room_id is None else RoomId(room_id),
        first_unread=None if first_unread is None else MessageId(first_unread.id),
    )
    return NOTHING


@method("messageSearch", parallel_safe=True)
async def message_search(
    call: Call, text: Text, room_id: Identifier, limit: Limit = 20, offset: Limit = 0
) -> dict[str, Any]:
    """Messages of a room that hold a text, newest first."""
    if not text.strip():
        return {"message": {"docs": []}}
    page = await call.services.messaging.search_messages(
        call.user_id,
        RoomId(room_id),
        text,
        Paging(count=max(1, min(limit, _MOST_FOUND)), offset=offset),
    )
    return {"message": {"docs": page.items}}


@method("reportMessage")
async def report_message(call: Call, message_id: Identifier, description: Text) -> bool:
    """Tell the workspace's moderators about a message."""
    await call.services.messaging.report_message(call.user_id, MessageId(message_id), description)
    return True


@method("getReadReceipts", parallel_safe=True)
async def get_read_receipts(call: Call, message: Any = None) -> list[Document]:
    """None are given here; REST has them."""
    return []
