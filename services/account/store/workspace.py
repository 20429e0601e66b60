"""Settings of the workspace, and what happens once in its life."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.contracts.workspace import SettingValue
from hubbub.mongo import Database, Document, answering
from services.account.store.fields import QUERY_TIMEOUT


class MongoWorkspaceStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._once: AsyncCollection[Document] = database["hubbub_once"]
        self._settings: AsyncCollection[Document] = database["rocketchat_settings"]

    async def settings(self, ids: Iterable[str]) -> dict[str, SettingValue | None]:
        """Values of settings; None for those that have no document."""
        values: dict[str, SettingValue | None] = dict.fromkeys(ids)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async for setting in self._settings.find({"_id": {"$in": list(values)}}, {"value": 1}):
                values[setting["_id"]] = setting.get("value")
        return values

    async def is_marked(self, mark: str) -> bool:
        """Whether something that happens once per workspace has happened."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._once.find_one({"_id": mark}) is not None

    async def mark(self, mark: str) -> None:
        """Note that something that happens once per workspace has happened."""
        # Duplicate: another replica noted it at the same moment.
        with answering(), pymongo.timeout(QUERY_TIMEOUT), suppress(DuplicateKeyError):
            await self._once.update_one({"_id": mark}, {"$set": {"_id": mark}}, upsert=True)
