"""What apps write down, and what is written down about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.contracts.apps import LogLine
from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT


class MongoLogStore:
    """One document per line, until it expires."""

    def __init__(self, database: Database) -> None:
        self._logs: AsyncCollection[Document] = database["hubbub_app_logs"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with answering():
            await self._logs.create_index([("app", 1), ("at", 1), ("_id", 1)])
            await self._logs.create_index("expires", expireAfterSeconds=0)

    async def add(self, lines: Sequence[tuple[str, LogLine]], expires: datetime) -> None:
        """Store lines, each with its app."""
        documents = [
            {"app": app_id, "at": line.at, "level": line.level, "text": line.text}
            | {"expires": expires}
            for app_id, line in lines
        ]
        if documents:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._logs.insert_many(documents, ordered=True)

    async def last(self, app_id: str, count: int) -> list[LogLine]:
        """The last lines of an app, oldest first."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._logs.find({"app": app_id}).sort([("at", -1), ("_id", -1)])
            documents = await found.to_list(count)
        return [
            LogLine(at=document["at"], level=document["level"], text=document["text"])
            for document in reversed(documents)
        ]

    async def remove_app(self, app_id: str) -> None:
        """Forget what an app wrote."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._logs.delete_many({"app": app_id})
