"""The files of rooms: `rocketchat_uploads`, their bytes in the GridFS bucket of the same name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.contracts.documents import Page, Paging
from hubbub.mongo import Database, Document, answering
from services.gateway.store.blobs import QUERY_TIMEOUT, Blobs

COLLECTION: Final = "rocketchat_uploads"
SORTABLE: Final = frozenset({"_id", "name", "type", "size", "uploadedAt", "typeGroup"})
"""Keys that a list of files can be sorted by."""

_LISTED: Final = (
    "name type size rid userId uploadedAt typeGroup description identify complete".split()
)
_INDEXES: Final = [
    IndexModel([("rid", ASCENDING), ("name", ASCENDING), ("_id", ASCENDING)]),
    IndexModel([("rid", ASCENDING), ("uploadedAt", DESCENDING), ("_id", DESCENDING)]),
    IndexModel(
        [
            ("rid", ASCENDING),
            ("typeGroup", ASCENDING),
            ("uploadedAt", DESCENDING),
            ("_id", DESCENDING),
        ]
    ),
    IndexModel(
        [("expiresAt", ASCENDING)], partialFilterExpression={"expiresAt": {"$exists": True}}
    ),
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files of a room are listed."""

    room_id: str
    name: str = ""
    """Only those whose name holds this text, literally, in any case."""
    type_group: str = ""
    only_confirmed: bool = False

    def query(self) -> dict[str, Any]:
        query: dict[str, Any] = {"rid": self.room_id, "complete": True}
        if self.name:
            query["name"] = {"$regex": re.escape(self.name), "$options": "i"}
        if self.type_group:
            query["typeGroup"] = self.type_group
        if self.only_confirmed:
            query["expiresAt"] = {"$exists": False}
        return query


class Uploads:
    """Records of files. One with `expiresAt` belongs to no message yet and ends then."""

    def __init__(self, database: Database) -> None:
        self._records: AsyncCollection[Document] = database[COLLECTION]
        self.blobs = Blobs(database, COLLECTION)

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        with answering():
            await self._records.create_indexes(_INDEXES)
        await self.blobs.prepare()

    async def begin(self, record: Document) -> None:
        """Enter a file whose bytes are about to arrive; until `complete` it can only expire."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._records.insert_one({**record, "complete": False})

    async def complete(self, file_id: str, fields: Mapping[str, Any]) -> None:
        """All bytes are there."""
        await self._update({"_id": file_id}, {"$set": {**fields, "complete": True}})

    async def one(self, file_id: str) -> Document | None:
        """A file whose bytes are all there."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._records.find_one({"_id": file_id, "complete": True})

    async def hold(
        self, file_id: str, room_id: str, user_id: str, until: datetime
    ) -> Document | None:
        """A file of this user and room, kept until `until` at least so that it can be sent.

        None: there is no such file, or it is being removed.
        """
        query = {
            "_id": file_id,
            "rid": room_id,
            "userId": user_id,
            "complete": True,
            "removing": {"$exists": False},
        }
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._records.find_one_and_update(
                query,
                [{"$set": {"expiresAt": {"$cond": [_EXPIRES, until, "$$REMOVE"]}}}],
                return_document=ReturnDocument.AFTER,
            )

    async def confirm(self, file_id: str, fields: Mapping[str, Any]) -> None:
        """The file's message is there: it ends with it and not before."""
        await self._update({"_id": file_id}, {"$set": dict(fields), "$unset": {"expiresAt": 1}})

    async def page(self, wanted: Wanted, paging: Paging) -> Page:
        """Files of a room, by name or as `paging` says, with the users who sent them."""
        order = [(key, way) for key, way in (paging.sort or {}).items() if key in SORTABLE]
        return await self._listed(wanted, order or [("name", 1)], paging)

    async def images(
        self, room_id: str, until: tuple[datetime, str] | None, paging: Paging
    ) -> Page:
        """Pictures of a room, the newest first, from the one `until` names on."""
        wanted = Wanted(room_id, type_group="image", only_confirmed=True)
        older: dict[str, Any] = {}
        if until is not None:
            moment, file_id = until
            older = {
                "$or": [
                    {"uploadedAt": {"$lt": moment}},
                    {"uploadedAt": moment, "_id": {"$lte": file_id}},
                ]
            }
        return await self._listed(wanted, [("uploadedAt", -1)], paging, older)

    async def _listed(
        self,
        wanted: Wanted,
        order: list[tuple[str, int]],
        paging: Paging,
        more: Mapping[str, Any] | None = None,
    ) -> Page:
        query = wanted.query() | dict(more or {})
        # Ties go by id, so that pages neither repeat nor skip.
        sort = dict(order) | {"_id": order[-1][1]}
        author = {
            "from": "users",
            "localField": "userId",
            "foreignField": "_id",
            "pipeline": [{"$project": {"username": 1, "name": 1}}],
            "as": "user",
        }
        stages: list[Document] = [
            {"$match": query},
            {"$sort": sort},
            {"$skip": paging.offset},
            {"$limit": max(paging.count, 1)},
            {"$project": dict.fromkeys(_LISTED, 1)},
            {"$lookup": author},
            {"$set": {"user": {"$first": "$user"}}},
        ]
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            total = await self._records.count_documents(query)
            if not paging.count:
                return Page(items=[], total=total)
            cursor = await self._records.aggregate(stages)
            return Page(items=await cursor.to_list(), total=total)

    # -- the end of files -----------------------------------------------------------------------

    async def expired(self, now: datetime, limit: int) -> list[Document]:
        """Files whose time is over: `_id`, `expiresAt`, `messageId`, those that wait longest."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            cursor = self._records.find(
                {"expiresAt": {"$lte": now}}, {"expiresAt": 1, "messageId": 1}
            )
            return await cursor.sort("expiresAt", 1).limit(limit).to_list()

    async def doom(self, expired: Mapping[str, Any]) -> bool:
        """Decide that an expired file goes. False: somebody holds it again."""
        return await self._update(
            {"_id": expired["_id"], "expiresAt": expired["expiresAt"]},
            {"$set": {"removing": True}},
        )

    async def remove(self, file_id: str) -> None:
        """Remove a file. Repeating it after a crash finishes what was begun."""
        await self.blobs.delete(file_id)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._records.delete_one({"_id": file_id})

    async def ids_in(self, room_id: str, limit: int) -> list[str]:
        """Ids of files of a room, whole or not."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            cursor = self._records.find({"rid": room_id}, {"_id": 1}).limit(limit)
            return [str(found["_id"]) async for found in cursor]

    async def _update(self, query: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return (await self._records.update_one(query, change)).matched_count == 1


_EXPIRES: Final = {"$eq": [{"$type": "$expiresAt"}, "date"]}
