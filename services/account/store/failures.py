"""Counts of failed logins, shared by all replicas."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.mongo import Database, Document, answering
from services.account.store.fields import QUERY_TIMEOUT

_REMEMBERED = timedelta(hours=1)  # after the last refusal, so that the next one is longer
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many failures are allowed, and what follows."""

    failures: int
    window: timedelta
    longest: timedelta


class FailureStore(Protocol):
    """Counts per key. Every method raises `Unavailable` when the database is away."""

    async def blocked_until(self, key: str) -> datetime | None:
        """Until when `key` is refused; None if it never was lately."""
        ...

    async def count(self, key: str, allowance: Allowance, now: datetime) -> None:
        """Count a failure. The one that uses up the allowance starts a refusal of one window,
        and each further refusal lasts twice as long as the one before."""
        ...

    async def forget(self, key: str) -> None:
        """Start anew."""
        ...


class MongoFailureStore:
    """The store on MongoDB: one small document per key, removed by the database itself."""

    def __init__(self, database: Database) -> None:
        self._failures: AsyncCollection[Document] = database["hubbub_login_failures"]

    async def prepare(self) -> None:
        """Make the index that removes what is over."""
        with answering():
            await self._failures.create_index("expiresAt", expireAfterSeconds=0)

    async def blocked_until(self, key: str) -> datetime | None:
        """See `FailureStore`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._failures.find_one({"_id": key}, {"blockedUntil": 1})
        until = found.get("blockedUntil") if found else None
        return until if isinstance(until, datetime) else None

    async def count(self, key: str, allowance: Allowance, now: datetime) -> None:
        """See `FailureStore`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._failures.update_one({"_id": key}, _counted(allowance, now), upsert=True)

    async def forget(self, key: str) -> None:
        """See `FailureStore`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._failures.delete_one({"_id": key})


def _counted(allowance: Allowance, now: datetime) -> list[Document]:
    """One failure more, in one atomic step whatever other replicas count meanwhile."""
    in_window = {"$gt": [{"$ifNull": ["$windowEnds", _LONG_AGO]}, now]}
    is_used_up = {"$gte": ["$failures", allowance.failures]}
    doubled = {"$multiply": [_milliseconds(allowance.window), {"$pow": [2, "$blocks"]}]}
    block = {"$min": [_milliseconds(allowance.longest), doubled]}
    return [
        {
            "$set": {
                "failures": {"$cond": [in_window, {"$add": ["$failures", 1]}, 1]},
                "windowEnds": {"$cond": [in_window, "$windowEnds", now + allowance.window]},
                "blocks": {"$ifNull": ["$blocks", 0]},
                "blockedUntil": {"$ifNull": ["$blockedUntil", _LONG_AGO]},
            }
        },
        {
            "$set": {
                "failures": {"$cond": [is_used_up, 0, "$failures"]},
                "blocks": {"$cond": [is_used_up, {"$add": ["$blocks", 1]}, "$blocks"]},
                "blockedUntil": {
                    "$cond": [is_used_up, {"$add": [now, {"$toLong": block}]}, "$blockedUntil"]
                },
            }
        },
        {
            "$set": {
                "expiresAt": {
                    "$add": [
                        {"$max": ["$windowEnds", "$blockedUntil"]},
                        _milliseconds(_REMEMBERED),
                    ]
                }
            }
        },
    ]


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
