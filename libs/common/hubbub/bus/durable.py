"""Events that survive their listeners being away: JetStream.

The stream `HUBBUB_DOMAIN` keeps the events that some service listens to durably; the first such
listener adds its event's subject. Each service has one durable consumer per event, shared by its
replicas, so that trouble with one event does not hold up another.

A failed event comes again after 1 s, 5 s, 30 s, 2 min. After that it is put, with the error in
a header, into `HUBBUB_DEAD_LETTERS`. At least once: a listener may see an event twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from hubbub.bus.events import Listener, Unreadable
from hubbub.bus.headers import MESSAGE_ID, event_head
from hubbub.bus.metrics import BusMetrics
from hubbub.bus.retry import pause_before
from hubbub.bus.settings import BusSettings
from hubbub.bus.subjects import (
    DEAD_LETTER_STREAM,
    DEAD_LETTER_WILDCARD,
    DOMAIN_STREAM,
    consumer_name,
    dead_letter_subject,
    event_subject,
)
from hubbub.clock import Clock
from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

ERROR_HEADER = "Hubbub-Error"
SERVICE_HEADER = "Hubbub-Service"
DELIVERIES_HEADER = "Hubbub-Deliveries"

_FETCH_WAIT = 5.0  # seconds that one fetch waits for an event
_ACK_SLACK = 15.0  # seconds beyond the listener's own limit until an event counts as lost
_KEPT_KNOWN = 60.0  # seconds for which it is believed that an event is kept
_KEPT_UNKNOWN = 5.0  # seconds for which it is believed that it is not
_TOLD_WITHIN = 0.5  # seconds to hear whether an event is kept, where an earlier answer will do
_PUBLISH_WITHIN = 5.0  # seconds to get an event stored, tries included
_ACK_WITHIN = 2.0  # seconds for one try
_SUBJECT_ATTEMPTS = 10  # tries to add a subject while others add theirs
_REBIND_PAUSE = 1.0  # seconds before a consumer in trouble is set up again
_DEDUPLICATION = 120.0  # seconds within which the server knows a repeated publish

_Trouble = (errors.Error, JetStreamError, asyncio.TimeoutError, OSError)


@dataclass(slots=True)
class _Kept:
    """What is known about an event: whether a stream stores it, and until when to believe so."""

    answer: bool
    until: float


class DurableEvents:
    """Publishing to, and listening through, JetStream, for one bus."""

    def __init__(
        self,
        client: Client,
        settings: BusSettings,
        metrics: BusMetrics,
        clock: Clock,
        *,
        random: Callable[[], float],
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._kept: dict[str, _Kept] = {}  # event name → what is known
        self._silent_until = 0.0
        self._workers: list[_Worker] = []

    async def is_kept(self, name: str) -> bool:
        """Whether some service listens durably to events of this name.

        Learned from the server and believed for a while: in the first five seconds after the
        very first durable listener of an event appeared anywhere, a publisher may still send it
        unconfirmed (the stream stores it all the same when it arrives).

        While a cluster of NATS elects who answers this, publishers go on with what they know.
        """
        now = self._clock.monotonic()
        known = self._kept.get(name)
        unsure = not self._client.is_connected or now < self._silent_until
        if known is not None and (now < known.until or unsure):
            return known.answer
        patience = None if known is None else _TOLD_WITHIN
        try:
            async with asyncio.timeout(patience):
                stream = await self._jetstream().find_stream_name_by_subject(event_subject(name))
            answer = bool(stream)
        except NotFoundError:
            answer = False
        except _Trouble:
            # No JetStream there, or no answer now: what was known stays true.
            answer = known is not None and known.answer
            self._silent_until = self._clock.monotonic() + _KEPT_UNKNOWN
        pause = _KEPT_KNOWN if answer else _KEPT_UNKNOWN
        self._kept[name] = _Kept(answer, now + pause)
        return answer

    async def publish(self, name: str, body: bytes, headers: dict[str, str]) -> None:
        """Store an event; returns when the server confirmed it.

        Repeated tries carry one message id, so the stream stores it once.

        Raises: Unavailable: not confirmed in time; it may or may not be stored.
        """
        headers = {**headers, MESSAGE_ID: secrets.token_hex(12)}
        until = self._clock.monotonic() + _PUBLISH_WITHIN
        attempt = 1
        while True:
            try:
                await self._jetstream().publish(
                    event_subject(name), body, timeout=_ACK_WITHIN, headers=headers
                )
            except _Trouble as error:
                attempt += 1
                pause = pause_before(attempt, self._random)
                if self._clock.monotonic() + pause >= until:
                    self._kept.pop(name, None)
                    raise Unavailable(f"event {name} was not confirmed: {error}") from error
                await self._clock.sleep(pause)
            else:
                return

    async def start(self, listener: Listener) -> None:
        """Begin to deliver to `listener`. Returns when its consumer exists, from which on no
        event is missed; while JetStream cannot be reached it keeps trying in the background."""
        self._kept.pop(listener.name, None)
        worker = _Worker(self._jetstream(), self._settings, self._metrics, self._clock, listener)
        self._workers.append(worker)
        await worker.start()

    def reconnected(self) -> None:
        """The connection came back; the server has forgotten who was waiting for events."""
        for worker in self._workers:
            worker.ask_again()

    async def drain(self) -> None:
        """Take no new events, finish those at hand."""
        await asyncio.gather(*(worker.drain() for worker in self._workers))

    async def close(self) -> None:
        """Stop at once; what was not finished is delivered again, to whoever is there."""
        for worker in self._workers:
            await worker.close()
        self._workers.clear()

    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream()


class _Worker:
    """Fetches events of one consumer and hands them to one listener, one by one."""

    def __init__(
        self,
        jetstream: JetStreamContext,
        settings: BusSettings,
        metrics: BusMetrics,
        clock: Clock,
        listener: Listener,
    ) -> None:
        self._jetstream = jetstream
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._listener = listener
        self._subject = event_subject(listener.name)
        self._consumer = consumer_name(listener.service, listener.name)
        self._tries = len(settings.durable_backoff) + 1
        self._task: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[list[Msg]] | None = None
        self._handling = False
        self._stopping = False

    def ask_again(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()

    async def start(self) -> None:
        try:
            await self._prepare()
        except _Trouble as error:
            log.warning("durable_events_unavailable", name=self._listener.name, err=str(error))
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"durable {self._consumer}", context=contextvars.Context()
        )

    async def drain(self) -> None:
        self._stopping = True
        if self._task is None:
            return
        if not self._handling:
            self._task.cancel()
        await asyncio.wait([self._task])

    async def close(self) -> None:
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._consume()
            except _Trouble as error:
                log.warning("durable_events_interrupted", name=self._listener.name, err=str(error))
                await asyncio.sleep(_REBIND_PAUSE)

    async def _consume(self) -> None:
        """Handle events until the consumer is in trouble or we stop."""
        await self._prepare()
        subscription = await self._jetstream.pull_subscribe_bind(
            self._consumer, stream=DOMAIN_STREAM
        )
        try:
            while not self._stopping:
                message = await self._next(subscription)
                if message is None:
                    # Somebody may have rebuilt the stream without our subject.
                    await self._prepare()
                    continue
                self._handling = True
                try:
                    await self._handle(message)
                finally:
                    self._handling = False
        finally:
            with contextlib.suppress(errors.Error):
                await subscription.unsubscribe()

    async def _next(self, subscription: JetStreamContext.PullSubscription) -> Msg | None:
        """The next event; None when there was none for a while, or `ask_again` was called."""
        fetching = asyncio.create_task(
            subscription.fetch(1, timeout=_FETCH_WAIT), name=f"fetch {self._consumer}"
        )
        self._fetching = fetching
        try:
            await asyncio.wait([fetching])
        finally:
            self._fetching = None
            fetching.cancel()
            await asyncio.wait([fetching])
            # Read, or it would be reported as overlooked; cancelling can end in an error, too.
            error = None if fetching.cancelled() else fetching.exception()
        if isinstance(error, errors.TimeoutError | TimeoutError) or fetching.cancelled():
            return None
        return fetching.result()[0]

    async def _handle(self, message: Msg) -> None:
        delivery = message.metadata.num_delivered or 1
        name = self._listener.name
        if delivery > 1:
            self._metrics.redelivered(name)
        if delivery > self._tries:
            # Each try before ended with the whole process, or its answer never arrived.
            await self._give_up(message, delivery, "handled without an answer too often")
            return
        error = await self._listener.handle(message.data, event_head(message.headers))
        if error is None:
            await message.ack()
        elif isinstance(error, Unreadable) or delivery == self._tries:
            await self._give_up(message, delivery, f"{type(error).__name__}: {error}")
        else:
            await message.nak(delay=self._settings.durable_backoff[delivery - 1])

    async def _give_up(self, message: Msg, delivery: int, reason: str) -> None:
        """Put the event aside. Should that fail it stays in the stream and comes again."""
        service, name = self._listener.service, self._listener.name
        await self._ensure_dead_letters()
        await self._jetstream.publish(
            dead_letter_subject(service, name),
            message.data,
            timeout=_ACK_WITHIN,
            headers={
                **(message.headers or {}),
                # Its own id, or the server would take it for the event it once was.
                MESSAGE_ID: f"{service}:{message.metadata.sequence.stream}",
                SERVICE_HEADER: service,
                DELIVERIES_HEADER: str(delivery),
                ERROR_HEADER: reason.replace("\r", " ").replace("\n", " ")[:1000],
            },
        )
        await message.term()
        self._metrics.dead_letter(name)
        log.error("event_given_up", name=name, deliveries=delivery, reason=reason.partition(":")[0])

    async def _prepare(self) -> None:
        """Make the stream keep our event, and the consumer that remembers our place in it."""
        await self._ensure_subject()
        try:
            await self._jetstream.consumer_info(DOMAIN_STREAM, self._consumer)
        except NotFoundError:
            await self._jetstream.add_consumer(
                DOMAIN_STREAM,
                ConsumerConfig(
                    durable_name=self._consumer,
                    filter_subject=self._subject,
                    # What was published before this service ever listened is not its concern.
                    deliver_policy=DeliverPolicy.NEW,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=self._settings.listener_timeout + _ACK_SLACK,
                ),
            )

    async def _ensure_subject(self) -> None:
        """Two processes that add their subjects at once may overwrite each other, so look again
        after writing; a loss later on is repaired by the next `_prepare`."""
        for attempt in range(1, _SUBJECT_ATTEMPTS + 1):
            try:
                config = (await self._jetstream.stream_info(DOMAIN_STREAM)).config
            except NotFoundError:
                await self._create_stream(
                    DOMAIN_STREAM, self._subject, keep=self._settings.durable_keep
                )
                continue
            subjects = config.subjects or []
            if self._subject in subjects:
                return
            config.subjects = [*subjects, self._subject]
            await self._jetstream.update_stream(config)
            await asyncio.sleep(0.01 * attempt)
        raise errors.Error(f"nats: could not add {self._subject} to {DOMAIN_STREAM}")

    async def _ensure_dead_letters(self) -> None:
        try:
            await self._jetstream.stream_info(DEAD_LETTER_STREAM)
        except NotFoundError:
            await self._create_stream(
                DEAD_LETTER_STREAM, DEAD_LETTER_WILDCARD, keep=self._settings.dead_letter_keep
            )

    async def _create_stream(self, name: str, subject: str, *, keep: float) -> None:
        config = StreamConfig(
            name=name,
            subjects=[subject],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=keep,
            num_replicas=self._settings.nats_stream_replicas,
            duplicate_window=_DEDUPLICATION,
        )
        try:
            await self._jetstream.add_stream(config)
        except APIError:
            # Somebody else was faster and has other subjects; is it there now?
            await self._jetstream.stream_info(name)
