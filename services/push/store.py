"""Every query of the push service."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pymongo
from pymongo import DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from services.push.domain import KINDS

QUERY_TIMEOUT = 4.0
"""Seconds that the queries of one call may take."""
LISTED = 200
"""Devices of one user that are looked at."""

_LOGINS = "services.resume.loginTokens.hashedToken"


class MongoPushStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._devices: AsyncCollection[Document] = database["_raix_push_app_tokens"]
        self._users: AsyncCollection[Document] = database["users"]

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        with answering():
            await self._devices.create_index([("userId", 1), ("_updatedAt", -1)])
            for kind in KINDS:
                await self._devices.create_index([(f"token.{kind}", 1)], sparse=True)

    async def find(self, device_id: str) -> Document | None:
        """One registration."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._devices.find_one({"_id": device_id})

    async def save(
        self, device_id: str, fields: Mapping[str, Any], *, over: Mapping[str, Any] | None
    ) -> Document | None:
        """Store a registration and return it.

        Args:
            over: the registration that is written over, as it was seen; None: there was none.

        None: meanwhile it is another one.
        """
        match: Document = {"_id": device_id}
        if over is not None:
            match["userId"] = over.get("userId")
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                saved: Document | None = await self._devices.find_one_and_update(
                    match if over is not None else {**match, "userId": fields["userId"]},
                    {
                        "$set": dict(fields),
                        "$setOnInsert": {"createdAt": fields["_updatedAt"]},
                    },
                    upsert=over is None,
                    return_document=pymongo.ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # somebody else stored this id a moment ago
                return None
        return saved

    async def remove_others(self, kind: str, value: str, app_name: str, keep: str) -> None:
        """Forget the registrations of a device but one."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._devices.delete_many(
                {f"token.{kind}": value, "appName": app_name, "_id": {"$ne": keep}}
            )

    async def remove_value(self, user_id: UserId, value: str) -> int:
        """Forget the user's registrations with this token; how many there were."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._devices.delete_many(
                {"$or": [{f"token.{kind}": value, "userId": user_id} for kind in KINDS]}
            )
        return result.deleted_count

    async def of_user(self, user_id: UserId) -> list[Document]:
        """The user's registrations, newest first (at most `LISTED`)."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._devices.find({"userId": user_id}).sort("_updatedAt", DESCENDING)
            return await found.to_list(LISTED)

    async def remove(self, device_ids: Collection[str], user_id: UserId) -> None:
        """Forget registrations of a user."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._devices.delete_many({"_id": {"$in": list(device_ids)}, "userId": user_id})

    async def remove_user(self, user_id: UserId) -> None:
        """Forget every registration of a user."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._devices.delete_many({"userId": user_id})

    async def logins_of(self, user_id: UserId) -> frozenset[str]:
        """The user's valid logins, hashed; none when there is no such user."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            user = await self._users.find_one({"_id": user_id}, {_LOGINS: 1})
        services = (user or {}).get("services") or {}
        tokens = (services.get("resume") or {}).get("loginTokens") or []
        return frozenset(
            token["hashedToken"]
            for token in tokens
            if isinstance(token, dict) and isinstance(token.get("hashedToken"), str)
        )
