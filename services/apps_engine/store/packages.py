"""Packages, in parts: on their way here, and those that are installed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.contracts.apps import CHUNK, LONGEST_PACKAGE
from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT

_PARTS = -(-LONGEST_PACKAGE // CHUNK) * 4  # whoever sends smaller ones may send more


class MongoPackageStore:
    """A document with who brings a package, and one per part: `<package>/<number>`."""

    def __init__(self, database: Database) -> None:
        self._packages: AsyncCollection[Document] = database["hubbub_app_packages"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with answering():
            await self._packages.create_index([("package", 1), ("index", 1)])
            await self._packages.create_index("expires", expireAfterSeconds=0)

    async def begin(self, package_id: str, user_id: UserId, expires: datetime) -> None:
        """Note who brings a package."""
        head = {"_id": package_id, "user": user_id, "expires": expires}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._packages.insert_one(head)

    async def expiry(self, package_id: str, user_id: UserId) -> datetime | None:
        """Until when a package of this user is kept; None: there is none, or it is installed."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            head = await self._packages.find_one({"_id": package_id, "user": user_id})
        expires = (head or {}).get("expires")
        return expires if isinstance(expires, datetime) else None

    async def add(self, package_id: str, index: int, data: bytes, expires: datetime) -> None:
        """Store a part, over the one with its number."""
        part: dict[str, Any] = {
            "package": package_id,
            "index": index,
            "data": data,
            "size": len(data),
            "expires": expires,
        }
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._packages.replace_one({"_id": f"{package_id}/{index}"}, part, upsert=True)

    async def sizes(self, package_id: str) -> dict[int, int]:
        """Number → bytes of the parts that are there."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            parts = await self._packages.find(
                {"package": package_id}, {"index": 1, "size": 1}
            ).to_list(_PARTS)
        return {part["index"]: part["size"] for part in parts}

    async def read(self, package_id: str) -> bytes | None:
        """The whole package; None: parts of it are missing."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            parts = (
                await self._packages.find({"package": package_id}).sort("index", 1).to_list(_PARTS)
            )
        if not parts or [part["index"] for part in parts] != list(range(len(parts))):
            return None
        return b"".join(part["data"] for part in parts)

    async def keep(self, package_id: str) -> None:
        """Keep a package for as long as nobody removes it."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._packages.update_many({"package": package_id}, {"$unset": {"expires": 1}})
            await self._packages.delete_one({"_id": package_id})

    async def remove(self, package_id: str) -> None:
        """Forget a package."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._packages.delete_many({"package": package_id})
            await self._packages.delete_one({"_id": package_id})
