"""Transactions with a deadline, and honest about what they do not know."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from hubbub.clock import Clock
from hubbub.mongo import Client

T = TypeVar("T")
Session = AsyncClientSession

_LONGEST_PAUSE = 4  # power of two: 4 ms · 2^4
_ABORT_TIMEOUT = 1.0  # seconds
_DUPLICATE_KEY = frozenset({11000, 11001, 12582})
_COMMIT_TIMEOUT_MS = 5000


class NotStored(Exception):
    """The database could not be reached or stayed busy until the deadline. Nothing happened."""


class OutcomeUnknown(Exception):
    """The deadline passed between asking for the commit and its answer."""


class Duplicate(Exception):
    """A unique key exists already. Nothing happened."""


class Missing(Exception):
    """What the work is about does not exist. Nothing happened."""


class Transactions:
    """Runs pieces of work each of which happens completely or not at all.

    What is read and what is written belong to one snapshot, and are committed by a majority
    with journal when `run` returns.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def run(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        """Do `work` in a transaction. It may be called several times: conflicts repeat it.

        Args:
            deadline: monotonic time of the clock, in seconds.

        Raises:
            NotStored: the deadline passed, or the database was lost, before the commit.
            OutcomeUnknown: nobody can say whether it was committed.
            Duplicate: a unique index refused a write.
            Whatever `work` raises, after everything was undone.
        """
        attempt = 0
        while True:
            try:
                return await self._once(work, deadline)
            except PyMongoError as error:
                if _is_duplicate(error):
                    raise Duplicate from error
                if not _is_transient(error):
                    raise
                left = deadline - self._clock.monotonic()
                pause = random.random() * 0.004 * 2 ** min(attempt, _LONGEST_PAUSE)  # noqa: S311
                if pause >= left:
                    raise NotStored(f"gave up after {attempt + 1} attempts") from error
            # The first repeat is immediate: most conflicts are over when they are noticed.
            await self._clock.sleep(pause if attempt else 0)
            attempt += 1

    async def _once(self, work: Callable[[Session], Awaitable[T]], deadline: float) -> T:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise NotStored("the deadline passed before the database was asked")
        async with self._client.start_session(causal_consistency=False) as session:
            await session.start_transaction(
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority", j=True, wtimeout=_COMMIT_TIMEOUT_MS),
                read_preference=ReadPreference.PRIMARY,
            )
            try:
                with pymongo.timeout(left):
                    result = await work(session)
            except BaseException:
                await _abort(session)
                raise
            await self._commit(session, deadline)
            return result

    async def _commit(self, session: Session, deadline: float) -> None:
        try:
            await self._commit_until(session, deadline)
        except asyncio.CancelledError:
            raise
        except PyMongoError as error:
            if error.has_error_label("TransientTransactionError"):
                raise
            raise OutcomeUnknown(type(error).__name__) from error

    async def _commit_until(self, session: Session, deadline: float) -> None:
        while True:
            left = deadline - self._clock.monotonic()
            try:
                with pymongo.timeout(max(left, 0.001)):
                    await session.commit_transaction()
            except PyMongoError as error:
                again = error.has_error_label("UnknownTransactionCommitResult")
                if not again or self._clock.monotonic() >= deadline:
                    raise
                await self._clock.sleep(0.01)
            else:
                return


async def _abort(session: Session) -> None:
    if not session.in_transaction:
        return
    with pymongo.timeout(_ABORT_TIMEOUT):
        await session.abort_transaction()


def _is_duplicate(error: PyMongoError) -> bool:
    if isinstance(error, BulkWriteError):
        return any(one.get("code") in _DUPLICATE_KEY for one in error.details["writeErrors"])
    return isinstance(error, DuplicateKeyError)


def _is_transient(error: PyMongoError) -> bool:
    """Whether a repeat of the whole transaction may succeed.

    Losing the server before the commit counts: nothing of an open transaction stays.
    """
    if error.has_error_label("TransientTransactionError") or error.timeout:
        return True
    return not isinstance(error, OperationFailure) and _is_about_connections(error)


def _is_about_connections(error: PyMongoError) -> bool:
    return isinstance(
        error, pymongo.errors.ConnectionFailure | pymongo.errors.ServerSelectionTimeoutError
    )
