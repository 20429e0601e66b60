"""Counting the workspace, and the daily records of the counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.messaging.domain.lists import Order
from services.messaging.store.schema import Collections

_STATUSES = ("online", "away", "busy")


class Statistics:
    """Queries on `rocketchat_statistics`, and counts that read indexes only."""

    def __init__(self, collections: Collections) -> None:
        self._statistics = collections.statistics
        self._users = collections.users

    async def prepare(self) -> None:
        """Make the indexes for counting users, beside those that their owners need anyway."""
        await self._users.create_index(
            "active", name="inactive", partialFilterExpression={"active": False}
        )
        await self._users.create_index([("status", 1), ("username", 1)])

    async def count_users(self) -> dict[str, int]:
        """Users by what they are: `inactive`, `online`, `away`, `busy`."""
        counts = {"inactive": await self._users.count_documents({"active": False})}
        for status in _STATUSES:
            counts[status] = await self._users.count_documents({"status": status})
        return counts

    async def has(self, record_id: str) -> bool:
        """Whether there is a record of this day."""
        return await self._statistics.find_one({"_id": record_id}, {"_id": 1}) is not None

    async def keep(
        self, record_id: str, record: Mapping[str, Any], now: datetime, *, replace: bool
    ) -> None:
        """Keep a day's record. One that is there stays, unless it is to be replaced: of several
        processes that count at once one is enough."""
        fields = {**record, "createdAt": now, "_updatedAt": now}
        change = {"$set": fields} if replace else {"$setOnInsert": fields}
        await self._statistics.update_one({"_id": record_id}, change, upsert=True)

    async def page(self, order: Order, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """A page of the records, and how many there are."""
        found = self._statistics.find({}).sort(order).skip(offset).limit(limit)
        total = await self._statistics.estimated_document_count()
        return [record async for record in found], total
