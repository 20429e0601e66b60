"""Roles and permissions as administrators change them, and who holds a role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pymongo
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure

from hubbub.clock import utc_now
from hubbub.contracts.documents import Paging
from hubbub.ids import RoomId
from hubbub.mongo import Database, Document, answering
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

QUERY_TIMEOUT = 4.0
"""Seconds that the queries of one call may take."""
MEMBERS_LIMIT = 5000
"""Holders of a role in rooms that a list looks at."""

_LISTED = dict.fromkeys(("username", "name", "emails", "avatarETag", "createdAt", "_updatedAt"), 1)
_OTHER_INDEX = (85, 86)  # an index with these keys and other options exists


class MongoRoleStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._roles = database["rocketchat_roles"]
        self._permissions = database["rocketchat_permissions"]
        self._users = database["users"]
        self._memberships = database["rocketchat_subscription"]
        self._trash = database["rocketchat__trash"]

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        with answering():
            try:
                await self._roles.create_index([("name", 1)], unique=True)
            except (DuplicateKeyError, OperationFailure) as error:
                # Another server allowed twins: they stay, and only new ones are refused.
                if isinstance(error, DuplicateKeyError) or error.code in _OTHER_INDEX:
                    log.warning("role_names_not_unique")
                else:
                    raise
            await self._users.create_index([("roles", 1), ("username", 1)])
            await self._memberships.create_index([("roles", 1)], sparse=True)

    async def find(self, role: str) -> Document | None:
        """A role by id, else by name."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._roles.find({"$or": [{"_id": role}, {"name": role}]}).to_list(2)
        return next((one for one in found if one["_id"] == role), found[0] if found else None)

    async def insert(self, role: Mapping[str, Any]) -> bool:
        """Add a role. False: another one has its name."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                await self._roles.insert_one(dict(role))
            except DuplicateKeyError:
                return False
        return True

    async def update(self, role_id: str, fields: Mapping[str, Any]) -> Document | None:
        """Change a role; None: there is none. Raises: DuplicateName."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                changed: Document | None = await self._roles.find_one_and_update(
                    {"_id": role_id},
                    {"$set": dict(fields)},
                    return_document=pymongo.ReturnDocument.AFTER,
                )
            except DuplicateKeyError as error:
                raise DuplicateName from error
        return changed

    async def is_held(self, role_id: str) -> bool:
        """Whether anybody holds a role, in the workspace or in a room."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            for collection in (self._users, self._memberships):
                if await collection.find_one({"roles": role_id}, {"_id": 1}) is not None:
                    return True
        return False

    async def delete(self, role: Mapping[str, Any]) -> None:
        """Delete a role, keep it in the trash, and take it out of all permissions: all or
        nothing."""

        async def work(session: AsyncClientSession) -> None:
            now = utc_now()
            kept = {**role, "_deletedAt": now, "__collection__": "role"}
            await self._trash.replace_one({"_id": role["_id"]}, kept, upsert=True, session=session)
            await self._roles.delete_one({"_id": role["_id"]}, session=session)
            await self._permissions.update_many(
                {"roles": role["_id"]},
                {"$pull": {"roles": role["_id"]}, "$set": {"_updatedAt": now}},
                session=session,
            )

        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async with self._client.start_session() as session:
                await session.with_transaction(work)

    async def removed_since(self, since: datetime) -> list[Document]:
        """`{"_id", "_deletedAt"}` of the roles deleted since."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._trash.find(
                {"__collection__": "role", "_deletedAt": {"$gt": since}}, {"_deletedAt": 1}
            ).to_list()

    async def known_roles(self) -> frozenset[str]:
        """Ids of all roles."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return frozenset([str(role["_id"]) async for role in self._roles.find({}, {"_id": 1})])

    async def permissions(self) -> list[Document]:
        """All permissions, as they are now."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._permissions.find({}).to_list()

    async def set_permissions(self, changes: Mapping[str, Iterable[str]], now: datetime) -> None:
        """Say which roles hold some permissions. Those that hold them already stay untouched."""
        writes = [
            UpdateOne(
                {"_id": permission, "roles": {"$ne": list(roles)}},
                {"$set": {"roles": list(roles), "_updatedAt": now}},
            )
            for permission, roles in changes.items()
        ]

        async def work(session: AsyncClientSession) -> None:
            await self._permissions.bulk_write(writes, session=session)

        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async with self._client.start_session() as session:
                await session.with_transaction(work)

    async def holders(
        self, role_id: str, room_id: RoomId | None, *, in_rooms: bool, paging: Paging
    ) -> tuple[list[Document], int]:
        """A page of the users who hold a role, by username, and how many there are.

        Args:
            room_id: only those who hold it there.
            in_rooms: without `room_id`: those who hold it in any room count, too.
        """
        match: Document = {"roles": role_id}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            if room_id is not None:
                match = {"_id": {"$in": await self._members(role_id, {"rid": room_id})}}
            elif in_rooms and (members := await self._members(role_id, {})):
                match = {"$or": [match, {"_id": {"$in": members}}]}
            found = (
                self._users.find(match, _LISTED)
                .sort([("username", 1), ("_id", 1)])
                .skip(paging.offset)
                .limit(paging.count)
            )
            users = await found.to_list() if paging.count else []
            return users, await self._users.count_documents(match)

    async def _members(self, role_id: str, where: Mapping[str, Any]) -> list[str]:
        """Ids of the users who hold a role in rooms."""
        found = await self._memberships.find({**where, "roles": role_id}, {"u._id": 1}).to_list(
            MEMBERS_LIMIT
        )
        ids = (membership.get("u", {}).get("_id") for membership in found)
        return list(dict.fromkeys(user_id for user_id in ids if isinstance(user_id, str)))


class DuplicateName(Exception):
    """Another role has this name."""
