"""Appending events to the log: pipelined, in order, without a hole and without a repetition.

Each append names the sequence that its predecessor must have got, so one that is lost makes all
that follow fail instead of leaving a hole. On the first sign of trouble nothing more is sent;
the publisher waits for what is on its way, compares the log with what it sent, and goes on
behind what it finds there.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from opentelemetry.trace import Span, SpanKind, Tracer

from hubbub.clock import Clock
from hubbub.contracts.event_log import EventsMissing, Header
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.tracing import context_from, parent_text
from services.stream_hub.domain.event import StreamEvent, control
from services.stream_hub.feed import Position
from services.stream_hub.jetstream import (
    EXPECTED_SEQUENCE,
    Entry,
    EventLog,
    LogMissing,
    LogUnavailable,
)
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.recent import RecentEvents
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import Checkpoint
from services.stream_hub.takeover import Beginning, Seen, event_id
from services.stream_hub.term import LeadershipLost, Term
from services.stream_hub.watermark import Tops

log = get_logger(__name__)

_FIRST_PAUSE = 0.05  # seconds between tries to reach the log; doubles, each time full jitter
_LONGEST_PAUSE = 1.0
_HEADER_ROOM = 16 * 1024  # bytes that all headers of an event take at most


class LogChanged(Exception):
    """The log is not what this publisher made of it. Begin again. The text says how, one word."""


class _Pending:
    """An event that the log has not acknowledged yet."""

    __slots__ = (
        "about",
        "acked",
        "event",
        "id",
        "number",
        "overdue_at",
        "position",
        "read_at",
        "refused",
        "span",
    )

    def __init__(self, event: StreamEvent, identity: str, read_at: float) -> None:
        self.event = event
        self.id = identity
        self.read_at = read_at
        self.number = 0
        self.overdue_at = 0.0
        self.acked = 0
        self.refused = False
        self.position: Position | None = None  # of the last event of a change
        self.about = ""  # id of the message that it is about
        self.span: Span | None = None  # until it is acknowledged


class Publisher:
    """Publishes for one leader, from one beginning."""

    def __init__(
        self,
        event_log: EventLog,
        term: Term,
        beginning: Beginning,
        settings: StreamHubSettings,
        *,
        clock: Clock,
        metrics: HubMetrics,
        tops: Tops,
        vary: Callable[[], float] = random.random,
        recent: RecentEvents | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._recent = recent
        self._tracer = tracer
        self._log = event_log
        self._term = term
        self._window = settings.window
        self._timeout = settings.acknowledge_timeout
        self._patience = settings.log_patience
        self._clock = clock
        self._metrics = metrics
        self._tops = tops
        self._vary = vary
        self._created = beginning.created
        self._seen: Seen | None = beginning.seen if beginning.seen.ids else None
        self._checkpoint = beginning.base
        self._last_sequence = beginning.sequence  # of the own last event in the log
        self._last_id = beginning.marker_id
        self._complete = (beginning.sequence, beginning.marker_id)  # end of a complete change
        self._expected = beginning.sequence
        self._number = 0
        self._pending: deque[_Pending] = deque()
        self._flowing = True
        self._moved = asyncio.Event()
        self._trouble = asyncio.Event()
        self._pause = _FIRST_PAUSE
        self._recovered_at = -1
        self._timer: asyncio.TimerHandle | None = None
        self._taken_at = clock.monotonic()  # when the log took something last
        self._complained = False
        self._epoch = str(term.epoch)
        event_log.on_acknowledged(self._acknowledged)

    @property
    def unacknowledged(self) -> int:
        """Events on their way."""
        return len(self._pending)

    async def submit(
        self,
        position: Position,
        events: Sequence[StreamEvent],
        *,
        committed: int = 0,
        read_at: float,
        label: str = "",
        about: str = "",
    ) -> None:
        """Publish the events of one change. Waits while too many are on their way.

        Args:
            committed: when the change was committed, milliseconds since 1970.
            read_at: when it was read, monotonic seconds.
            label: sets the ids apart from those of the change that stands at `position`.
            about: id of the message that changed, if it is one.

        Raises:
            LeadershipLost: this process must not publish any more.
        """
        seen, last = self._known(position), len(events) - 1
        for index, event in enumerate(events):
            identity = event_id(position.token, index, label)
            if seen is not None and identity in seen.ids:
                continue
            fits = self._fits(event)
            if not fits:
                event = self._stand_in(event)
            pending = _Pending(event, identity, read_at)
            pending.about = about if fits else ""
            if index == last:
                pending.position = position
            event.headers[Header.EPOCH] = self._epoch
            event.headers[Header.EVENT_ID] = identity
            if committed:
                event.headers[Header.COMMITTED] = str(committed)
            while len(self._pending) >= self._window or not self._flowing:
                self._moved.clear()
                await self._moved.wait()
            if self._tracer is not None and Header.TRACE_PARENT in event.headers:
                pending.span = _begun(self._tracer, event)
            self._send(pending)
        self._pass(position)

    def pass_over(self, position: Position) -> None:
        """Up to `position` nothing else happened that makes events."""
        self._known(position)
        self._pass(position)

    def doubt(self) -> None:
        """Compare with the log before publishing on: the connection was away."""
        if self._flowing and not self._pending:
            self._taken_at = self._clock.monotonic()  # it is only from now on that it waits
        self._flowing = False
        self._trouble.set()

    async def drain(self, within: float) -> bool:
        """Wait until everything is acknowledged; False if that took too long."""
        try:
            async with asyncio.timeout(within):
                await self.settled()
        except TimeoutError:
            return False
        return True

    async def settled(self) -> None:
        """Wait until everything is acknowledged, as `submit` waits for room."""
        while self._pending:
            self._moved.clear()
            await self._moved.wait()

    def close(self) -> None:
        """Hear of nothing any more."""
        for pending in self._pending:
            if pending.span is not None:
                pending.span.end()
        self._log.on_acknowledged(None)
        if self._timer is not None:
            self._timer.cancel()

    async def run(self) -> NoReturn:
        """Repair whatever goes wrong, until cancelled.

        Raises:
            LeadershipLost: the log shows a later leader, or the lease is gone.
            LogChanged: the log lost what it had acknowledged, or takes nothing any more.
        """
        while True:
            await self._trouble.wait()
            await self._recover()

    # --- sending and hearing of it

    def _send(self, pending: _Pending) -> None:
        self._term.check()
        event = pending.event
        self._number += 1
        pending.number = self._number
        now = self._clock.monotonic()
        if not self._pending and self._flowing:
            self._taken_at = now
        pending.overdue_at = now + self._timeout
        event.headers[EXPECTED_SEQUENCE] = str(self._expected)
        event.headers[Header.PUBLISHED] = str(int(self._clock.time() * 1000))
        self._expected += 1
        self._pending.append(pending)
        if self._timer is None:
            self._watch(self._timeout)
        try:
            self._log.append(pending.number, event.audience, event.payload, event.headers)
        except LogUnavailable:
            pending.refused = True
            self.doubt()

    def _acknowledged(self, number: int, sequence: int | None, refusal: str) -> None:
        index = number - self._pending[0].number if self._pending else -1
        if not 0 <= index < len(self._pending):
            return  # of an append that was sent again since
        pending = self._pending[index]
        if sequence is None:
            pending.refused = True
            self._metrics.refusals.labels(refusal).inc()
            if refusal == "conflict":
                self._metrics.sequence_conflicts.inc()
            elif refusal == "storage":
                self._complain()
            self.doubt()
            self._moved.set()
            return
        pending.acked = sequence
        self._pause = _FIRST_PAUSE
        while self._pending and self._pending[0].acked:
            self._done(self._pending.popleft())
        self._moved.set()

    def _done(self, pending: _Pending) -> None:
        event, self._last_sequence, self._last_id = pending.event, pending.acked, pending.id
        self._taken_at = self._clock.monotonic()
        self._complained = False
        self._tops.note(event.audience, pending.acked)
        metrics = self._metrics
        metrics.count_published(event.headers.get(Header.STREAM, "control"), len(event.payload))
        if pending.about and self._recent is not None:
            self._note(self._recent, pending)
        if pending.span is not None:
            pending.span.set_attribute("hubbub.sequence", pending.acked)
            pending.span.end()
        if pending.position is not None:
            self._complete = (self._last_sequence, self._last_id)
            self._advance(pending.position)
            metrics.publish_duration.observe(self._taken_at - pending.read_at)

    def _note(self, recent: RecentEvents, pending: _Pending) -> None:
        headers = pending.event.headers
        recent.appended(
            pending.about,
            pending.acked,
            self._term.epoch,
            headers.get(Header.STREAM, "control"),
            int(headers.get(Header.COMMITTED, 0)),
            int(headers[Header.PUBLISHED]),
        )

    def _pass(self, position: Position) -> None:
        if self._pending:
            self._pending[-1].position = position
        else:
            self._complete = (self._last_sequence, self._last_id)
            self._advance(position)

    def _advance(self, position: Position) -> None:
        sequence, identity = self._complete
        if self._seen is not None:
            # What was seen in the log and not passed yet must be found again by a successor.
            sequence, identity = self._checkpoint.sequence, self._checkpoint.event_id
        self._checkpoint = Checkpoint(
            token=position.document,
            sequence=sequence,
            event_id=identity,
            epoch=self._term.epoch if self._seen is None else self._checkpoint.epoch,
        )
        self._term.checkpoint = self._checkpoint

    def _known(self, position: Position) -> Seen | None:
        """What may be in the log already; nothing, once all of that is passed."""
        if self._seen is not None and position.token > self._seen.last:
            self._seen = None
        return self._seen

    def _fits(self, event: StreamEvent) -> bool:
        if len(event.payload) <= self._log.max_payload - _HEADER_ROOM:
            return True
        self._metrics.skipped.labels("too_large").inc()
        log.error("event_too_large", bytes=len(event.payload), audience=event.audience)
        return False

    def _stand_in(self, event: StreamEvent) -> StreamEvent:
        """What is published instead of an event that is too large: that it is missing."""
        self._metrics.resyncs.labels("too_large").inc()
        instead = control(event.audience, EventsMissing(reason="too-large"))
        if Header.ROOM_TYPE in event.headers:
            instead.headers[Header.ROOM_TYPE] = event.headers[Header.ROOM_TYPE]
        return instead

    def waited(self) -> float:
        """Seconds since the log took something last, while something waits for it; else 0."""
        waits = bool(self._pending) or not self._flowing
        return self._clock.monotonic() - self._taken_at if waits else 0.0

    def _watch(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Is the oldest append overdue?"""
        self._timer = None
        if not self._pending:
            return
        left = self._pending[0].overdue_at - self._clock.monotonic()
        if left <= 0 and self._flowing:
            self._metrics.refusals.labels("late").inc()
            self.doubt()
            self._moved.set()
        self._watch(max(left, 0.1))

    # --- recovery

    async def _recover(self) -> None:
        self._metrics.recoveries.inc()
        await self._settle()
        self._lose_patience()
        if self._last_sequence == self._recovered_at:
            await self._rest()  # the last recovery led to nothing
        self._recovered_at = self._last_sequence
        found: tuple[list[Entry], int] | None = None
        while found is None:
            self._term.check()
            self._trouble.clear()
            try:
                found = await self._look_into_log()
            except LogMissing:
                raise LogChanged("missing") from None
            except LogUnavailable as error:
                log.warning("log_unavailable", reason=str(error), pending=len(self._pending))
                self._lose_patience()
                await self._rest()
        entries, last = found
        self._match(entries)
        self._expected = last
        unsent, self._pending = self._pending, deque()
        log.info("log_caught_up", sequence=last, again=len(unsent))
        for pending in unsent:
            pending.acked, pending.refused = 0, False
            self._send(pending)
        if not self._trouble.is_set():
            self._flowing = True
            self._moved.set()

    def _complain(self) -> None:
        """Once until the log takes something again, however many events it refuses."""
        if not self._complained:
            self._complained = True
            log.error("log_full", pending=len(self._pending))

    def _lose_patience(self) -> None:
        """Raises: LogChanged: it has taken nothing for so long that it may never again."""
        self._term.check()  # who stood still himself has no right to be impatient
        if self.waited() >= self._patience:
            raise LogChanged("wedged")

    async def _rest(self) -> None:
        await self._clock.sleep(self._pause * self._vary())
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _settle(self) -> None:
        """Wait until the fate of everything that was sent is known or given up."""
        while True:
            now = self._clock.monotonic()
            open_ = [
                pending.overdue_at - now
                for pending in self._pending
                if not pending.refused and not pending.acked and pending.overdue_at > now
            ]
            if not open_:
                return
            self._moved.clear()
            try:
                async with asyncio.timeout(max(open_)):
                    await self._moved.wait()
            except TimeoutError:
                continue

    async def _look_into_log(self) -> tuple[list[Entry], int]:
        """Everything from the own last event on, and the log's last sequence.

        Acknowledgements that come late, from a log that stood still, may overtake its answers.
        What was heard then is older than what is known, and says nothing.
        """
        while True:
            known, identity = self._last_sequence, self._last_id
            found = await self._look_behind(known, identity)
            if self._last_sequence == known:
                return found

    async def _look_behind(self, known: int, identity: str) -> tuple[list[Entry], int]:
        """Everything behind the own event `identity` at `known`, and the log's last sequence."""
        state = await self._log.state()
        if state.created != self._created:
            raise LogChanged("recreated")
        if state.epoch > self._term.epoch:
            self._superseded()
        if state.epoch < self._term.epoch:
            raise LogChanged("unfenced")
        if state.last < known:
            raise LogChanged("truncated")
        if state.first > known + 1 and state.last > known:
            raise LogChanged("expired")
        entries = await self._log.read(max(known, state.first), state.last)
        if entries and entries[0].sequence == known:
            own = entries.pop(0)
            if own.event_id != identity:
                raise LogChanged("rewritten")
        return entries, state.last

    def _match(self, entries: Sequence[Entry]) -> None:
        """Take those of the own events that are in the log as acknowledged.

        They are the first of those pending, in order; events that do not count may stand between.

        Raises:
            LeadershipLost: there is a later leader.
            LogChanged: a later event of ours is there without an earlier one (`overtaken`), or
                one that we never sent (`rewritten`).
        """
        for entry in entries:
            if entry.epoch > self._term.epoch:
                self._superseded()
            if entry.epoch < self._term.epoch:
                continue
            if self._pending and entry.event_id == self._pending[0].id:
                pending = self._pending.popleft()
                pending.acked = entry.sequence
                self._done(pending)
            elif any(entry.event_id == pending.id for pending in self._pending):
                raise LogChanged("overtaken")
            elif entry.marker is None:
                raise LogChanged("rewritten")

    def _superseded(self) -> NoReturn:
        self._term.end("superseded")
        raise LeadershipLost("superseded")


def _begun(tracer: Tracer, event: StreamEvent) -> Span:
    """A span from here to the acknowledgement, in the trace of the event; what follows from the
    event is its child."""
    span = tracer.start_span(
        "hub.publish",
        context=context_from(event.headers[Header.TRACE_PARENT]),
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": "nats",
            "messaging.destination.name": event.audience.partition(".")[0] + ".{id}",
            "messaging.operation.type": "send",
            "messaging.message.body.size": len(event.payload),
            "hubbub.stream": event.headers.get(Header.STREAM, "control"),
        },
    )
    event.headers[Header.TRACE_PARENT] = parent_text(span.get_span_context())
    return span
