"""How often an address called an endpoint, counted by all gateways together.

One small document per pair while its window is open. Losing one only lets somebody call a few
times more, so a write waits for no journal and no other member.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pymongo
from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

from hubbub.errors import Unavailable
from hubbub.mongo import Database, Document, answering

PATIENCE = 0.25
"""Seconds that counting may take; a call does not wait longer for being limited."""


class MongoRateStore:
    """The collection `hubbub_rest_rates`. Methods raise `Unavailable` when the database is
    away, or too slow: `patience` is in seconds."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._windows = database.get_collection(
            "hubbub_rest_rates", write_concern=WriteConcern(w=1, j=False)
        )

    async def prepare(self) -> None:
        """Make the index that removes windows which are over. Any number of replicas may."""
        with answering():
            await self._windows.create_index("ends", expireAfterSeconds=0)

    async def count(self, address: str, endpoint: str, window: float) -> tuple[int, float]:
        """Count one call; the calls in its window with this one, and the seconds until it ends.

        The first call opens the window; the database's clock decides.
        """
        change = _counting(round(window * 1000))
        with answering(), pymongo.timeout(self._patience):
            try:
                found = await self._change(address, endpoint, change)
            except DuplicateKeyError:  # another gateway opened the window at this moment
                found = await self._change(address, endpoint, change)
        left = (found["ends"] - found["at"]).total_seconds()
        return int(found["calls"]), max(0.0, left)

    async def _change(self, address: str, endpoint: str, change: list[Any]) -> Document:
        found: Document | None = await self._windows.find_one_and_update(
            {"_id": _key(address, endpoint)},
            change,
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if found is None:  # never, says the database's manual
            raise Unavailable("the window was not counted")
        return found


def _key(address: str, endpoint: str) -> bytes:
    """Short, and no address is stored in the clear."""
    return hashlib.sha256(f"{address} {endpoint}".encode()).digest()[:16]


def _counting(window_ms: int) -> list[Document]:
    """One more call, or the first one of a new window."""
    is_open = {"$gt": ["$ends", "$$NOW"]}
    return [
        {
            "$set": {
                "calls": {"$cond": [is_open, {"$add": ["$calls", 1]}, 1]},
                "ends": {"$cond": [is_open, "$ends", {"$add": ["$$NOW", window_ms]}]},
                "at": "$$NOW",
            }
        }
    ]
