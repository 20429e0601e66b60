"""Every query of the authorization service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

import pymongo
from pymongo import ReadPreference, UpdateOne
from pymongo.errors import BulkWriteError

from hubbub.clock import utc_now
from hubbub.contracts.workspace import PERMISSIONS, ROLES, SettingValue
from hubbub.ids import RoomId, UserId
from hubbub.mongo import Database, Document, answering
from services.authorization.domain import Room, Team, role_names

Pair = tuple[UserId, RoomId]
"""A user in a room."""
TeamPair = tuple[str, UserId | None]
"""A team and who asks; None is a stranger."""

ADMINISTRATORS = 20  # users who are told what administrators have to know
PUBLIC_ROLE_LIMIT = 5000  # users listed as holders of public roles

_PUBLIC_TEAM = 0
_DUPLICATE_KEY = 11000


class AuthorizationStore(Protocol):
    """What the service reads. Every method raises `Unavailable` when the database is away."""

    async def user_roles(self, ids: Iterable[UserId]) -> dict[UserId, frozenset[str] | None]:
        """Global roles; None for users that do not exist or are deactivated."""
        ...

    async def rooms(self, ids: Iterable[RoomId]) -> dict[RoomId, Room | None]:
        """Rooms; None for those that do not exist."""
        ...

    async def memberships(self, pairs: Iterable[Pair]) -> dict[Pair, frozenset[str] | None]:
        """Roles held in rooms; None where there is no membership."""
        ...

    async def teams(self, pairs: Iterable[TeamPair]) -> dict[TeamPair, Team]:
        """How users stand to teams."""
        ...

    async def settings(self, ids: Iterable[str]) -> dict[str, SettingValue | None]:
        """Values of settings; None for those that have no document."""
        ...

    async def permission_documents(self) -> list[Document]:
        """All permissions."""
        ...

    async def role_documents(self) -> list[Document]:
        """All roles."""
        ...

    async def removed_permissions(self, since: datetime) -> list[Document]:
        """`{"_id", "_deletedAt"}` of the permissions deleted since."""
        ...

    async def users_with_roles(self, roles: list[str]) -> list[Document]:
        """`{"_id", "username", "roles"}` of the users that hold any of `roles`."""
        ...

    async def administrators(self) -> list[Document]:
        """`{"_id", "username"}` of the first active users in the role `admin`, by username."""
        ...


class MongoAuthorizationStore:
    """The store on MongoDB."""

    def __init__(self, database: Database, *, timeout: float = 1.5) -> None:
        """
        Args:
            timeout: seconds that one query may take.
        """
        # Facts that decide about access come from the primary: a lagging member may still
        # know a membership that has ended.
        primary = database.with_options(read_preference=ReadPreference.PRIMARY)
        self._users = primary["users"]
        self._rooms = primary["rocketchat_room"]
        self._memberships = primary["rocketchat_subscription"]
        self._teams = primary["rocketchat_team"]
        self._team_members = primary["rocketchat_team_member"]
        self._roles = primary["rocketchat_roles"]
        self._permissions = primary["rocketchat_permissions"]
        self._settings = primary["rocketchat_settings"]
        self._trash = primary["rocketchat__trash"]
        self._timeout = timeout

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        with answering():
            await self._trash.create_index([("__collection__", 1), ("_deletedAt", 1)])
            await self._team_members.create_index([("teamId", 1), ("userId", 1)])

    async def fill(self) -> None:
        """Insert roles and permissions that are missing.

        Existing documents stay as they are; any number of replicas may do it at once.
        """
        await self._insert_missing(
            self._roles,
            {
                name: {"name": name, "scope": scope, "description": text, "protected": True}
                for name, (scope, text) in ROLES.items()
            },
        )
        await self._insert_missing(
            self._permissions, {name: {"roles": list(roles)} for name, roles in PERMISSIONS.items()}
        )

    async def user_roles(self, ids: Iterable[UserId]) -> dict[UserId, frozenset[str] | None]:
        """Global roles; None for users that do not exist or are deactivated."""
        wanted = list(ids)
        roles: dict[UserId, frozenset[str] | None] = dict.fromkeys(wanted)
        async with self._reading():
            async for user in self._users.find({"_id": {"$in": wanted}}, {"roles": 1, "active": 1}):
                if user.get("active") is not False:
                    roles[user["_id"]] = role_names(user.get("roles"))
        return roles

    async def rooms(self, ids: Iterable[RoomId]) -> dict[RoomId, Room | None]:
        """Rooms; None for those that do not exist."""
        wanted = list(ids)
        rooms: dict[RoomId, Room | None] = dict.fromkeys(wanted)
        async with self._reading():
            async for room in self._rooms.find(
                {"_id": {"$in": wanted}}, {"t": 1, "teamId": 1, "prid": 1}
            ):
                rooms[room["_id"]] = Room(
                    room["_id"],
                    str(room.get("t", "")),
                    room.get("teamId") or None,
                    room.get("prid") or None,
                )
        return rooms

    async def memberships(self, pairs: Iterable[Pair]) -> dict[Pair, frozenset[str] | None]:
        """Roles held in rooms; None where there is no membership."""
        held: dict[Pair, frozenset[str] | None] = dict.fromkeys(pairs)
        async with self._reading():
            for wanted in _queries(held):
                async for found in self._memberships.find(
                    wanted, {"_id": 0, "rid": 1, "u._id": 1, "roles": 1}
                ):
                    held[found["u"]["_id"], found["rid"]] = role_names(found.get("roles"))
        return held

    async def teams(self, pairs: Iterable[TeamPair]) -> dict[TeamPair, Team]:
        """How users stand to teams."""
        wanted = list(pairs)
        found: dict[TeamPair, Team] = {}
        async with self._reading():
            for team_id, user_id in wanted:
                team = await self._teams.find_one({"_id": team_id}, {"type": 1})
                member = user_id is not None and await self._team_members.find_one(
                    {"teamId": team_id, "userId": user_id}, {"_id": 1}
                )
                if team is not None and team.get("type") == _PUBLIC_TEAM:
                    found[team_id, user_id] = Team.PUBLIC
                else:
                    found[team_id, user_id] = Team.MEMBER if team and member else Team.STRANGER
        return found

    async def settings(self, ids: Iterable[str]) -> dict[str, SettingValue | None]:
        """Values of settings; None for those that have no document."""
        values: dict[str, SettingValue | None] = dict.fromkeys(ids)
        async with self._reading():
            async for setting in self._settings.find({"_id": {"$in": list(values)}}, {"value": 1}):
                values[setting["_id"]] = setting.get("value")
        return values

    async def permission_documents(self) -> list[Document]:
        """All permissions."""
        async with self._reading():
            return await self._permissions.find({}).to_list()

    async def role_documents(self) -> list[Document]:
        """All roles."""
        async with self._reading():
            return await self._roles.find({}).to_list()

    async def removed_permissions(self, since: datetime) -> list[Document]:
        """`{"_id", "_deletedAt"}` of the permissions deleted since."""
        async with self._reading():
            return await self._trash.find(
                {"__collection__": "permission", "_deletedAt": {"$gt": since}}, {"_deletedAt": 1}
            ).to_list()

    async def users_with_roles(self, roles: list[str]) -> list[Document]:
        """`{"_id", "username", "roles"}` of the users that hold any of `roles`."""
        async with self._reading():
            return await self._users.find(
                {"roles": {"$in": roles}}, {"username": 1, "roles": 1}
            ).to_list(PUBLIC_ROLE_LIMIT)

    async def administrators(self) -> list[Document]:
        """`{"_id", "username"}` of the first active users in the role `admin`, by username."""
        async with self._reading():
            found = self._users.find({"roles": "admin", "active": True}, {"username": 1})
            return await found.sort("username", 1).limit(ADMINISTRATORS).to_list()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        with answering(), pymongo.timeout(self._timeout):
            yield

    async def _insert_missing(
        self, collection: Any, documents: Mapping[str, Mapping[str, object]]
    ) -> None:
        now = utc_now()
        inserts = [
            UpdateOne({"_id": name}, {"$setOnInsert": {**fields, "_updatedAt": now}}, upsert=True)
            for name, fields in documents.items()
        ]
        with answering():
            try:
                await collection.bulk_write(inserts, ordered=False)
            except BulkWriteError as error:
                # Another replica inserted the same document a moment earlier: it is there.
                faults = error.details.get("writeErrors", [])
                if not faults or any(fault["code"] != _DUPLICATE_KEY for fault in faults):
                    raise


def _queries(pairs: Iterable[Pair]) -> list[Document]:
    """What finds the memberships of `pairs`, and none beside them: one query per user or per
    room, whichever are fewer."""
    rooms_of: dict[UserId, list[RoomId]] = {}
    users_of: dict[RoomId, list[UserId]] = {}
    for user_id, room_id in pairs:
        rooms_of.setdefault(user_id, []).append(room_id)
        users_of.setdefault(room_id, []).append(user_id)
    if len(rooms_of) <= len(users_of):
        return [{"rid": {"$in": rooms}, "u._id": user} for user, rooms in rooms_of.items()]
    return [{"rid": room, "u._id": {"$in": users}} for room, users in users_of.items()]
