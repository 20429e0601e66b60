"""`chat.*`: lists of messages, searches, and catching up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.messages import MessageNotFound
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, RoomId
from services.gateway.rest.answers import Refusal
from services.gateway.rest.asked import Asked, Date, Paged, Required, RoomSelector, Whole, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families import synchronizing
from services.gateway.rest.families.synchronizing import Source, everything_since
from services.gateway.rest.paging import paged, parse_paging
from services.gateway.rest.requests import parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import CHANNEL, room_of
from services.gateway.rest.steps import in_steps

routes = Routes()

_LOOK_BACK: Final = timedelta(seconds=10)  # a change may bear a date from before it was visible
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class InRoom(Paged):
    """A part of a list of one room's messages."""

    room_id: Required


async def _listed(
    call: Call,
    asked: Paged,
    fetch: Callable[[Paging], Awaitable[Page]],
    *,
    key: str = "messages",
    sortable: tuple[str, ...] = (),
) -> dict[str, Any]:
    """One page of what `fetch` gives."""
    paging = parse_paging(asked, await call.paging_rules(), sortable=sortable)
    return paged(key, await in_steps(fetch, paging), paging)


@routes.get("chat.getStarredMessages")
async def starred(call: Call, asked: InRoom) -> dict[str, Any]:
    """Messages of a room with the caller's star, newest first."""
    list_starred, room_id = call.services.messaging.starred_messages, RoomId(asked.room_id)
    return await _listed(call, asked, lambda part: list_starred(call.user_id, room_id, part))


@routes.get("chat.getPinnedMessages")
async def pinned(call: Call, asked: InRoom) -> dict[str, Any]:
    """Pinned messages of a room, newest first."""
    list_pinned, room_id = call.services.messaging.pinned_messages, RoomId(asked.room_id)
    return await _listed(call, asked, lambda part: list_pinned(call.user_id, room_id, part))


@routes.get("chat.getMentionedMessages")
async def mentioned(call: Call, asked: InRoom) -> dict[str, Any]:
    """Messages of a room that mention the caller, newest first."""
    mentioning, room_id = call.services.messaging.mentioning_messages, RoomId(asked.room_id)
    return await _listed(call, asked, lambda part: mentioning(call.user_id, room_id, part))


class Mentions(RoomSelector, Paged):
    """A part of the mentions in a channel."""


@routes.get("channels.getAllUserMentionsByChannel")
async def mentions_by_channel(call: Call, asked: Mentions) -> dict[str, Any]:
    """Messages of a channel that mention the caller, oldest first."""
    room = await room_of(call, asked, CHANNEL)
    mentioning, room_id = call.services.messaging.mentioning_messages, RoomId(room["_id"])
    return await _listed(
        call,
        asked,
        lambda part: mentioning(call.user_id, room_id, part, oldest_first=True),
        key="mentions",
    )


class Deleted(InRoom):
    """A part of the messages that went after a moment."""

    since: Date


@routes.get("chat.getDeletedMessages")
async def deleted(call: Call, asked: Deleted) -> dict[str, Any]:
    """Ids of messages of a room that were deleted after a moment, oldest first."""
    list_deleted, room_id = call.services.messaging.deleted_messages, RoomId(asked.room_id)
    answer = await _listed(
        call, asked, lambda part: list_deleted(call.user_id, room_id, asked.since, part)
    )
    return {**answer, "messages": [{"_id": item["_id"]} for item in answer["messages"]]}


class Discussions(InRoom):
    """A part of the messages that lead to discussions."""

    text: Word | None = None
    """A part of the discussion's name, in any case."""


@routes.get("chat.getDiscussions")
async def discussions(call: Call, asked: Discussions) -> dict[str, Any]:
    """Messages of a room that lead to discussions, newest first."""
    leading, room_id = call.services.messaging.discussion_messages, RoomId(asked.room_id)
    text = asked.text or None
    return await _listed(call, asked, lambda part: leading(call.user_id, room_id, part, text))


class Search(Paged):
    """A part of what a search finds in a room."""

    room_id: Word | None = None
    search_text: Word | None = None
    """Words that all have to be there; `"…"` a phrase, `/…/` literal text."""


@routes.get("chat.search")
async def search(call: Call, asked: Search) -> dict[str, Any]:
    """Messages of a room that hold words, newest first."""
    if not asked.room_id:
        raise Refusal(
            'The required "roomId" query param is missing.',
            code="error-roomId-param-not-provided",
        )
    find, room_id = call.services.messaging.search_messages, RoomId(asked.room_id)
    text = (asked.search_text or "").strip()
    if not text:
        raise Refusal(
            'The required "searchText" query param is missing.',
            code="error-searchText-param-not-provided",
        )
    return await _listed(call, asked, lambda part: find(call.user_id, room_id, text, part))


class ThreadMessages(Paged):
    """A part of a thread."""

    tmid: Required


@routes.get("chat.getThreadMessages")
async def thread_messages(call: Call, asked: ThreadMessages) -> dict[str, Any]:
    """The replies of a thread, oldest first."""
    replies, thread_id = call.services.messaging.thread_messages, MessageId(asked.tmid)
    try:
        return await _listed(call, asked, lambda part: replies(call.user_id, thread_id, part))
    except MessageNotFound:
        raise _no_thread() from None


class Threads(Paged):
    """A part of a room's threads."""

    rid: Required
    type: Literal["", "all", "following", "unread"] | None = None
    """All, those that the caller follows, or those with unread replies."""
    text: Word | None = None
    """A part of the first message, in any case."""


@routes.get("chat.getThreadsList")
async def threads_list(call: Call, asked: Threads) -> dict[str, Any]:
    """Messages of a room that have replies, latest activity first."""
    threads, room_id = call.services.messaging.threads, RoomId(asked.rid)
    return await _listed(
        call,
        asked,
        lambda part: threads(
            call.user_id, room_id, part, kind=asked.type or "all", text=asked.text or None
        ),
        key="threads",
        sortable=("tlm",),
    )


class SyncThreads(Asked):
    """A room, and since when its threads are wanted."""

    rid: Required
    updated_since: Required


@routes.get("chat.syncThreadsList")
async def sync_threads(call: Call, asked: SyncThreads) -> dict[str, Any]:
    """First messages of threads that changed or went since a moment."""
    source = Source(RoomId(asked.rid), threads_only=True)
    return {"threads": await _changes(call, source, asked.updated_since)}


class SyncThread(Asked):
    """A thread, and since when its replies are wanted."""

    tmid: Required
    updated_since: Required


@routes.get("chat.syncThreadMessages")
async def sync_thread(call: Call, asked: SyncThread) -> dict[str, Any]:
    """Replies of a thread that changed or went since a moment."""
    thread_id = MessageId(asked.tmid)
    try:
        thread = await call.services.messaging.get_message(call.user_id, thread_id)
    except (MessageNotFound, NotAllowed):
        raise _no_thread() from None
    source = Source(RoomId(thread["rid"]), thread_id=thread_id)
    return {"messages": await _changes(call, source, asked.updated_since)}


async def _changes(call: Call, source: Source, updated_since: str) -> dict[str, Any]:
    since = parse_date(updated_since)
    if since is None:
        raise Refusal(
            'The "updatedSince" query parameter must be a valid date.',
            code="error-updatedSince-param-invalid",
        )
    updated, removed = await _since(call, source, since)
    return {"update": updated, "remove": removed}


async def _since(
    call: Call, source: Source, since: datetime
) -> tuple[list[Document], list[Document]]:
    """What changed and what went since a moment, looking back a little further."""
    moment = max(since, _BEGINNING) - _LOOK_BACK
    updated = await everything_since(call, source, "updated", moment)
    return updated, await everything_since(call, source, "deleted", moment)


class Synchronize(Asked):
    """What a client has of a room's messages: everything up to a moment."""

    room_id: Word | None = None
    last_update: Word | None = None
    """A date: everything that changed and went since."""
    type: Literal["", "UPDATED", "DELETED"] | None = None
    """Changed messages, or deleted ones, by pages."""
    count: Whole = None
    next: Whole = None
    """Milliseconds since 1970: the page of what came after."""
    previous: Whole = None
    """Milliseconds since 1970: the page of what came before, newest first."""


@routes.get("chat.syncMessages")
async def sync_messages(call: Call, asked: Synchronize) -> dict[str, Any]:
    """What happened in a room since a moment."""
    if not asked.room_id:
        raise Refusal('The required "roomId" query param is missing', code="error-param-required")
    room_id = RoomId(asked.room_id)
    if asked.type:
        if asked.next is not None and asked.previous is not None:
            raise Refusal(
                'You cannot provide both "next" and "previous" parameters',
                code="error-cursor-conflict",
            )
        kind: synchronizing.Kind = "updated" if asked.type == "UPDATED" else "deleted"
        count = (await call.paging_rules()).count(asked.count)
        page = synchronizing.page(call, room_id, kind, count, asked.next, asked.previous)
        return {"result": await page}
    if not asked.last_update:
        raise Refusal(
            'The "type" or "lastUpdate" parameters must be provided', code="error-param-required"
        )
    since = parse_date(asked.last_update)
    if since is None:
        raise Refusal(
            'The "lastUpdate" query parameter must be a valid date',
            code="error-lastUpdate-param-invalid",
        )
    updated, removed = await _since(call, Source(room_id), since)
    return {"result": {"updated": updated, "deleted": removed}}


def _no_thread() -> BadRequest:
    return BadRequest("Invalid Message", code="error-invalid-message")
