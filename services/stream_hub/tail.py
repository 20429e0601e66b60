"""Reading the database's history: one change stream over all collections, never stopped by
what a document holds, and never silent about what it had to pass over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeAlias

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from hubbub.clock import Clock
from hubbub.mongo import Database
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.stream_hub.domain import breaks_continuity, read, watched
from services.stream_hub.feed import Feed, Position, Read
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.settings import StreamHubSettings

log = get_logger(__name__)

Stream: TypeAlias = AsyncDatabaseChangeStream[RawBSONDocument]

_AWAIT = 500  # milliseconds that the database waits for changes before it says "none"
_TURN = 32  # changes read in one go before others get the event loop
_TRIES = 3  # times that the same failure is believed to pass
_FIRST_PAUSE = 0.1  # seconds between tries; doubles
_LONGEST_PAUSE = 1.0
_MOST_PATIENCE = 300.0  # seconds to wait for a change stream to open

_NOT_RESUMABLE = "NonResumableChangeStreamError"
_RESUMABLE = "ResumableChangeStreamError"

_LOST = frozenset((136, 260, 280, 286))
"""Errors that say: from this position nobody can resume. The history is too short, or it is not
the history that the position is of."""


_TOO_LARGE = 10334
"""A change whose event is larger than an answer of the database may be."""


class TailStuck(Exception):
    """The database does not answer here, or refuses; another process may have more luck."""


class Tail:
    """Reads changes from a position on and feeds them, for as long as it is left to."""

    def __init__(
        self, database: Database, settings: StreamHubSettings, *, clock: Clock, metrics: HubMetrics
    ) -> None:
        self._codec: CodecOptions[dict[str, Any]] = database.codec_options
        self._database = database.with_options(
            codec_options=database.codec_options.with_options(document_class=RawBSONDocument)
        )
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._position: Position | None = None
        self._patience = settings.read_timeout

    async def present(self) -> Position:
        """The present end of the history."""
        async with self._opened(None, watched.places()) as stream:
            return self._resume_point(stream)

    async def run(self, position: Position, feed: Feed) -> NoReturn:
        """Feed everything behind `position`, in order, each change once.

        What cannot be read is passed over, and the feed says so by a gap. Failures of the
        connection are no gap: reading goes on where it stopped.

        Raises:
            TailStuck: several times in a row there was no answer at all.
        """
        self._position = position
        failures, silent, pause, outcome = 0, 0, _FIRST_PAUSE, "token"
        while True:
            heed_cancellation()
            before = self._position
            self._metrics.resumes.labels(outcome).inc()
            outcome = "token"
            try:
                await self._follow(feed)
                outcome = "start_after"
            except (PyMongoError, TimeoutError) as error:
                moved = self._position != before
                if _is_silence(error):
                    self._metrics.read_failures.labels("silent").inc()
                    silent = 1 if moved else silent + 1
                    log.warning("change_stream_silent", times=silent, patience=self._patience)
                    self._patience = min(2 * self._patience, _MOST_PATIENCE)
                    if silent >= _TRIES:
                        raise TailStuck from None
                elif not isinstance(error, OperationFailure):
                    self._metrics.read_failures.labels("interrupted").inc()
                    log.warning("change_stream_interrupted", reason=type(error).__name__)
                else:
                    self._metrics.read_failures.labels("refused").inc()
                    failures = 1 if moved else failures + 1
                    log.warning("change_stream_failed", code=error.code, times=failures)
                    if error.code in _LOST or error.has_error_label(_NOT_RESUMABLE):
                        self._position, outcome, failures = await self._start_anew(feed), "lost", 0
                    elif failures >= _TRIES and not error.has_error_label(_RESUMABLE):
                        self._position, failures = await self._pass_over(feed, error), 0
            pause = _FIRST_PAUSE if self._position != before else min(2 * pause, _LONGEST_PAUSE)
            await self._clock.sleep(pause)

    async def _follow(self, feed: Feed) -> None:
        """Feed what comes behind the position. Returns when the stream ended with its database.

        Raises: TimeoutError: no answer for too long.
        """
        loop, patience, turn = asyncio.get_running_loop(), self._settings.read_timeout, 0
        async with (
            self._opened(self._position, watched.pipeline()) as stream,
            asyncio.timeout(patience) as deadline,
        ):
            while True:
                raw = await stream.try_next()
                turn += 1
                if raw is not None:
                    item = self._read(raw)
                else:
                    self._metrics.lag.caught_up()
                    item = Read(self._resume_point(stream))
                self._position = item.position
                self._patience = patience
                feed.put(item)
                if item.gap and not stream.alive:
                    return
                if raw is None or turn >= _TURN or feed.full:
                    turn = 0
                    deadline.reschedule(None)  # whoever is slow downstream is not the database
                    await feed.room()
                    await asyncio.sleep(0)
                    heed_cancellation()
                    deadline.reschedule(loop.time() + patience)

    def _read(self, raw: RawBSONDocument) -> Read:
        try:
            document = bson.decode(raw.raw, self._codec)
            change = read(document)
            position = _position(document["_id"])
        except Exception as error:  # one document nobody can read must not stop the others
            return self._poison(self._position_of(raw), type(error).__name__)
        if change is None:
            return self._poison(position, "unknown")
        self._metrics.count_change(change.collection, change.operation)
        gap = change.operation.lower() if breaks_continuity(change) else ""
        return Read(position, None if gap else change, self._clock.monotonic(), gap)

    def _poison(self, position: Position, reason: str) -> Read:
        self._metrics.poison.inc()
        log.error("change_unreadable", reason=reason, position=position.token[:24])
        return Read(position, read_at=self._clock.monotonic(), gap="poison")

    async def _start_anew(self, feed: Feed) -> Position:
        """Go on at the present: the history from the last position on is gone."""
        log.error("history_lost")
        position = await self._present_at_last()
        await feed.room()
        feed.put(Read(position, read_at=self._clock.monotonic(), gap="history_lost"))
        return position

    async def _pass_over(self, feed: Feed, refusal: OperationFailure) -> Position | None:
        """Find the change that the database cannot send, by asking for its place alone, and go
        on behind it.

        Raises: TailStuck: it is not the change. The database refuses to be read from here.
        """
        try:
            async with self._opened(self._position, watched.places()) as stream:
                raw = await stream.try_next()
                found = self._position_of(raw) if raw is not None else None
        except OperationFailure as error:
            log.warning("change_not_found", code=error.code)
            if error.code == refusal.code == _TOO_LARGE or error.code in _LOST:
                return await self._start_anew(feed)
            if error.has_error_label(_RESUMABLE):
                return self._position
            raise TailStuck from None
        except (PyMongoError, TimeoutError) as error:
            log.warning("change_not_found", reason=type(error).__name__)
            return self._position  # nobody answered: what is missing is not known yet
        if found is None:
            return self._position  # nothing stands there any more: perhaps it passes now
        await feed.room()
        feed.put(self._poison(found, "refused"))
        return found

    async def _present_at_last(self) -> Position:
        pause = _FIRST_PAUSE
        while True:
            heed_cancellation()
            try:
                return await self.present()
            except PyMongoError as error:
                log.warning("change_stream_interrupted", reason=type(error).__name__)
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @asynccontextmanager
    async def _opened(
        self, position: Position | None, pipeline: list[dict[str, Any]]
    ) -> AsyncIterator[Stream]:
        """A change stream behind `position`, or from now on.

        `start_after`, not `resume_after`: it also goes on behind the end of the whole database.
        """
        full = "fullDocument" in pipeline[1]["$project"]
        # The answer may need a long search through changes that concern nobody. A try that took
        # too long is followed by one with more patience; the timeout of sockets does not apply.
        with pymongo.timeout(self._patience):
            stream = await self._database.watch(
                pipeline,
                full_document="updateLookup" if full else None,
                full_document_before_change="whenAvailable" if full else None,
                start_after=position.document if position is not None else None,
                max_await_time_ms=_AWAIT,
                batch_size=self._settings.batch,
            )
        try:
            yield stream
        finally:
            await stream.close()

    def _resume_point(self, stream: Stream) -> Position:
        token = stream.resume_token
        if token is None:
            raise ConnectionFailure("the change stream has no position yet")
        return _position(self._decoded(token))

    def _position_of(self, raw: RawBSONDocument) -> Position:
        return _position(self._decoded(raw["_id"]))

    def _decoded(self, token: Mapping[str, Any]) -> Mapping[str, Any]:
        if isinstance(token, RawBSONDocument):
            return bson.decode(token.raw, self._codec)
        return token


def _position(token: Mapping[str, Any]) -> Position:
    return Position(str(token["_data"]), token)


def _is_silence(error: Exception) -> bool:
    """Whether the error says that no answer came, from a server that was there."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    return isinstance(error, TimeoutError) or (isinstance(error, PyMongoError) and error.timeout)
