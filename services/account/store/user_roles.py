"""Roles of users, as they are given and taken."""

from __future__ import annotations

from datetime import datetime

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from services.account.store.fields import QUERY_TIMEOUT

_GUARD = "administrators"  # two who take the last two administrators at once meet here


class LastAdministrator(Exception):
    """No other active user is administrator."""


class MongoUserRoleStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._users: AsyncCollection[Document] = database["users"]
        self._once: AsyncCollection[Document] = database["hubbub_once"]

    async def exists(self, user_id: UserId) -> bool:
        """Whether there is such a user."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._users.find_one({"_id": user_id}, {"_id": 1}) is not None

    async def give(self, user_id: UserId, role_id: str, now: datetime) -> bool:
        """Give a role. False: the user holds it, or is not there."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {"_id": user_id, "roles": {"$ne": role_id}},
                {"$addToSet": {"roles": role_id}, "$set": {"_updatedAt": now}},
            )
        return result.matched_count == 1

    async def take(
        self,
        user_id: UserId,
        role_id: str,
        now: datetime,
        session: AsyncClientSession | None = None,
    ) -> bool:
        """Take a role. False: the user does not hold it, or is not there."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {"_id": user_id, "roles": role_id},
                {"$pull": {"roles": role_id}, "$set": {"_updatedAt": now}},
                session=session,
            )
        return result.matched_count == 1

    async def take_from_administrator(self, user_id: UserId, now: datetime) -> bool:
        """Take the role `admin`. False: as `take`. Raises: LastAdministrator."""

        async def work(session: AsyncClientSession) -> bool:
            await self._once.update_one(
                {"_id": _GUARD}, {"$inc": {"changes": 1}}, upsert=True, session=session
            )
            taken = await self.take(user_id, "admin", now, session)
            other = await self._users.find_one(
                {"roles": "admin", "active": True}, {"_id": 1}, session=session
            )
            if taken and other is None:
                raise LastAdministrator
            return taken

        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async with self._client.start_session() as session:
                return await session.with_transaction(work)
