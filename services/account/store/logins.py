"""Users as login sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import pymongo
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from services.account.domain import PERSONAL_TOKEN, Selector, hashes_of
from services.account.store.fields import (
    QUERY_TIMEOUT,
    TOKENS,
    find_like,
    password_change,
    password_field,
)

_LOGIN_FIELDS = {
    "username": 1,
    "name": 1,
    "emails": 1,
    "active": 1,
    "type": 1,
    "roles": 1,
    "services.password": 1,
    "services.totp": 1,
    TOKENS: 1,
    "lastLogin": 1,
    "defaultRoomsPending": 1,
}


class LoginStore(Protocol):
    """What login needs of the users.

    Every method raises `Unavailable` when the database is away.
    """

    async def find_for_login(self, selector: Selector) -> Document | None:
        """The user that a login names: by exact value, else without regard to case if only one
        user fits."""
        ...

    async def find_by_token(self, hashed: str) -> Document | None:
        """The user that has this login token."""
        ...

    async def find_by_tokens(self, hashed: Collection[str]) -> dict[str, Document]:
        """The users that have these login tokens, by token."""
        ...

    async def add_token(
        self, user_id: UserId, hashed: str, *, verified_with: str | None, now: datetime, limit: int
    ) -> bool:
        """Give the user a login token, dropping the oldest beyond `limit`.

        False: meanwhile the user is gone, deactivated, or has another password than the one
        stored as `verified_with` (None: no password was asked for).
        """
        ...

    async def strengthen_password(self, user_id: UserId, stored: str, stronger: str) -> None:
        """Replace a hash by another one of the same password, unless it changed meanwhile."""
        ...


class MongoLoginStore:
    """The store on MongoDB."""

    def __init__(self, database: Database) -> None:
        self._users: AsyncCollection[Document] = database["users"]

    async def find_for_login(self, selector: Selector) -> Document | None:
        """See `LoginStore`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            if selector.kind == "id":
                return await self._users.find_one({"_id": selector.value}, _LOGIN_FIELDS)
            return await find_like(self._users, selector.kind, selector.value, _LOGIN_FIELDS)

    async def find_by_token(self, hashed: str) -> Document | None:
        """See `LoginStore`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._users.find_one({TOKENS + ".hashedToken": hashed}, _LOGIN_FIELDS)

    async def find_by_tokens(self, hashed: Collection[str]) -> dict[str, Document]:
        """See `LoginStore`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            users = await self._users.find(
                {TOKENS + ".hashedToken": {"$in": list(hashed)}}, _LOGIN_FIELDS
            ).to_list()
        wanted = frozenset(hashed)
        return {token: user for user in users for token in hashes_of(user) & wanted}

    async def add_token(
        self, user_id: UserId, hashed: str, *, verified_with: str | None, now: datetime, limit: int
    ) -> bool:
        """See `LoginStore`."""
        token = {"when": now, "hashedToken": hashed}
        match: Document = {"_id": user_id, "active": True}
        if verified_with is not None:
            match[password_field(verified_with)] = verified_with
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                match,
                [{"$set": {TOKENS: _with_token(token, limit), "lastLogin": _minutely(now)}}],
            )
        return result.matched_count == 1

    async def exchange_token(
        self, user_id: UserId, old: str, new: str, *, now: datetime, limit: int
    ) -> bool:
        """Replace a login token; a personal one stays beside the new one. False: `old` is gone."""
        token = {"when": now, "hashedToken": new}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {"_id": user_id, TOKENS + ".hashedToken": old},
                [{"$set": {TOKENS: _with_token(token, limit, without=old)}}],
            )
        return result.matched_count == 1

    async def note_logins(self, dates: Mapping[UserId, datetime]) -> None:
        """Remember when users signed in last. Other programs may have stored a text, which counts
        as earlier than any date."""
        operations = [
            UpdateOne({"_id": user_id}, {"$max": {"lastLogin": moment}})
            for user_id, moment in dates.items()
        ]
        if operations:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._users.bulk_write(operations, ordered=False)

    async def remove_token(self, user_id: UserId, hashed: str) -> None:
        """Forget a login token, unless it is a personal one."""
        gone = {"hashedToken": hashed, "type": {"$ne": PERSONAL_TOKEN}}
        await self._pull_tokens(user_id, gone)

    async def remove_other_tokens(self, user_id: UserId, hashed: str) -> None:
        """Forget all login tokens but one, and but the personal ones."""
        gone = {"hashedToken": {"$ne": hashed}, "type": {"$ne": PERSONAL_TOKEN}}
        await self._pull_tokens(user_id, gone)

    async def _pull_tokens(self, user_id: UserId, gone: Mapping[str, Any]) -> None:
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._users.update_one({"_id": user_id}, {"$pull": {TOKENS: gone}})

    async def remove_expired_tokens(self, made_until: datetime) -> int:
        """Forget the login tokens made until then; how many users had some."""
        with answering():
            result = await self._users.update_many(
                {TOKENS + ".when": {"$lte": made_until}},
                {"$pull": {TOKENS: {"when": {"$lte": made_until}}}},
            )
        return result.modified_count

    async def end_other_tokens(
        self, user_id: UserId, hashed: str, new: str, *, now: datetime, ends_at: datetime
    ) -> bool:
        """Add a login token and let all others but the personal ones end. False: `hashed`, which
        asked for it, is gone."""
        ended = {
            "$mergeObjects": [
                "$$token",
                {"endsAt": {"$min": [{"$ifNull": ["$$token.endsAt", ends_at]}, ends_at]}},
            ]
        }
        is_personal = {"$eq": ["$$token.type", PERSONAL_TOKEN]}
        others = {
            "$map": {
                "input": {"$ifNull": ["$" + TOKENS, []]},
                "as": "token",
                "in": {"$cond": [is_personal, "$$token", ended]},
            }
        }
        token = {"when": now, "hashedToken": new}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {"_id": user_id, TOKENS + ".hashedToken": hashed},
                [{"$set": {TOKENS: {"$concatArrays": [others, [{"$literal": token}]]}}}],
            )
        return result.matched_count == 1

    async def remove_ended_tokens(self, now: datetime) -> int:
        """Forget the login tokens that were told to end until now; how many users had some."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_many(
                {TOKENS + ".endsAt": {"$lte": now}}, {"$pull": {TOKENS: {"endsAt": {"$lte": now}}}}
            )
        return result.modified_count

    async def strengthen_password(self, user_id: UserId, stored: str, stronger: str) -> None:
        """Replace a hash by another one of the same password, unless it changed meanwhile."""
        fields, gone = password_change(stronger)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._users.update_one(
                {"_id": user_id, password_field(stored): stored},
                {"$set": fields, "$unset": gone},
            )

    async def set_password(
        self, user_id: UserId, stored: str, *, keep_token: str, now: datetime
    ) -> bool:
        """Store a new password hash and forget all login tokens but one, in one step."""
        fields, gone = password_change(stored)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {"_id": user_id},
                {
                    "$set": fields | {"_updatedAt": now},
                    "$unset": gone | {"requirePasswordChange": 1, "requirePasswordChangeReason": 1},
                    "$pull": {
                        TOKENS: {
                            "hashedToken": {"$ne": keep_token},
                            "type": {"$ne": PERSONAL_TOKEN},
                        }
                    },
                },
            )
        return result.matched_count == 1

    async def add_personal_token(self, user_id: UserId, token: Mapping[str, Any]) -> bool:
        """Add a personal token. False: the user has one of this name, or does not exist."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {
                    "_id": user_id,
                    TOKENS: {
                        "$not": {"$elemMatch": {"type": PERSONAL_TOKEN, "name": token["name"]}}
                    },
                },
                {"$push": {TOKENS: dict(token)}},
            )
        return result.matched_count == 1

    async def replace_personal_token(self, user_id: UserId, token: Mapping[str, Any]) -> bool:
        """Put a personal token in the place of the one with its name; what `token` does not have
        stays as it was. False: there is none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {
                    "_id": user_id,
                    TOKENS: {"$elemMatch": {"type": PERSONAL_TOKEN, "name": token["name"]}},
                },
                {"$set": {f"{TOKENS}.$.{field}": value for field, value in token.items()}},
            )
        return result.matched_count == 1

    async def remove_personal_token(self, user_id: UserId, name: str) -> bool:
        """Forget a personal token. False: there is none of this name."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._users.update_one(
                {"_id": user_id, TOKENS: {"$elemMatch": {"type": PERSONAL_TOKEN, "name": name}}},
                {"$pull": {TOKENS: {"type": PERSONAL_TOKEN, "name": name}}},
            )
        return result.matched_count == 1

    async def personal_tokens(self, user_id: UserId) -> list[Document]:
        """The user's personal tokens as stored."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            user = await self._users.find_one({"_id": user_id}, {TOKENS: 1})
        services = (user or {}).get("services", {})
        tokens = services.get("resume", {}).get("loginTokens", [])
        return [token for token in tokens if token.get("type") == PERSONAL_TOKEN]


def _with_token(token: Mapping[str, Any], limit: int, without: str | None = None) -> Document:
    """An expression: the tokens and a new one, without the oldest beyond `limit`.

    Personal tokens stay and do not count.
    """
    present = {"$ifNull": ["$" + TOKENS, []]}
    is_personal = {"$eq": ["$$token.type", PERSONAL_TOKEN]}
    login: dict[str, Any] = {"$not": [is_personal]}
    if without is not None:
        login = {"$and": [login, {"$ne": ["$$token.hashedToken", {"$literal": without}]}]}
    kept: dict[str, Any] = {"$filter": {"input": present, "as": "token", "cond": login}}
    newest = {"$slice": [kept, -(limit - 1)]} if limit > 1 else []
    personal = {"$filter": {"input": present, "as": "token", "cond": is_personal}}
    return {"$concatArrays": [personal, newest, [{"$literal": dict(token)}]]}


def _minutely(now: datetime) -> Document:
    """An expression: `lastLogin`, moved to `now` when it is a minute old, absent or no date."""
    is_recent = {
        "$and": [
            {"$eq": [{"$type": "$lastLogin"}, "date"]},
            {"$gt": ["$lastLogin", now - timedelta(minutes=1)]},
        ]
    }
    return {"$cond": [is_recent, "$lastLogin", now]}
