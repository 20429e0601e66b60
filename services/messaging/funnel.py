"""One batch of a room in flight at a time.

While a batch is being committed the next one collects. So a busy room writes many messages per
transaction, a quiet one pays nothing, and within a process no two transactions ever fight for
the same room. Work that touches a room's document beside sends takes its turn in the same lane.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import TracerProvider

from hubbub.clock import Clock
from hubbub.errors import HubbubError, Unavailable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.tracing import links_to, resuming, span_of, spanning, tracer_of
from services.messaging.domain.sending import Draft, is_repeat
from services.messaging.metrics import FunnelMetrics
from services.messaging.store.batches import Refused, Stored
from services.messaging.store.transactions import Duplicate, NotStored, OutcomeUnknown

log = get_logger(__name__)

T = TypeVar("T")

RETRY_AFTER = 1  # seconds, told to refused callers


class Committer(Protocol):
    """Where batches go."""

    async def commit(self, room_id: str, drafts: Sequence[Draft], deadline: float) -> Stored:
        """Store all or none. Raises: Refused, Duplicate, NotStored, OutcomeUnknown."""
        ...

    async def stored(self, message_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of the messages that exist, by id."""
        ...


def unknown_outcome() -> Unavailable:
    """The message may be stored or not; repeating it with the same id is always right."""
    return Unavailable(
        "The outcome is not known yet, try again with the same id",
        details={"retryAfter": RETRY_AFTER, "outcome": "unknown"},
    )


def not_stored() -> Unavailable:
    """The message is certainly not stored."""
    return Unavailable(
        "Temporarily unavailable, try again",
        details={"retryAfter": RETRY_AFTER, "outcome": "not-stored"},
    )


@dataclass(slots=True, eq=False)
class _Send:
    draft: Draft
    deadline: float
    answer: asyncio.Future[dict[str, Any]]
    started: bool = False
    trace: Context = field(default_factory=otel_context.get_current)


@dataclass(slots=True, eq=False)
class _Turn(Generic[T]):
    work: Callable[[], Awaitable[T]]
    answer: asyncio.Future[T]
    trace: Context = field(default_factory=otel_context.get_current)


@dataclass(slots=True)
class _Lane:
    waiting: deque[_Send | _Turn[Any]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Funnel:
    """Owns one lane per busy room, each with one task; `close` ends them all."""

    def __init__(
        self,
        committer: Committer,
        on_stored: Callable[[str, Stored], None],
        *,
        clock: Clock,
        metrics: FunnelMetrics,
        batch: int = 64,
        waiting: int = 2048,
        patience: float = 5.0,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """
        Args:
            on_stored: called after each commit with room id and what was stored; never waits.
            batch: messages per transaction at most.
            waiting: sends and turns of one room that may wait.
            patience: seconds from a call to its answer.
            tracer_provider: where spans go; the process's own if None.
        """
        self._tracer = tracer_of(tracer_provider)
        self._committer = committer
        self._on_stored = on_stored
        self._clock = clock
        self._metrics = metrics
        self._batch = batch
        self._waiting = waiting
        self._patience = patience
        self._lanes: dict[str, _Lane] = {}  # only rooms with work
        self._closing = False

    async def send(self, room_id: str, draft: Draft) -> dict[str, Any]:
        """Store `draft` in its room and return it as stored.

        Cancelling it takes a draft that waits out of the queue; one in flight is stored.

        Raises:
            Unavailable: its details say whether the message is certainly not stored.
            Whatever the room's rules refuse it with; InvalidMessageId.
        """
        entry = _Send(
            draft,
            self._clock.monotonic() + self._patience,
            asyncio.get_running_loop().create_future(),
        )
        self._enter(room_id, entry)
        try:
            async with asyncio.timeout(self._patience):
                return await entry.answer
        except TimeoutError:
            raise (unknown_outcome() if entry.started else not_stored()) from None

    async def turn(self, room_id: str, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` while no batch of the room is in flight.

        Raises:
            Unavailable: the room has too much to do; whatever `work` raises.
        """
        turn: _Turn[T] = _Turn(work, asyncio.get_running_loop().create_future())
        self._enter(room_id, turn)
        try:
            async with asyncio.timeout(self._patience):
                return await turn.answer
        except TimeoutError:
            raise unknown_outcome() from None

    async def close(self, within: float) -> None:
        """Accept nothing more, finish what is queued for at most `within` seconds, stop."""
        self._closing = True
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:
            task.cancel()
        if late:
            log.warning("funnel_cut_off", rooms=len(late))
            await asyncio.wait(late)

    @property
    def busy_rooms(self) -> int:
        """Rooms with something queued or in flight."""
        return len(self._lanes)

    def _enter(self, room_id: str, entry: _Send | _Turn[Any]) -> None:
        lane = self._lanes.get(room_id)
        if self._closing or (lane is not None and len(lane.waiting) >= self._waiting):
            self._metrics.refused.inc()
            raise not_stored()
        if lane is None:
            lane = self._lanes[room_id] = _Lane()
            lane.task = asyncio.create_task(self._work(room_id, lane), name=f"funnel {room_id}")
        lane.waiting.append(entry)

    async def _work(self, room_id: str, lane: _Lane) -> None:
        try:
            while lane.waiting:
                heed_cancellation()
                if isinstance(lane.waiting[0], _Turn):
                    await self._take_turn(lane)
                else:
                    await self._commit(room_id, self._next_batch(lane))
        finally:
            # No await since the queue was seen empty, so nothing can have entered meanwhile.
            del self._lanes[room_id]
            for entry in lane.waiting:
                _fail(entry.answer, not_stored())

    async def _take_turn(self, lane: _Lane) -> None:
        turn = lane.waiting.popleft()
        if not isinstance(turn, _Turn) or turn.answer.done():
            return
        try:
            # The lane's task works for many: without this, for the first of them in all traces.
            with resuming(turn.trace):
                result = await turn.work()
        except asyncio.CancelledError:
            _fail(turn.answer, unknown_outcome())
            raise
        except Exception as error:  # handed to who waits for the turn
            _fail(turn.answer, error)
        else:
            if not turn.answer.done():
                turn.answer.set_result(result)

    def _next_batch(self, lane: _Lane) -> list[_Send]:
        """Sends from the head of the queue, up to the limit, a turn, or an id that repeats."""
        batch: list[_Send] = []
        ids: set[str] = set()
        now = self._clock.monotonic()
        while lane.waiting and len(batch) < self._batch:
            entry = lane.waiting[0]
            if isinstance(entry, _Turn) or entry.draft.message_id in ids:
                break
            lane.waiting.popleft()
            if entry.answer.done():
                continue  # gave up while it waited
            if entry.deadline <= now:
                _fail(entry.answer, not_stored())
                continue
            entry.started = True
            ids.add(entry.draft.message_id)
            batch.append(entry)
        return batch

    async def _commit(self, room_id: str, batch: list[_Send]) -> None:
        try:
            while batch:
                batch = await self._attempt(room_id, batch)
        except asyncio.CancelledError:
            _fail_all(batch, unknown_outcome())
            raise
        except NotStored:
            _fail_all(batch, not_stored())
        except OutcomeUnknown:
            self._metrics.unknown.inc(len(batch))
            _fail_all(batch, unknown_outcome())
        except Exception as error:  # handed to everybody who waits
            _fail_all(batch, error)

    async def _attempt(self, room_id: str, batch: list[_Send]) -> list[_Send]:
        """Commit `batch`; what is left of it when some sends have their answer without it."""
        drafts = [entry.draft for entry in batch]
        deadline = max(entry.deadline for entry in batch)
        try:
            with self._traced(batch):
                stored = await self._committer.commit(room_id, drafts, deadline)
        except Refused as refused:
            for index, reason in refused.reasons.items():
                _fail(batch[index].answer, reason)
            return [entry for index, entry in enumerate(batch) if index not in refused.reasons]
        except Duplicate:
            return await self._without_repeats(room_id, batch)
        self._metrics.batches.observe(len(batch))
        self._on_stored(room_id, stored)
        for entry, message in zip(batch, stored.messages, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(message)
        return []

    @contextmanager
    def _traced(self, batch: Sequence[_Send]) -> Iterator[None]:
        """A span of the first send's trace, linked to those of the others."""
        if self._tracer is None:
            yield
            return
        recorded = [entry for entry in batch if span_of(entry.trace).trace_flags.sampled]
        first = (recorded or batch)[0].trace
        links = links_to([entry.trace for entry in recorded[1:]])
        attributes = {"hubbub.batch": len(batch)}
        with spanning(
            self._tracer, "funnel commit", attributes=attributes, context=first, links=links
        ):
            yield

    async def _without_repeats(self, room_id: str, batch: list[_Send]) -> list[_Send]:
        """Answer the sends whose id is stored already; the others."""
        found = await self._committer.stored([entry.draft.message_id for entry in batch])
        if not found:
            # The rival that held the id has vanished again (its transaction was undone).
            await self._clock.sleep(0.002)
        left: list[_Send] = []
        for entry in batch:
            message = found.get(entry.draft.message_id)
            if message is None:
                left.append(entry)
                continue
            self._metrics.repeats.inc()
            try:
                is_repeat(message, entry.draft.author.user_id, room_id)
            except HubbubError as error:
                _fail(entry.answer, error)
            else:
                if not entry.answer.done():
                    entry.answer.set_result(message)
        if left and all(entry.deadline <= self._clock.monotonic() for entry in left):
            _fail_all(left, not_stored())
            return []
        return left


def _fail(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def _fail_all(batch: Sequence[_Send], error: BaseException) -> None:
    for entry in batch:
        _fail(entry.answer, error)
