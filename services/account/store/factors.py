"""Second factors as users' documents hold them: `services.totp` and `services.email2fa`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from services.account.domain import PERSONAL_TOKEN
from services.account.store.fields import QUERY_TIMEOUT, TOKENS

_TOTP = "services.totp"


class FactorStore(Protocol):
    """What proving and enrolling need. Every method raises `Unavailable` when the database is
    away."""

    async def use_code(self, user_id: UserId, step: int) -> bool:
        """Use up the code of `step`. False: it, or a later one, was used."""
        ...

    async def use_recovery_code(self, user_id: UserId, hashed: str) -> bool:
        """Use up a recovery code. False: there is no such one (any more)."""
        ...

    async def remember(self, user_id: UserId, hashed_token: str, until: datetime) -> None:
        """Let the factor that was shown with a token count for a while."""
        ...

    async def begin_totp(self, user_id: UserId, secret: str, now: datetime) -> bool:
        """Keep a secret that is not confirmed yet. False: one is in use."""
        ...

    async def enable_totp(
        self,
        user_id: UserId,
        secret: str,
        codes: Sequence[str],
        *,
        step: int,
        keep_token: str,
        now: datetime,
    ) -> bool:
        """Put a secret into use, and forget all login tokens but one and the personal ones.

        False: it is not the one that waits for its confirmation.
        """
        ...

    async def disable_totp(self, user_id: UserId, now: datetime) -> None:
        """Forget the secret and the recovery codes."""
        ...

    async def set_recovery_codes(
        self, user_id: UserId, codes: Sequence[str], now: datetime
    ) -> bool:
        """Replace the recovery codes. False: nothing is in use."""
        ...

    async def disable_email(self, user_id: UserId, now: datetime) -> None:
        """Ask for no codes by e-mail any more."""
        ...


class MongoFactorStore:
    """The store on MongoDB. Codes are hashed by the caller."""

    def __init__(self, database: Database) -> None:
        self._users: AsyncCollection[Document] = database["users"]

    async def use_code(self, user_id: UserId, step: int) -> bool:
        """See `FactorStore`."""
        return await self._update(
            {"_id": user_id, f"{_TOTP}.lastStep": {"$not": {"$gte": step}}},
            {"$set": {f"{_TOTP}.lastStep": step}},
        )

    async def use_recovery_code(self, user_id: UserId, hashed: str) -> bool:
        """See `FactorStore`."""
        field = f"{_TOTP}.hashedBackup"
        return await self._update({"_id": user_id, field: hashed}, {"$pull": {field: hashed}})

    async def remember(self, user_id: UserId, hashed_token: str, until: datetime) -> None:
        """See `FactorStore`."""
        await self._update(
            {"_id": user_id, f"{TOKENS}.hashedToken": hashed_token},
            {"$set": {f"{TOKENS}.$.twoFactorAuthorizedUntil": until}},
        )

    async def begin_totp(self, user_id: UserId, secret: str, now: datetime) -> bool:
        """See `FactorStore`."""
        return await self._update(
            {"_id": user_id, f"{_TOTP}.enabled": {"$ne": True}},
            {"$set": {_TOTP: {"enabled": False, "tempSecret": secret}, "_updatedAt": now}},
        )

    async def enable_totp(
        self,
        user_id: UserId,
        secret: str,
        codes: Sequence[str],
        *,
        step: int,
        keep_token: str,
        now: datetime,
    ) -> bool:
        """See `FactorStore`."""
        enabled = {
            "enabled": True,
            "secret": secret,
            "hashedBackup": list(codes),
            "lastStep": step,
        }
        others = {"hashedToken": {"$ne": keep_token}, "type": {"$ne": PERSONAL_TOKEN}}
        return await self._update(
            {
                "_id": user_id,
                f"{_TOTP}.tempSecret": secret,
                f"{_TOTP}.enabled": {"$ne": True},
            },
            {"$set": {_TOTP: enabled, "_updatedAt": now}, "$pull": {TOKENS: others}},
        )

    async def disable_totp(self, user_id: UserId, now: datetime) -> None:
        """See `FactorStore`."""
        await self._update(
            {"_id": user_id}, {"$set": {_TOTP: {"enabled": False}, "_updatedAt": now}}
        )

    async def set_recovery_codes(
        self, user_id: UserId, codes: Sequence[str], now: datetime
    ) -> bool:
        """See `FactorStore`."""
        return await self._update(
            {"_id": user_id, f"{_TOTP}.enabled": True},
            {"$set": {f"{_TOTP}.hashedBackup": list(codes), "_updatedAt": now}},
        )

    async def disable_email(self, user_id: UserId, now: datetime) -> None:
        """See `FactorStore`."""
        await self._update(
            {"_id": user_id},
            {"$set": {"services.email2fa.enabled": False, "_updatedAt": now}},
        )

    async def _update(self, match: Document, change: Document) -> bool:
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return (await self._users.update_one(match, change)).matched_count == 1
