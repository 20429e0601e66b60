"""Users, as far as presence is concerned, and settings of the workspace."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pymongo
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.contracts.presence import Status, UserPresence
from hubbub.contracts.workspace import SettingValue
from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from services.presence.domain import Decision, User, status_of

EVERYBODY_LIMIT = 5000
"""Users that `everybody_present` returns at most."""
QUERY_TIMEOUT = 4.0
"""Seconds that the queries of one call may take."""
PRESENT = [Status.ONLINE.value, Status.AWAY.value, Status.BUSY.value]
"""Stored statuses of those who are not offline."""

_USER_FIELDS = {
    "username": 1,
    "type": 1,
    "roles": 1,
    "status": 1,
    "statusConnection": 1,
    "statusDefault": 1,
    "statusText": 1,
}
_SEEN_FIELDS = {
    "username": 1,
    "name": 1,
    "status": 1,
    "statusText": 1,
    "utcOffset": 1,
    "avatarETag": 1,
}


class MongoUserStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._users: AsyncCollection[Document] = database["users"]
        self._settings: AsyncCollection[Document] = database["rocketchat_settings"]

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        with answering():
            await self._users.create_index([("status", 1), ("username", 1)])

    async def users(self, ids: Iterable[UserId]) -> dict[UserId, User]:
        """Users by id; unknown ones are left out."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._users.find({"_id": {"$in": list(ids)}}, _USER_FIELDS).to_list()
        return {user["_id"]: _user(user) for user in found}

    async def choose(
        self, user_id: UserId, status: Status | None, text: str | None, now: datetime
    ) -> None:
        """Store what a user chose."""
        fields: Document = {"_updatedAt": now}
        if status is not None:
            fields["statusDefault"] = status.value
        if text is not None:
            fields["statusText"] = text
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._users.update_one({"_id": user_id}, {"$set": fields})

    async def presences(self, ids: Iterable[UserId]) -> list[UserPresence]:
        """How users appear; unknown ones are left out."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._users.find({"_id": {"$in": list(ids)}}, _SEEN_FIELDS).to_list()
        return [_presence(user) for user in found]

    async def everybody_present(self) -> list[UserPresence]:
        """How the users appear who are not offline."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._users.find({"status": {"$in": PRESENT}}, _SEEN_FIELDS).to_list(
                EVERYBODY_LIMIT
            )
        return [_presence(user) for user in found]

    async def settings(self, ids: Iterable[str]) -> dict[str, SettingValue | None]:
        """Values of settings; None for those that have no document."""
        values: dict[str, SettingValue | None] = dict.fromkeys(ids)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async for setting in self._settings.find({"_id": {"$in": list(values)}}, {"value": 1}):
                values[setting["_id"]] = setting.get("value")
        return values

    async def write_statuses(self, decided: Iterable[tuple[User, Decision]], now: datetime) -> None:
        """Store statuses in the users' documents."""
        operations = [
            UpdateOne(
                {"_id": user.id},
                {
                    "$set": {
                        "status": decision.shown.status.value,
                        "statusConnection": decision.connection.value,
                        "_updatedAt": now,
                    }
                },
            )
            for user, decision in decided
        ]
        if operations:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._users.bulk_write(operations, ordered=False)

    async def count_present(self) -> dict[Status, int]:
        """Users by status; offline ones are not counted."""
        with answering():
            return {
                status: await self._users.count_documents({"status": status.value})
                for status in (Status.ONLINE, Status.AWAY, Status.BUSY)
            }


def _user(found: Document) -> User:
    roles = found.get("roles")
    return User(
        id=found["_id"],
        username=str(found.get("username") or ""),
        is_bot=found.get("type") in ("bot", "app") or (isinstance(roles, list) and "bot" in roles),
        status=status_of(found.get("status")) or Status.OFFLINE,
        connection=status_of(found.get("statusConnection")) or Status.OFFLINE,
        default=status_of(found.get("statusDefault")),
        text=_text(found.get("statusText")),
    )


def _presence(found: Document) -> UserPresence:
    offset = found.get("utcOffset")
    return UserPresence(
        user_id=found["_id"],
        username=str(found.get("username") or ""),
        name=found.get("name"),
        status=status_of(found.get("status")) or Status.OFFLINE,
        status_text=_text(found.get("statusText")),
        utc_offset=offset if isinstance(offset, int | float) else None,
        avatar_etag=found.get("avatarETag"),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
