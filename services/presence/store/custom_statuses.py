"""Statuses that the workspace offers."""

from __future__ import annotations

from datetime import datetime

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.contracts.documents import Paging
from hubbub.mongo import Database, Document, answering
from services.presence.store.users import QUERY_TIMEOUT


class NameTaken(Exception):
    """Another status has this name."""


class MongoCustomStatusStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._statuses: AsyncCollection[Document] = database["rocketchat_custom_user_status"]

    async def prepare(self) -> None:
        """Make the index. Any number of replicas may do it at once."""
        with answering():
            await self._statuses.create_index("name", unique=True)

    async def page(
        self, paging: Paging, status_id: str | None, name: str | None
    ) -> tuple[list[Document], int]:
        """A page by name, and how many there are."""
        match: Document = {}
        if status_id is not None:
            match["_id"] = status_id
        if name is not None:
            match["name"] = name
        order = -1 if (paging.sort or {}).get("name", 1) < 0 else 1
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = (
                self._statuses.find(match)
                .sort("name", order)
                .skip(paging.offset)
                .limit(paging.count)
            )
            statuses = await found.to_list() if paging.count else []
            return statuses, await self._statuses.count_documents(match)

    async def insert(self, status: Document) -> None:
        """Raises: NameTaken."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                await self._statuses.insert_one(status)
            except DuplicateKeyError as error:
                raise NameTaken from error

    async def update(
        self, status_id: str, name: str, status_type: str, now: datetime
    ) -> Document | None:
        """The changed status; None: there is none. Raises: NameTaken."""
        fields = {"name": name, "statusType": status_type, "_updatedAt": now}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                changed: Document | None = await self._statuses.find_one_and_update(
                    {"_id": status_id},
                    {"$set": fields},
                    return_document=pymongo.ReturnDocument.AFTER,
                )
            except DuplicateKeyError as error:
                raise NameTaken from error
        return changed

    async def delete(self, status_id: str) -> bool:
        """False: there is none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._statuses.delete_one({"_id": status_id})
        return result.deleted_count == 1
