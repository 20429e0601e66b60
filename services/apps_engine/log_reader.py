"""Reads the event log for apps, from where it was left off.

A durable consumer of JetStream remembers what was handed over, so that an event reaches apps at
least once, also when the engine was away: as long as the log keeps it, ten minutes. It exists
only while somebody wants events, and asks only for the audiences that they are in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from hubbub.contracts.event_log import LOG_STREAM
from hubbub.errors import HubbubError
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

CONSUMER: Final = "apps-engine"
_BATCH: Final = 64
_UNDER_WAY: Final = 512  # events that are handed over and not yet done with
_FETCH_WAIT: Final = 1.0  # seconds; after that it is seen whether other events are wanted
_ACK_WAIT: Final = 10.0  # seconds until an event comes again that an engine left behind
_AGAIN: Final = 2.0  # seconds until an event comes again that could not be handed over
_PAUSE: Final = 1.0  # seconds after trouble

_Trouble = (errors.Error, JetStreamError, asyncio.TimeoutError, OSError)


class Entry:
    """An entry of the log, until everybody who wants it is done with it."""

    def __init__(self, message: Msg, done: Callable[[Entry], None]) -> None:
        self.message = message
        self._done = done
        self._holders = 1  # whoever hands it over

    def hold(self) -> None:
        """One more is to be done with it."""
        self._holders += 1

    def release(self) -> None:
        """One is done with it."""
        self._holders -= 1
        if self._holders == 0:
            self._done(self)


Handle = Callable[[Entry], Awaitable[None]]
"""Hands an entry to those who want it. It holds the entry for each of them."""


class LogReader:
    """The engine's place in the log. `run` is its task."""

    def __init__(
        self, client: Client, wanted: Callable[[], frozenset[str] | None], handle: Handle
    ) -> None:
        """
        Args:
            wanted: the subjects of the log that somebody wants now; None: ask again.
        """
        self._client = client
        self._wanted = wanted
        self._handle = handle
        self._changed = asyncio.Event()
        self._pending: dict[int, Entry] = {}  # sequence → entry
        self._finished: asyncio.Queue[Entry] = asyncio.Queue()
        self._room = asyncio.Event()

    def look_again(self) -> None:
        """Somebody wants other events than before, or the connection came back."""
        self._changed.set()

    async def run(self) -> None:
        """Read until cancelled. What was not done with then is read again by the next one."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._acknowledge(), name="acknowledge events")
                await self._read()
        finally:
            # At once, instead of when their time is up.
            for entry in self._pending.values():
                with contextlib.suppress(*_Trouble):
                    await entry.message.nak()

    async def _read(self) -> None:
        exists = True  # there may be one of an earlier life
        while True:
            heed_cancellation()
            self._changed.clear()
            wanted = self._wanted()
            try:
                if wanted:
                    await self._prepare(wanted)
                    exists = True
                    await self._consume()
                    continue
                if exists and wanted is not None:
                    await self._forget()
                    exists = False
            except NotFoundError:
                log.info("event_log_missing")
            except _Trouble as error:
                log.warning("events_interrupted", err_type=type(error).__name__)
            else:
                if wanted is not None:
                    await self._changed.wait()
                    continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await self._changed.wait()

    async def _prepare(self, subjects: frozenset[str]) -> None:
        """Make the consumer, or let it ask for other audiences."""
        config = ConsumerConfig(
            durable_name=CONSUMER,
            filter_subjects=sorted(subjects),
            # What happened before anybody wanted to know is nobody's concern.
            deliver_policy=DeliverPolicy.NEW,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT,
            max_ack_pending=_UNDER_WAY,
        )
        await self._jetstream().add_consumer(LOG_STREAM, config)

    async def _forget(self) -> None:
        with contextlib.suppress(NotFoundError):
            await self._jetstream().delete_consumer(LOG_STREAM, CONSUMER)

    async def _consume(self) -> None:
        """Hand over entries until other ones are wanted."""
        jetstream = self._jetstream()
        subscription = await jetstream.pull_subscribe_bind(CONSUMER, stream=LOG_STREAM)
        try:
            while not self._changed.is_set():
                heed_cancellation()
                while len(self._pending) >= _UNDER_WAY:
                    self._room.clear()
                    await self._room.wait()
                for message in await self._fetch(subscription):
                    await self._take(message)
        finally:
            with contextlib.suppress(errors.Error):
                await subscription.unsubscribe()

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        """What is next; nothing, when nothing came for a while."""
        try:
            return await subscription.fetch(_BATCH, timeout=_FETCH_WAIT)
        except (errors.TimeoutError, TimeoutError):
            return []

    async def _take(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        if sequence in self._pending:
            # It waits for an app that is slow; the server need not send it again.
            await message.in_progress()
            return
        entry = self._pending[sequence] = Entry(message, self._finished.put_nowait)
        try:
            await self._handle(entry)
        except HubbubError as error:
            log.warning("event_not_handed_over", code=str(error.code))
            self._pending.pop(sequence, None)
            await message.nak(delay=_AGAIN)
        else:
            entry.release()

    async def _acknowledge(self) -> None:
        while True:
            entry = await self._finished.get()
            self._pending.pop(entry.message.metadata.sequence.stream, None)
            self._room.set()
            try:
                await entry.message.ack()
            except _Trouble as error:
                # It comes again; the app sees it twice.
                log.debug("event_not_acknowledged", err_type=type(error).__name__)

    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream()
