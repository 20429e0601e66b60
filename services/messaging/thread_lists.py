"""Lists of threads, and catching up with what changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.marks import ChangesPage
from hubbub.ids import MessageId, RoomId, UserId
from services.messaging.access import hidden_in, visible_room
from services.messaging.desk import Desk
from services.messaging.domain import foreign, lists, marks
from services.messaging.store.moments import Span

_MOST: Final = 500  # entries of one page of changes
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ThreadLists:
    """The doors for lists of threads, and for what changed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def threads(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        kind: Literal["all", "following", "unread"] = "all",
        text: str | None = None,
    ) -> Page:
        """See the contract."""
        marks.may_thread(await self._desk.facts.rules())
        await visible_room(self._desk, user_id, room_id)
        unread: list[str] | None = None
        if kind == "unread":
            membership = await self._desk.store.memberships.one(room_id, user_id)
            unread = foreign.names((membership or {}).get("tunread"))
        start = lists.offset(paging)
        page, total = await self._desk.store.marks.threads(
            room_id,
            lists.order(paging, ("tlm",), {"tlm": -1}),
            slice(start, start + lists.limit(paging)),
            follower=user_id if kind == "following" else None,
            among=unread,
            text=text or None,
        )
        return Page(items=[foreign.message_view(one, user_id) for one in page], total=total)

    async def deleted_messages(
        self, user_id: UserId, room_id: RoomId, since: datetime, paging: Paging
    ) -> Page:
        """See the contract."""
        await visible_room(self._desk, user_id, room_id)
        gone, _ = await self._gone(room_id, Span(since, lists.MAX_LIST))
        start = lists.offset(paging)
        return Page(items=gone[start : start + lists.limit(paging)], total=len(gone))

    async def changes_page(
        self,
        user_id: UserId,
        room_id: RoomId,
        kind: Literal["updated", "deleted"],
        count: int,
        after: datetime | None = None,
        before: datetime | None = None,
        thread_id: MessageId | None = None,
        threads_only: bool = False,
    ) -> ChangesPage:
        """See the contract."""
        wanted: dict[str, Any] = {}
        if thread_id is not None:
            wanted["tmid"] = thread_id
        if threads_only:
            wanted["tcount"] = {"$exists": True}
        if wanted:
            marks.may_thread(await self._desk.facts.rules())
        room = await visible_room(self._desk, user_id, room_id)
        most = max(1, min(count, _MOST))
        if after is None and before is not None:
            span = Span(before, most, newest_first=True)
        else:
            span = Span(after or _BEGINNING, most)
        if kind == "deleted":
            items, more = await self._gone(room_id, span, wanted)
            return ChangesPage(items=items, more=more)
        hidden = await hidden_in(self._desk, room)
        found = await self._desk.store.moments.changed(room_id, span, hidden, wanted)
        views = [foreign.message_view(message, user_id) for message in found.documents]
        return ChangesPage(items=views, more=found.more)

    async def _gone(
        self, room_id: str, span: Span, wanted: Mapping[str, Any] | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        """`{"_id", "_deletedAt"}` of messages that went, however they were deleted."""
        moments = self._desk.store.moments
        deleted = await moments.deleted(room_id, span, wanted)
        hidden = await moments.hidden(room_id, span, wanted)
        dated = [(entry["_deletedAt"], entry["_id"]) for entry in deleted.documents]
        dated += [(entry["_updatedAt"], entry["_id"]) for entry in hidden.documents]
        entries = [(moment, {"_id": _id, "_deletedAt": moment}) for moment, _id in dated]
        first, left = marks.first_moments(entries, span.count, newest_first=span.newest_first)
        return first, left or deleted.more or hidden.more
