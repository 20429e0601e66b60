"""Reading users. They belong to the account service; messaging needs names and statuses."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pymongo.collation import Collation

from services.messaging.domain.sending import Person
from services.messaging.store.schema import Collections

_NAMES = {"username": 1, "name": 1, "active": 1}
_CASELESS = Collation(locale="en", strength=2)  # as in the index that the account service makes
_SHOWN = {"username": 1, "name": 1, "status": 1, "statusText": 1, "utcOffset": 1, "avatarETag": 1}


class Users:
    """Queries on `users`, never for anything secret."""

    def __init__(self, collections: Collections) -> None:
        self._users = collections.users

    async def person(self, user_id: str) -> Person | None:
        """A user by id; None when there is none, or none with a username yet."""
        found = await self._users.find_one({"_id": user_id}, _NAMES)
        return _person(found)

    async def exists(self, user_id: str) -> bool:
        """Whether there is such an account, whatever its state."""
        return await self._users.find_one({"_id": user_id}, {"_id": 1}) is not None

    async def people(self, user_ids: Collection[str]) -> dict[str, Person]:
        """Users by id, those that exist."""
        return {
            person.user_id: person
            async for document in self._users.find({"_id": {"$in": list(user_ids)}}, _NAMES)
            if (person := _person(document)) is not None
        }

    async def by_username(self, usernames: Collection[str]) -> dict[str, Person]:
        """Users by username, those that exist."""
        if not usernames:
            return {}
        cursor = self._users.find({"username": {"$in": list(usernames)}}, _NAMES)
        return {
            person.username: person
            async for document in cursor
            if (person := _person(document)) is not None
        }

    async def everybody(self, limit: int, *, active_only: bool) -> list[Person]:
        """The users that have a username, by it, at most `limit`."""
        query: dict[str, Any] = {"username": {"$gt": ""}}
        if active_only:
            query["active"] = True
        cursor = self._users.find(query, _NAMES).sort("username", 1).limit(limit)
        return [person async for document in cursor if (person := _person(document)) is not None]

    async def named(self, spellings: Collection[str]) -> dict[str, Person]:
        """Users by what somebody typed as their username, those that exist.

        The exact one, else without regard to case if only one fits.
        """
        found = await self.by_username(spellings)
        missing = [spelling for spelling in spellings if spelling not in found]
        if not missing:
            return found
        cursor = self._users.find({"username": {"$in": missing}}, _NAMES).collation(_CASELESS)
        alike: dict[str, list[Person]] = {}
        async for document in cursor:
            if (person := _person(document)) is not None:
                alike.setdefault(person.username.casefold(), []).append(person)
        for spelling in missing:
            people = alike.get(spelling.casefold(), [])
            if len(people) == 1:
                found[spelling] = people[0]
        return found

    async def shown(self, user_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """What lists of members show of users, by id."""
        cursor = self._users.find({"_id": {"$in": list(user_ids)}}, _SHOWN)
        return {str(document["_id"]): document async for document in cursor}

    async def statuses(self, user_ids: Collection[str]) -> dict[str, str]:
        """The presence status of users, by id."""
        cursor = self._users.find({"_id": {"$in": list(user_ids)}}, {"status": 1})
        return {str(user["_id"]): str(user.get("status") or "offline") async for user in cursor}

    async def find(
        self, text: str, limit: int, except_usernames: Collection[str], timeout: float
    ) -> list[dict[str, Any]]:
        """Active users whose username begins with `text`, then such that hold it.

        Case does not count; `text` is taken literally. The second search reads the index of
        usernames from one end to the other, for `timeout` seconds at most.
        """
        found: dict[str, dict[str, Any]] = {}
        literal = re.escape(text)
        for pattern, options in ((f"^{literal}", ""), (literal, "i")):
            query: Mapping[str, Any] = {
                "username": {
                    "$regex": pattern,
                    "$options": options,
                    "$nin": list(except_usernames),
                },
                "active": {"$ne": False},
            }
            cursor = (
                self._users.find(query, _SHOWN)
                .sort("username", 1)
                .limit(limit)
                .max_time_ms(round(timeout * 1000))
            )
            async for user in cursor:
                found.setdefault(str(user["_id"]), user)
            if len(found) >= limit:
                break
        return list(found.values())[:limit]

    async def count(self) -> int:
        """Roughly how many users there are."""
        return await self._users.estimated_document_count()


def _person(document: Mapping[str, Any] | None) -> Person | None:
    if document is None:
        return None
    username, name = document.get("username"), document.get("name")
    if not isinstance(username, str) or not username:
        return None
    return Person(
        str(document["_id"]),
        username,
        name if isinstance(name, str) and name else None,
        active=document.get("active") is not False,
    )
