"""What apps keep for themselves: values under keys."""

from __future__ import annotations

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT

LISTED = 1000
"""Keys of one answer."""
_LAST = "\U0010ffff"  # sorts behind every other character


class MongoDataStore:
    """One document per value, under `<app>/<key>`. Values are JSON texts: the database does not
    look into them, so nothing that an app keeps can mean anything to it."""

    def __init__(self, database: Database) -> None:
        self._store: AsyncCollection[Document] = database["hubbub_app_store"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with answering():
            await self._store.create_index([("app", 1)])

    async def get(self, app_id: str, key: str) -> str | None:
        """The text under a key."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._store.find_one({"_id": f"{app_id}/{key}"})
        return None if found is None else str(found["value"])

    async def set(self, app_id: str, key: str, value: str, *, limit: int) -> bool:
        """Keep a text under a key. False: it is a new one and the app has `limit` keys."""
        name = {"_id": f"{app_id}/{key}"}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            changed = await self._store.update_one(name, {"$set": {"value": value}})
            if changed.matched_count:
                return True
            if await self._store.count_documents({"app": app_id}, limit=limit) >= limit:
                return False
            try:
                await self._store.insert_one({**name, "app": app_id, "value": value})
            except DuplicateKeyError:  # the app sets it twice at the same moment
                await self._store.update_one(name, {"$set": {"value": value}})
        return True

    async def delete(self, app_id: str, key: str) -> bool:
        """Forget a key. False: there was none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._store.delete_one({"_id": f"{app_id}/{key}"})
        return bool(result.deleted_count)

    async def keys(self, app_id: str, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted (at most `LISTED`)."""
        first = f"{app_id}/{prefix}"
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._store.find({"_id": {"$gte": first, "$lt": first + _LAST}}, {"_id": 1})
            documents = await found.sort("_id", 1).to_list(LISTED)
        return [document["_id"].removeprefix(f"{app_id}/") for document in documents]

    async def remove_app(self, app_id: str) -> None:
        """Forget everything that an app kept."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._store.delete_many({"app": app_id})
