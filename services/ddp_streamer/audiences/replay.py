"""What one listener missed of an audience, read from the log: all of it or nothing.

    since ──read──▶ what the chain has let pass ──▶ from there on it comes live

The end is the chain's own last event, so whoever begins to listen in that moment, behind what
waits for delivery, gets every event once. That nothing is missing in front is proven by the
log's first sequence: what it has dropped lies before `since`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hubbub.clock import Clock
from hubbub.contracts.event_log import Audience
from services.ddp_streamer.audiences.chain import Chain
from services.ddp_streamer.audiences.event import Event
from services.ddp_streamer.audiences.interest import Interest
from services.ddp_streamer.audiences.log import LogReader, LogUnavailable, Read
from services.ddp_streamer.audiences.state import SharedState
from services.ddp_streamer.positions import Missed
from services.ddp_streamer.tasks import Tasks

MAX_READ: Final = 3_000  # events of an audience that are looked through for one listener
_PARALLEL = 8  # readings of the log beside each other
_PATIENCE = 10.0  # seconds for one listener, waiting for a turn included
_LAG = 2.0  # seconds for what must be in the log, or on its way here
_PAUSE = 0.02


class Unrecoverable(Exception):
    """It cannot be proven that all would be replayed."""

    def __init__(self, why: Missed) -> None:
        super().__init__(why)
        self.why: Missed = why


@dataclass(frozen=True, slots=True)
class Part:
    """Events of an audience, and what the log held right after they were read."""

    read: Read
    created: str
    first: int
    last: int


class SharedReads:
    """Readings of the log. Listeners that come back together mostly want the same ones."""

    def __init__(self, reader: LogReader, *, tasks: Tasks) -> None:
        self._reader = reader
        self._tasks = tasks
        self._state = SharedState(reader, tasks=tasks)
        self._gate = asyncio.Semaphore(_PARALLEL)
        self._under_way: dict[tuple[Audience, int], asyncio.Future[Part]] = {}

    async def behind(self, audience: Audience, sequence: int) -> Part:
        """Events of `audience` behind `sequence`. Raises: LogUnavailable."""
        key = audience, sequence
        part = self._under_way.get(key)
        if part is None:
            part = self._under_way[key] = asyncio.get_running_loop().create_future()
            self._tasks.spawn(self._read(key, part), "replay")
        # Others may wait for the same reading: it goes on when one of them has gone.
        return await asyncio.shield(part)

    async def _read(self, key: tuple[Audience, int], part: asyncio.Future[Part]) -> None:
        try:
            async with self._gate:
                read = await self._reader.behind(*key)
            state = await self._state.now()
            part.set_result(Part(read, state.created, state.first, state.last))
        except Exception as error:
            part.set_exception(error)
            part.exception()  # everybody may have gone
            if not isinstance(error, LogUnavailable):
                raise
        finally:
            part.cancel()  # nothing, unless this was cancelled
            del self._under_way[key]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be replayed."""

    frames: int
    size: int
    """Bytes."""


class Replay:
    """One listener's way to the present of an audience that it holds."""

    def __init__(
        self,
        reads: SharedReads,
        interest: Interest,
        since: int,
        *,
        created: str,
        wanted: Callable[[Event], bool],
        limits: Limits,
        clock: Clock,
    ) -> None:
        """
        Args:
            since: sequence of the last event that the listener has; 0: it has none.
            created: the log's moment of creation, as it was known when positions were compared.
            wanted: whether an event counts and is one of those it listens to.
        """
        self._reads = reads
        self._interest = interest
        self._chain: Chain[Event] = interest.chain
        self._after = since
        self._created = created
        self._wanted = wanted
        self._limits = limits
        self._clock = clock
        self._looked_at = 0
        self._size = 0
        self.events: list[Event] = []
        """What was missed, in order; complete when `catch_up` has returned."""

    @property
    def reached(self) -> int:
        """Everything up to here was read, or never was there."""
        return self._after

    async def catch_up(self) -> None:
        """Read on to the last event that has passed here; returns in the moment it is reached.

        May be called again later, and reads on from there.

        Raises:
            Unrecoverable: and then it stays so.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._read_on()
        except (TimeoutError, LogUnavailable):
            raise Unrecoverable("failed") from None

    async def _read_on(self) -> None:
        waiting_since: float | None = None
        while not self._has_arrived():
            top = self._top
            part = await self._reads.behind(self._interest.audience, min(self._after, top))
            if part.created != self._created:
                raise Unrecoverable("epoch_changed")
            if self._after >= top:
                if self._nothing_was_missed(part, top):
                    return
            elif part.first > self._after + 1:
                raise Unrecoverable("too_old")
            elif self._take(part.read):
                waiting_since = None
                continue
            # A copy of the log that lags, or an event that the client had a moment before us.
            waiting_since = waiting_since or self._clock.monotonic()
            if self._clock.monotonic() - waiting_since > _LAG:
                raise Unrecoverable("failed")
            await self._clock.sleep(_PAUSE)

    @property
    def _top(self) -> int:
        """Raises: Unrecoverable: the audience was lost meanwhile."""
        if self._interest.chain is not self._chain or not self._interest.is_open:
            raise Unrecoverable("failed")
        return self._chain.last

    def _has_arrived(self) -> bool:
        return self._after == self._top > 0

    def _nothing_was_missed(self, part: Part, top: int) -> bool:
        """The client has heard of more than has passed here: whether that is all there is."""
        if self._after > part.last:
            raise Unrecoverable("epoch_changed")  # no place in this log
        if top == 0 and part.first > self._after + 1:
            raise Unrecoverable("too_old")  # there may have been events that are forgotten
        return self._top == top and not any(
            event.sequence <= self._after for event in part.read.events
        )

    def _take(self, read: Read) -> bool:
        """Take of what was read what has passed here; whether there was anything."""
        top, before = self._top, self._after
        for event in read.events:
            if event.sequence > top:
                break
            self._after = event.sequence
            self._looked_at += 1
            if self._wanted(event):
                self.events.append(event)
                self._size += len(event.payload)
        if (
            len(self.events) > self._limits.frames
            or self._size > self._limits.size
            or self._looked_at > MAX_READ
        ):
            raise Unrecoverable("too_many")
        return self._after > before
