"""Work that one of several replicas does now and then."""

from __future__ import annotations

from datetime import datetime, timedelta

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.mongo import Database, Document, answering
from services.gateway.store.blobs import QUERY_TIMEOUT


class Rounds:
    """Who does the next round of a recurring work. Doing one twice must do no harm."""

    def __init__(self, database: Database) -> None:
        self._rounds: AsyncCollection[Document] = database["hubbub_rounds"]

    async def take(self, name: str, holder: str, now: datetime, interval: float) -> bool:
        """Whether `holder` does the round that is due now; the next is due `interval` later."""
        due = now + timedelta(seconds=interval)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                await self._rounds.update_one(
                    {"_id": name, "due": {"$lte": now}},
                    {"$set": {"due": due, "holder": holder}},
                    upsert=True,
                )
            except DuplicateKeyError:
                return False  # it is not due yet
            found = await self._rounds.find_one({"_id": name}, {"holder": 1, "due": 1})
        return found is not None and found.get("holder") == holder and found["due"] == due
