"""Deleted documents: kept for a while, so that clients that were away learn of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pymongo import ReplaceOne

from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session

Kind = Literal["message", "room", "subscription"]

_LIMIT = 5000  # removals that one answer lists


class Trash:
    """Queries on `rocketchat__trash`."""

    def __init__(self, collections: Collections) -> None:
        self._trash = collections.trash

    async def keep(
        self,
        kind: Kind,
        documents: Sequence[Mapping[str, Any]],
        now: datetime,
        session: Session,
    ) -> None:
        """Keep whole documents that the same transaction deletes."""
        writes = [
            ReplaceOne(
                {"_id": document["_id"]},
                {**document, "_deletedAt": now, "__collection__": kind},
                upsert=True,
            )
            for document in documents
        ]
        if writes:
            await self._trash.bulk_write(writes, session=session)

    async def memberships_of(self, user_id: str, since: datetime) -> list[dict[str, Any]]:
        """`{"_id", "rid", "_deletedAt"}` of the user's memberships that ended since."""
        return await self._list(
            {"__collection__": "subscription", "u._id": user_id, "_deletedAt": {"$gt": since}},
            {"rid": 1},
        )

    async def _list(
        self, query: Mapping[str, Any], fields: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        projection = {"_deletedAt": 1, **fields}
        cursor = self._trash.find(query, projection).sort("_deletedAt", 1).limit(_LIMIT)
        return [document async for document in cursor]


def removals(documents: Iterable[Mapping[str, Any]], key: str = "_id") -> list[dict[str, Any]]:
    """`{"_id", "_deletedAt"}` per document, the id taken from `key`."""
    return [{"_id": document[key], "_deletedAt": document["_deletedAt"]} for document in documents]
