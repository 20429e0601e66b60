"""Reading messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from services.messaging.domain.lists import Order
from services.messaging.store.schema import Collections

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
        self, room_id: str, since: datetime, limit: int, hidden: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Visible messages sent or changed after `since`: those that changed first."""
        query = _visible(room_id, hidden) | {"_updatedAt": {"$gt": since}}
        cursor = self._messages.find(query).sort("_updatedAt", 1).limit(limit)
        return [message async for message in cursor]

    async def hidden_since(self, room_id: str, since: datetime, limit: int) -> list[dict[str, Any]]:
        """`{"_id", "_updatedAt"}` of messages that were hidden, or changed while hidden, since."""
        cursor = (
            self._messages.find(
                {
                    "rid": room_id,
                    "_updatedAt": {"$gt": since},
                    "_hidden": True,
                    "parent": {"$exists": False},
                },
                {"_updatedAt": 1},
            )
            .sort("_updatedAt", 1)
            .limit(limit)
        )
        return [message async for message in cursor]

    async def thread(
        self, thread_id: str, order: Order, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a thread's replies, and how many there are."""
        query: dict[str, Any] = {"tmid": thread_id, "_hidden": {"$ne": True}}
        cursor = self._messages.find(query).sort(order).skip(offset).limit(limit)
        total = await self._messages.count_documents(query)
        return [message async for message in cursor], total

    async def threads(
        self, room_id: str, order: Order, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the room's messages that have replies, and how many there are."""
        query: dict[str, Any] = {
            "rid": room_id,
            "tcount": {"$exists": True, "$gt": 0},
            "_hidden": {"$ne": True},
        }
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
