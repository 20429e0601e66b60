"""One migration at a time: a lease in the database, by the database's clock.

Two would do no harm, since every step is made once however often it is asked for; but the second
would wait for the first inside of MongoDB, without a word, and both would tell of success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeVar

import pymongo
from pymongo.errors import DuplicateKeyError, PyMongoError

from hubbub.mongo import Database, Document
from hubbub.tasks import heed_cancellation

LEASES: Final = "hubbub_leases"
LEASE: Final = "migration"
TTL: Final = 20.0
"""Seconds after which the lease of a process that died is free."""

_RENEW = 4.0  # seconds between renewals
_LOOK = 1.0  # seconds between looks at a lease that somebody else has
_TIMEOUT = 4.0  # seconds for one query
_PAST = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class NotAlone(Exception):
    """Somebody else migrates this database. The text says who."""


async def alone(
    database: Database,
    holder: str,
    work: Callable[[], Awaitable[T]],
    *,
    within: float,
    tell: Callable[[str], None],
) -> T:
    """Do `work` while nobody else does such work on this database.

    Args:
        holder: names this process to others.
        within: seconds to wait for somebody else to finish.
        tell: is told once of whom is waited for.

    Raises:
        NotAlone: the lease was not free in time, or was lost; `work` is cancelled then.
    """
    await _acquire(database, holder, within, tell)
    doing = asyncio.ensure_future(work())
    renewing = asyncio.create_task(_renew(database, holder), name="lease")
    try:
        await asyncio.wait({doing, renewing}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            renewing.result()
        return doing.result()
    finally:
        for task in (doing, renewing):
            task.cancel()
        await asyncio.gather(doing, renewing, return_exceptions=True)
        await _release(database, holder)


async def holder_of(database: Database) -> str:
    """Who migrates this database now; empty: nobody."""
    with pymongo.timeout(_TIMEOUT):
        held = {"_id": LEASE, "$expr": {"$gt": ["$expires", "$$NOW"]}}
        found = await database[LEASES].find_one(held)
    return str(found["holder"]) if found else ""


async def _acquire(
    database: Database, holder: str, within: float, tell: Callable[[str], None]
) -> None:
    told = ""
    deadline = asyncio.get_running_loop().time() + within
    while not await _take(database, holder):
        heed_cancellation()
        other = await holder_of(database)
        if other and asyncio.get_running_loop().time() >= deadline:
            raise NotAlone(f"{other} migrates this database, and did not end in {within:g} seconds")
        if other and other != told:
            tell(f"waiting for {other}, which migrates this database")
            told = other
        await asyncio.sleep(_LOOK)


async def _take(database: Database, holder: str) -> bool:
    """Make the lease ours if it is free, or ours already."""
    with pymongo.timeout(_TIMEOUT):
        # An upsert cannot do it: MongoDB takes no $expr in the filter of one.
        with suppress(DuplicateKeyError):  # it is there
            await database[LEASES].insert_one({"_id": LEASE, "holder": "", "expires": _PAST})
        mine_or_free: Document = {
            "_id": LEASE,
            "$or": [{"holder": holder}, {"$expr": {"$lte": ["$expires", "$$NOW"]}}],
        }
        until = {"$add": ["$$NOW", round(TTL * 1000)]}
        ours = {"holder": {"$literal": holder}, "expires": until}
        result = await database[LEASES].update_one(mine_or_free, [{"$set": ours}])
    return result.matched_count == 1


async def _renew(database: Database, holder: str) -> NoReturn:
    """Keep the lease. Raises: NotAlone: it could not be renewed before it ran out."""
    loop = asyncio.get_running_loop()
    renewed = loop.time()
    while True:
        heed_cancellation()
        await asyncio.sleep(_RENEW)
        sent = loop.time()
        try:
            with pymongo.timeout(_TIMEOUT):
                until = {"$add": ["$$NOW", round(TTL * 1000)]}
                result = await database[LEASES].update_one(
                    {"_id": LEASE, "holder": holder}, [{"$set": {"expires": until}}]
                )
        except PyMongoError as error:
            if loop.time() - renewed > TTL - _RENEW:
                raise NotAlone(f"the lease ran out: {type(error).__name__}") from None
            continue
        if not result.matched_count:
            raise NotAlone("the lease was taken by somebody else")
        renewed = sent


async def _release(database: Database, holder: str) -> None:
    """Let the next one begin at once. Where that fails the lease runs out by itself."""
    try:
        with pymongo.timeout(_TIMEOUT):
            await database[LEASES].delete_one({"_id": LEASE, "holder": holder})
    except PyMongoError:
        return
