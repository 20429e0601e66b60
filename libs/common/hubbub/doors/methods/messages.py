"""Messages: sending, changing, reading."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson

from hubbub.contracts.documents import Document, Identifier, Paging
from hubbub.contracts.messages import MUTED, MessageEdit, MessageNotFound, NewMessage
from hubbub.doors.parameters import (
    EjsonDate,
    Limit,
    MessageReference,
    Since,
    ThreadReference,
)
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.errors import BadRequest, NotAllowed, TooLarge
from hubbub.ids import MessageId, RoomId, random_id

_LOOK_BACK: Final = timedelta(seconds=10)
"""How much further than asked a catch-up looks: a change may carry a slightly older date than
the moment at which it became visible."""
_MISSED: Final = 2000  # messages of one catch-up
_MISSED_BYTES: Final = 2 * 1024 * 1024
"""Of one catch-up, as JSON: half of what a streamer keeps for a client before it takes it for a
slow one. A client that is sent away for an answer that it asked for would ask for it again."""
_STEP: Final = 200  # messages asked for at once; fewer when they are large


@method("sendMessage")
async def send_message(call: Call, message: NewMessage) -> Document:
    """Send a message; the stored message."""
    if message.id is None:
        # Made here, before the first attempt, so that a repeated attempt is the same message.
        message = message.model_copy(update={"id": random_id()})
    return await call.send(call.user_id, message)


@method("updateMessage")
async def update_message(call: Call, edit: MessageEdit) -> Nothing:
    """Change a message."""
    await call.services.messaging.update_message(call.user_id, edit)
    return NOTHING


@method("deleteMessage")
async def delete_message(call: Call, message: MessageReference | Identifier) -> Nothing:
    """Delete a message."""
    message_id = message.id if isinstance(message, MessageReference) else message
    await call.services.messaging.delete_message(call.user_id, MessageId(message_id))
    return NOTHING


@method("setReaction")
async def set_reaction(
    call: Call, reaction: Identifier, message_id: Identifier, should_react: bool | None = None
) -> Nothing | Literal[False]:
    """Add or remove a reaction; toggles when not told which. False: the caller is muted."""
    messaging, target = call.services.messaging, MessageId(message_id)
    try:
        if should_react is None:
            await messaging.toggle_reaction(call.user_id, reaction, target)
        else:
            await messaging.set_reaction(call.user_id, reaction, target, should_react)
    except NotAllowed as refusal:
        if refusal.code != MUTED:
            raise
        return False
    return NOTHING


@method("loadHistory", parallel_safe=True, anonymous=True)
async def load_history(
    call: Call,
    room_id: Identifier,
    end: EjsonDate | None = None,
    limit: Limit = 20,
    last_seen: Since = None,
    show_thread_messages: bool = True,
) -> dict[str, Any] | Literal[False]:
    """Messages before a date, newest first; false without access."""
    try:
        history = await call.services.messaging.history(
            call.caller.user_id,
            RoomId(room_id),
            latest=end,
            count=min(limit, 100),
            last_seen=last_seen,
            show_thread_messages=show_thread_messages,
        )
    except NotAllowed:
        return False
    answer: dict[str, Any] = {
        "messages": history.messages,
        "unreadNotLoaded": history.unread_not_loaded,
    }
    if history.first_unread is not None:
        answer["firstUnread"] = history.first_unread
    return answer


@method("loadNextMessages", parallel_safe=True)
async def load_next_messages(
    call: Call, room_id: Identifier, start: EjsonDate, limit: Limit = 20
) -> dict[str, Any]:
    """Messages after a date, oldest first."""
    messages = await call.services.messaging.next_messages(
        call.user_id, RoomId(room_id), start, min(limit, 100)
    )
    return {"messages": messages}


@method("loadMissedMessages", parallel_safe=True)
async def load_missed_messages(
    call: Call, room_id: Identifier, start: EjsonDate
) -> list[Document] | Literal[False]:
    """Messages sent or edited since a date, oldest first; false without access.

    The first 2,000 that changed since, or 2 MiB of them: who missed more goes on from the last.
    """
    try:
        return await all_missed(call, RoomId(room_id), start)
    except NotAllowed:
        return False


@method("loadSurroundingMessages", parallel_safe=True)
async def load_surrounding_messages(
    call: Call,
    message: MessageReference,
    limit: Limit = 50,
    show_thread_messages: bool = True,
) -> dict[str, Any] | Literal[False]:
    """Messages around one, oldest first; false without access."""
    try:
        around = await call.services.messaging.surrounding_messages(
            call.user_id, MessageId(message.id), min(limit, 100), show_thread_messages
        )
    except (NotAllowed, MessageNotFound):
        return False
    return {
        "messages": around.messages,
        "moreBefore": around.more_before,
        "moreAfter": around.more_after,
    }


@method("getThreadMessages", parallel_safe=True)
async def get_thread_messages(call: Call, thread: ThreadReference) -> list[Document]:
    """The replies of a thread, oldest first."""
    page = await call.services.messaging.thread_messages(
        call.user_id,
        MessageId(thread.thread_id),
        Paging(count=min(thread.limit, 100), offset=thread.skip),
    )
    return page.items


@method("getMessages", parallel_safe=True)
async def get_messages(call: Call, message_ids: list[Identifier]) -> list[Document]:
    """Those of up to 100 messages that the caller may read."""
    if len(message_ids) > 100:
        raise BadRequest("Match failed", code=400)
    messages = []
    for message_id in message_ids:
        try:
            messages.append(
                await call.services.messaging.get_message(call.user_id, MessageId(message_id))
            )
        except (MessageNotFound, NotAllowed):
            continue
    return messages


@method("getSingleMessage", parallel_safe=True)
async def get_single_message(call: Call, message_id: Identifier) -> Document | Nothing:
    """One message, or nothing."""
    try:
        return await call.services.messaging.get_message(call.user_id, MessageId(message_id))
    except (MessageNotFound, NotAllowed):
        return NOTHING


@method("readMessages")
async def read_messages(call: Call, room_id: Identifier, read_threads: bool = False) -> Nothing:
    """Everything in a room has been seen."""
    await call.services.messaging.read_room(call.user_id, RoomId(room_id), read_threads)
    return NOTHING


async def all_missed(call: Call, room_id: RoomId, start: datetime) -> list[Document]:
    """Messages sent or changed since `start`, oldest first, fetched in as many steps as needed.

    Looks back ten seconds further as far as there is room: clients store by `_id`.

    Raises: NotAllowed; InvalidRoom; TooLarge: a single moment does not fit.
    """
    changed: dict[str, Document] = {}
    left = await _collect(call, room_id, changed, start, None, _MISSED_BYTES)
    await _collect(call, room_id, changed, start - _LOOK_BACK, start, left)
    return sorted(changed.values(), key=lambda message: (message["ts"], message["_id"]))


async def _collect(
    call: Call,
    room_id: RoomId,
    changed: dict[str, Document],
    since: datetime,
    until: datetime | None,
    space: int,
) -> int:
    """Add messages that changed after `since`, up to `until`, as long as there is room.

    Args:
        space: bytes that they may have; the first ones come in any case, if there are none yet.

    Returns: bytes that are left; 0: there are more messages than have found room.
    """
    step = _STEP
    while len(changed) < _MISSED and space > 0 and (until is None or since < until):
        size = min(step, _MISSED - len(changed))
        try:
            part = await call.services.messaging.changed_messages(
                call.user_id, room_id, since, size
            )
        except TooLarge:
            if size == 1:
                raise
            step = size // 2
            continue
        space -= len(orjson.dumps(part, default=str))
        if space < 0 and changed:
            return 0
        for message in part:
            changed[message["_id"]] = message  # one that changed meanwhile comes again
        if len(part) < size:
            return max(space, 0)
        since = part[-1]["_updatedAt"]
    return max(space, 0)
