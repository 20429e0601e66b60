"""What changed or went in a room after a moment, or before one, in whole moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.messaging.store.schema import Collection, Collections

_SAME_MOMENT: Final = 5000  # entries of one and the same moment that an answer is prolonged by


@dataclass(frozen=True, slots=True)
class Span:
    """Strictly after a moment, oldest first; or strictly before one, newest first."""

    bound: datetime
    count: int
    newest_first: bool = False

    @property
    def _way(self) -> int:
        return -1 if self.newest_first else 1

    def beyond(self, moment: datetime) -> dict[str, Any]:
        """The condition of what comes later in this span's direction."""
        return {"$lt" if self.newest_first else "$gt": moment}

    def order(self, field: str) -> list[tuple[str, int]]:
        """How to sort by the moments in `field`."""
        return [(field, self._way)]


@dataclass(frozen=True, slots=True)
class Found:
    """Documents in the order of a span, no moment of which is cut in two."""

    documents: list[dict[str, Any]]
    more: bool


class Moments:
    """Queries by the date of the last change or of the deletion."""

    def __init__(self, collections: Collections) -> None:
        self._messages = collections.messages
        self._trash = collections.trash

    async def changed(
        self,
        room_id: str,
        span: Span,
        hidden: Sequence[str] = (),
        wanted: Mapping[str, Any] | None = None,
    ) -> Found:
        """Visible messages that were sent or changed.

        Args:
            wanted: fields that have to be so beside.
        """
        query: dict[str, Any] = {"rid": room_id, "_hidden": {"$ne": True}, **(wanted or {})}
        if hidden:
            query["t"] = {"$nin": list(hidden)}
        return await _within(self._messages, query, "_updatedAt", span)

    async def deleted(
        self, room_id: str, span: Span, wanted: Mapping[str, Any] | None = None
    ) -> Found:
        """`{"_id", "_deletedAt"}` of messages that were deleted for good."""
        query = {"__collection__": "message", "rid": room_id, **(wanted or {})}
        return await _within(self._trash, query, "_deletedAt", span, {"_deletedAt": 1})

    async def hidden(
        self, room_id: str, span: Span, wanted: Mapping[str, Any] | None = None
    ) -> Found:
        """`{"_id", "_updatedAt"}` of messages that were hidden when they were deleted."""
        query = {
            "rid": room_id,
            "_hidden": True,
            "parent": {"$exists": False},
            **(wanted or {}),
        }
        return await _within(self._messages, query, "_updatedAt", span, {"_updatedAt": 1})


async def _within(
    collection: Collection,
    query: Mapping[str, Any],
    field: str,
    span: Span,
    projection: Mapping[str, int] | None = None,
) -> Found:
    cursor = collection.find({**query, field: span.beyond(span.bound)}, projection)
    page = await cursor.sort(span.order(field)).limit(span.count + 1).to_list()
    if len(page) <= span.count:
        return Found(page, more=False)
    beyond = page.pop()
    last = page[-1][field]
    if beyond[field] != last:
        return Found(page, more=True)
    earlier = [document for document in page if document[field] != last]
    cursor = collection.find({**query, field: last}, projection)
    moment = await cursor.limit(_SAME_MOMENT).to_list()
    further = await collection.find_one({**query, field: span.beyond(last)}, {"_id": 1})
    return Found(earlier + moment, more=further is not None)
