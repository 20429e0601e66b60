"""Reading messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from services.messaging.domain.lists import Order
from services.messaging.store.schema import Collections

_SAME_MOMENT = 5000  # messages changed in one and the same moment that a list is prolonged by
_TIES = 500  # messages with one and the same `ts` that a page is prolonged by


class Messages:
    """Queries on `rocketchat_message` that change nothing."""

    def __init__(self, collections: Collections) -> None:
        self._messages = collections.messages

    async def one(self, message_id: str) -> dict[str, Any] | None:
        """A message by id, hidden ones too."""
        return await self._messages.find_one({"_id": message_id})

    async def by_ids(self, message_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Messages by id, hidden ones too."""
        cursor = self._messages.find({"_id": {"$in": list(message_ids)}})
        return {str(message["_id"]): message async for message in cursor}

    async def existing(self, message_ids: Collection[str]) -> frozenset[str]:
        """Those of the messages that exist, hidden ones too."""
        cursor = self._messages.find({"_id": {"$in": list(message_ids)}}, {"_id": 1})
        return frozenset([str(message["_id"]) async for message in cursor])

    async def page(
        self,
        room_id: str,
        direction: Literal["older", "newer"],
        *,
        before: datetime | None = None,
        after: datetime | None = None,
        inclusive: bool = False,
        count: int,
        offset: int = 0,
        hidden: Sequence[str] = (),
        threads: bool = True,
    ) -> list[dict[str, Any]]:
        """Messages from the newest back (`older`) or from `after` on (`newer`).

        A page is prolonged so that it never ends between messages of the same `ts`: who goes
        on from its last date misses none. (Only imported messages share a `ts`.)

        Args:
            hidden: system types to leave out.
            threads: whether replies that show only in their thread are included.
        """
        query = _visible(room_id, hidden, threads=threads)
        bounds = _bounds(before, after, inclusive=inclusive)
        if bounds:
            query["ts"] = bounds
        sign = -1 if direction == "older" else 1
        order = [("ts", sign), ("_id", sign)]
        cursor = self._messages.find(query).sort(order).skip(offset).limit(count + 1)
        page = [message async for message in cursor]
        if len(page) <= count:
            return page
        beyond = page.pop()
        last = page[-1] if page else beyond
        if not page or beyond.get("ts") != last.get("ts"):
            return page
        compare = "$lt" if direction == "older" else "$gt"
        ties = query | {"ts": last["ts"], "_id": {compare: last["_id"]}}
        cursor = self._messages.find(ties).sort(order).limit(_TIES)
        return page + [message async for message in cursor]

    async def count_between(
        self, room_id: str, after: datetime, before: datetime, hidden: Sequence[str]
    ) -> int:
        """How many visible messages lie strictly between two moments."""
        query = _visible(room_id, hidden) | {"ts": {"$gt": after, "$lt": before}}
        return await self._messages.count_documents(query)

    async def first_after(
        self, room_id: str, after: datetime, hidden: Sequence[str]
    ) -> dict[str, Any] | None:
        """The oldest visible message after a moment."""
        query = _visible(room_id, hidden) | {"ts": {"$gt": after}}
        return await self._messages.find_one(query, sort=[("ts", 1), ("_id", 1)])

    async def changed_since(
        self,
        room_id: str,
        since: datetime,
        limit: int,
        hidden: Sequence[str] = (),
        *,
        whole_moments: bool = False,
    ) -> list[dict[str, Any]]:
        """Visible messages sent or changed after `since`: those that changed first.

        Args:
            whole_moments: take further ones that changed in the same moment as the last: one
                write may change many.
        """
        visible = _visible(room_id, hidden)
        query = visible | {"_updatedAt": {"$gt": since}}
        order = [("_updatedAt", 1), ("_id", 1)]
        cursor = self._messages.find(query).sort(order).limit(limit)
        found = [message async for message in cursor]
        if not whole_moments or len(found) < limit or not found:
            return found
        last = found[-1]
        ties = visible | {"_updatedAt": last["_updatedAt"], "_id": {"$gt": last["_id"]}}
        cursor = self._messages.find(ties).sort("_id", 1).limit(_SAME_MOMENT)
        return found + [message async for message in cursor]

    async def thread(
        self, thread_id: str, order: Order, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a thread's replies, and how many there are."""
        query: dict[str, Any] = {"tmid": thread_id, "_hidden": {"$ne": True}}
        cursor = self._messages.find(query).sort(order).skip(offset).limit(limit)
        total = await self._messages.count_documents(query)
        return [message async for message in cursor], total

    async def count(self) -> int:
        """Roughly how many messages there are."""
        return await self._messages.estimated_document_count()


def _visible(room_id: str, hidden: Sequence[str], *, threads: bool = True) -> dict[str, Any]:
    query: dict[str, Any] = {"rid": room_id, "_hidden": {"$ne": True}}
    if hidden:
        query["t"] = {"$nin": list(hidden)}
    if not threads:
        query["$or"] = [{"tmid": {"$exists": False}}, {"tshow": True}]
    return query


def _bounds(
    before: datetime | None, after: datetime | None, *, inclusive: bool
) -> Mapping[str, datetime]:
    bounds: dict[str, datetime] = {}
    if before is not None:
        bounds["$lte" if inclusive else "$lt"] = before
    if after is not None:
        bounds["$gte" if inclusive else "$gt"] = after
    return bounds
