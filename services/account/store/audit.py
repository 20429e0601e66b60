"""The collection `hubbub_audit`: what happened to accounts, rights and settings. Only inserts."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.mongo import Database, Document, answering
from services.account.store.fields import QUERY_TIMEOUT

KEPT = timedelta(days=400)
"""How long an entry is kept: a year, and some time to look into it."""


class AuditStore(Protocol):
    """Where entries go."""

    async def insert(self, entry: Document) -> None:
        """Add an entry; one with the same id is there already, and stays. Raises: Unavailable."""
        ...


class MongoAuditStore:
    """The store on MongoDB."""

    def __init__(self, database: Database) -> None:
        self._entries: AsyncCollection[Document] = database["hubbub_audit"]

    async def prepare(self) -> None:
        """Make the indexes; the first one also removes what is too old."""
        with answering():
            await self._entries.create_index(
                "ts", expireAfterSeconds=int(KEPT.total_seconds()), name="ts_ttl"
            )
            await self._entries.create_index([("actor", 1), ("ts", -1)])
            await self._entries.create_index([("target", 1), ("ts", -1)])

    async def insert(self, entry: Document) -> None:
        """See `AuditStore`."""
        try:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._entries.insert_one(entry)
        except DuplicateKeyError:
            return  # told twice
