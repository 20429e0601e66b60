"""The installed apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT

LISTED = 200
"""Apps that are looked at."""


class MongoAppStore:
    """One document per app, under its id."""

    def __init__(self, database: Database) -> None:
        self._apps: AsyncCollection[Document] = database["rocketchat_apps"]

    async def all(self) -> list[Document]:
        """Every app (at most `LISTED`), by id."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._apps.find({"_id": {"$gt": ""}}).sort("_id", 1).to_list(LISTED)

    async def one(self, app_id: str) -> Document | None:
        """One app."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._apps.find_one({"_id": app_id})

    async def save(self, app: Mapping[str, Any]) -> None:
        """Store an app whole, over the one with its id."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._apps.replace_one({"_id": app["_id"]}, app, upsert=True)

    async def change(self, app_id: str, fields: Mapping[str, Any]) -> Document | None:
        """Set some fields; the app after it. None: there is none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            changed: Document | None = await self._apps.find_one_and_update(
                {"_id": app_id},
                {"$set": dict(fields)},
                return_document=pymongo.ReturnDocument.AFTER,
            )
        return changed

    async def remove(self, app_id: str) -> None:
        """Forget an app."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._apps.delete_one({"_id": app_id})
