"""Proof that nothing is missing: holes are filled from the log, tails are checked.

What can hide a loss, and what finds it:

* a hole between two events        the later one names its predecessor        (`Chain`)
* a lost last event                the hub's watermark, once a second         (`on_watermark`)
* a cut connection, a stalled loop the log is asked for all tops              (`doubt`)
* more than the log still has      `first` of the log against what was proven
* another log under the same name  its creation time, the hub's log epoch
* a log that lost its end          a place that was passed holds another event   (`Passed`),
                                   a watermark that goes back

What cannot be proven is *lost*: the receiver is told, and the audience begins anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hubbub.clock import Clock
from hubbub.contracts.event_log import CONTROL, Audience, Marker, Watermark
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.audiences.chain import Lost
from services.ddp_streamer.audiences.event import Event
from services.ddp_streamer.audiences.interest import ALL_ROOMS, Interest, Interests, Receiver
from services.ddp_streamer.audiences.leaders import Leaders
from services.ddp_streamer.audiences.log import MAX_SUBJECTS, LogReader, LogState, LogUnavailable
from services.ddp_streamer.audiences.passed import Passed
from services.ddp_streamer.audiences.state import SharedState
from services.ddp_streamer.tally import Recovery
from services.ddp_streamer.tasks import Tasks

log = get_logger(__name__)

Forward = Callable[[Interest, Sequence[Event]], None]

_PARALLEL_REPAIRS = 8
_PARALLEL_TOPS = 2
_FIRST_WATERMARK: Final = 7.0  # seconds; a hub without work sends one every five
_LOOK: Final = 0.2  # seconds between two looks whether there is a new doubt
_WATERMARK_WINDOW: Final = 5.5  # seconds; a watermark lists the tops of the last five


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what. Seconds."""

    missing: float = 2.0
    """For an event that must be in the log but is not found there."""
    unreachable: float = 15.0
    """For a log that does not answer, while events are held."""
    tail: float = 0.5
    """After a watermark, for events that are on their way."""
    watermark: float = 15.0
    """Without a watermark the proof of tails is stale: degraded."""


@dataclass(slots=True)
class _Found:
    """What one repair has come to know."""

    gap: bool = False
    """Something was missing, indeed."""
    events: int = 0


def _jitter() -> float:
    return random.uniform(0.05, 0.5)  # noqa: S311  spreads retries, keeps no secret


class Continuity:
    """Keeps the chains of all interests unbroken, or says that one is lost."""

    def __init__(
        self,
        reader: LogReader,
        interests: Interests,
        receiver: Receiver,
        *,
        tasks: Tasks,
        forward: Forward,
        reopen: Callable[[Interest], None],
        on_gap: Callable[[], None],
        on_recovery: Callable[[Recovery, int], None],
        clock: Clock,
        patience: Patience,
    ) -> None:
        self._reader = reader
        self._interests = interests
        self._receiver = receiver
        self._tasks = tasks
        self._state = SharedState(reader, tasks=tasks)
        self._forward = forward
        self._reopen = reopen
        self._on_gap = on_gap
        self._on_recovery = on_recovery
        self._clock = clock
        self._patience = patience
        self.leaders = Leaders()
        self.passed = Passed()
        self._doubts = asyncio.Event()
        self._log_known = asyncio.Event()  # that it is the log of before: else nobody reads on
        self._log_known.set()
        self._repairs = asyncio.Semaphore(_PARALLEL_REPAIRS)
        self._created: str | None = None
        self._proven = 0  # of every open audience all events up to here are here or being read
        self._first = 0  # nothing in front of it was in the log any more, when it was asked last
        self._begun = clock.monotonic()
        self._watermark_at = clock.monotonic()
        self._watermark_sequence = 0
        self._lives = 0  # logs, and histories of one, that were lost
        self._asked_for = 0  # epoch of a leader whose marker was missed

    @property
    def stale(self) -> float:
        """Seconds by which the watermark is overdue; 0 when all is well."""
        late = self._clock.monotonic() - self._watermark_at - self._patience.watermark
        return max(0.0, late)

    @property
    def proven(self) -> int:
        """Of every open audience all events up to here have passed; 0: that is not so now."""
        flowing = all(one.chain.flowing for one in self._interests if one.is_open)
        return self._proven if flowing and not self._doubts.is_set() else 0

    @property
    def known_last(self) -> int:
        """A sequence that the log had reached a few seconds ago, or moments ago."""
        return self._proven

    async def known_log(self) -> tuple[str | None, str]:
        """The log's name, and when it was created.

        A streamer that has just begun hears the name from the hub within seconds; None: it did
        not. Raises: LogUnavailable.
        """
        while self.leaders.log_epoch is None and (
            self._clock.monotonic() - self._begun < _FIRST_WATERMARK
        ):
            await self._clock.sleep(0.05)
        created = self._created
        if created is None:
            # It was replaced, and has been followed since by what came from it.
            created = self._created = (await self._state.now()).created
        return self.leaders.log_epoch, created

    # --- holes --------------------------------------------------------------------------------

    def repair(self, interest: Interest) -> None:
        """The chain of `interest` waits: read the log until it flows. Returns at once."""
        if interest.repair is None:
            interest.repair = self._tasks.start(self._repair(interest), "gap-repair")

    async def _repair(self, interest: Interest) -> None:
        chain = interest.chain
        found = _Found(gap=chain.missing)
        try:
            while self._needs_reading(interest):
                await self._read_on(interest, found)
        except Lost as error:
            self._count_gap(found)
            self.lose([interest], str(error), "failed")
        except Exception:
            self._count_gap(found)
            self.lose([interest], "the repair has failed", "failed")
            raise
        else:
            if chain is not interest.chain:
                self._count_gap(found)  # `lose` has counted how it ended
            elif chain.flowing:
                self._count_gap(found)
                self._on_recovery("full" if found.gap else "not_needed", found.events)
            # Otherwise nobody listens any more: a hole of nobody's.
        finally:
            interest.repair = None

    def _count_gap(self, found: _Found) -> None:
        """A hole is counted with its end, so that each one has one."""
        if found.gap:
            self._on_gap()

    async def _read_on(self, interest: Interest, found: _Found) -> None:
        """Read until the chain flows. Raises: Lost: what is missing cannot be found."""
        chain = interest.chain
        missing_since: float | None = None
        silent_since: float | None = None
        while self._needs_reading(interest) and chain is interest.chain:
            await self._receiver.wait_for_room()
            if interest.audience != CONTROL:  # which says whether it is
                await self._log_known.wait()
            try:
                async with self._repairs:
                    read = await self._reader.behind(interest.audience, chain.last)
            except LogUnavailable as error:
                silent_since = silent_since or self._clock.monotonic()
                if self._clock.monotonic() - silent_since > self._patience.unreachable:
                    raise Lost(str(error)) from None
                await self._clock.sleep(_jitter())
                continue
            silent_since = None
            if chain is not interest.chain:
                return  # it was lost meanwhile and began anew
            if interest.audience != CONTROL and not self._log_known.is_set():
                continue  # perhaps another log has answered
            found.gap = found.gap or bool(read.events)
            found.events += len(read.events)
            for event in read.events:
                self._forward(interest, chain.fetched(event))
            if read.at_end:
                self._forward(interest, chain.reached_end())
            if read.events or not read.at_end:
                missing_since = None
            elif not chain.flowing:
                missing_since = missing_since or self._clock.monotonic()
                if self._clock.monotonic() - missing_since > self._patience.missing:
                    raise Lost("events are missing in the log")
                await self._clock.sleep(0.05)

    def _needs_reading(self, interest: Interest) -> bool:
        return interest in self._interests and interest.is_open and not interest.chain.flowing

    def lose(self, interests: Iterable[Interest], reason: str, recovery: Recovery) -> None:
        """Continuity of these cannot be proven: tell, and begin anew."""
        count = 0
        for interest in interests:
            interest.valid_from = 0 if recovery == "epoch_changed" else interest.chain.known_top
            interest.chain.drop_held()
            if interest.is_open:
                count += 1
                interest.reset()
                self._on_recovery(recovery, 0)
                self._receiver.on_lost(interest.audience)
                self._reopen(interest)
        if count:
            log.warning("audiences_lost", count=count, reason=reason)

    def check_place(self, interest: Interest, event: Event) -> None:
        """An event came for a place that its chain has passed: was it that event?"""
        chain = interest.chain
        if not interest.is_open or not self.passed.contradicts(
            event.sequence, event.id, base=chain.base
        ):
            return
        if chain.linked:
            self.lose_end(event)
        else:  # events of several audiences may overtake each other; this one was passed over
            self.lose([interest], "an event was passed over", "failed")

    def lose_end(self, event: Event) -> None:
        """The log has lost its end and grown again: `event` stands where another one stood.

        Its leaders are remembered: their numbers only grow, whatever the log has lost.
        """
        log.error("log_rewritten", sequence=event.sequence)
        self.passed.clear()
        self._proven = 0
        self._lives += 1
        self.leaders.valid_from = max(self.leaders.valid_from, event.sequence)
        self.lose(self._interests, "a known place of the log holds another event", "epoch_changed")

    def _lose_log(self, reason: str) -> None:
        """Another log, or another history of it."""
        self.leaders.restart()
        self.passed.clear()
        self._proven = self._first = 0
        self._lives += 1
        self._created = None
        self.lose(self._interests, reason, "epoch_changed")

    # --- tails --------------------------------------------------------------------------------

    def on_marker(self, marker: Marker, sequence: int, *, fresh: bool) -> None:
        """A hub began to lead. `fresh`: it was not known before."""
        if self.leaders.is_past(marker.epoch, marker.log_epoch):
            self.leaders.mark(marker, sequence)
            return
        if fresh and marker.epoch > self.leaders.highest and self._heard_from(sequence):
            # A new leader begins behind the log's end. So the log has lost its end.
            self._lose_log("the log was rewritten")
        if self.leaders.is_new_log(marker.log_epoch) or (fresh and marker.resync):
            self._lose_log("the hub began a new log")
        self.leaders.mark(marker, sequence)
        # Older events than the proven ones are still read, for clients that come back.
        self.leaders.forget_before(self._first)

    def on_epoch(self, epoch: int) -> None:
        """An event of a leader of `epoch` is about to pass."""
        if epoch > max(self.leaders.highest, self._asked_for):
            # Its marker should have come first, and may say that the log is another.
            self._asked_for = epoch
            self.doubt("a leader is not known")

    def on_watermark(self, watermark: Watermark) -> None:
        """How far the log is: whoever is behind half a second later has lost the tail."""
        if self.leaders.is_past(watermark.epoch, watermark.log_epoch):
            return
        now = self._clock.monotonic()
        late = now - self._watermark_at > _WATERMARK_WINDOW
        moved = watermark.sequence != self._watermark_sequence
        back = watermark.sequence < self._watermark_sequence
        self._watermark_at = now
        self._watermark_sequence = watermark.sequence
        if self.leaders.is_new_log(watermark.log_epoch):
            self._lose_log("the hub began a new log")
            return
        if back:
            self.doubt("the watermark went back")
            return
        if watermark.epoch > self.leaders.highest:
            self._suspect(CONTROL)  # its marker was missed
        if late and moved:
            self.doubt("watermarks were missed")
            return
        behind = [
            (Audience(audience), sequence)
            for audience, sequence in watermark.tops
            if self._is_behind(Audience(audience), sequence)
        ]
        asyncio.get_running_loop().call_later(
            self._patience.tail, self._check_tails, behind, watermark.sequence, self._lives
        )

    def _is_behind(self, audience: Audience, sequence: int) -> bool:
        interest = self._followed(audience)
        return interest is not None and interest.is_open and interest.chain.last < sequence

    def _followed(self, audience: Audience) -> Interest | None:
        exact = self._interests.get(audience)
        if exact is None and audience.startswith("room."):
            return self._interests.get(ALL_ROOMS)
        return exact

    def _check_tails(self, behind: list[tuple[Audience, int]], sequence: int, life: int) -> None:
        if life != self._lives:
            return  # numbers of a log that is no more mean nothing in the new one
        for audience, top in behind:
            interest = self._followed(audience)
            if interest is None or not interest.is_open or interest.chain.last >= top:
                continue
            self._forward(interest, interest.chain.prove(top))
            if not interest.chain.flowing:
                self.repair(interest)
        if not self._doubts.is_set():
            self._proven = max(self._proven, sequence)

    def _heard_from(self, sequence: int) -> bool:
        """Whether an event from `sequence` on has passed, other than a marker at `sequence`."""
        return any(
            interest.chain.heard > sequence - (interest.audience != CONTROL)
            for interest in self._interests
        )

    def _suspect(self, audience: Audience) -> None:
        interest = self._interests.get(audience)
        if interest is not None and interest.is_open:
            interest.chain.suspect()
            self.repair(interest)

    # --- everything ---------------------------------------------------------------------------

    def doubt(self, reason: str) -> None:
        """Anything may have been missed: hold every audience until its top is known."""
        log.info("continuity_in_doubt", reason=reason, audiences=len(self._interests))
        for interest in self._interests:
            if interest.is_open:
                interest.chain.suspect()
        self._log_known.clear()
        self._doubts.set()

    async def watch_doubts(self) -> None:
        """Prove all audiences whenever there is a doubt; runs until cancelled."""
        while True:
            await self._doubts.wait()
            self._doubts.clear()
            silent_since: float | None = None
            while not self._doubts.is_set():
                try:
                    await self._prove_all()
                    break
                except LogUnavailable as error:
                    now = self._clock.monotonic()
                    silent_since = silent_since or now
                    if now - silent_since > self._patience.unreachable:
                        self.lose(self._interests, str(error), "failed")
                        self._log_known.set()
                        break
                    await self._clock.sleep(_jitter())

    async def wait_for_log(self) -> LogState:
        """The log's state, as soon as there is a log."""
        complained = False
        while True:
            try:
                state = await self._reader.state()
            except LogUnavailable as error:
                if not complained:
                    log.warning("waiting_for_event_log", reason=str(error))
                complained = True
                await self._clock.sleep(0.25)
                continue
            self._created, self._first = state.created, state.first
            self._proven = max(self._proven, state.last)
            return state

    async def _prove_all(self) -> None:
        """Raises: LogUnavailable."""
        heard = max((interest.chain.heard for interest in self._interests), default=0)
        state = await self._reader.state()
        if self._created not in (None, state.created) or state.last < max(self._proven, heard):
            self._lose_log("the log was replaced")
            self.leaders.log_epoch = None  # the hub will say how it is called
        elif self._proven and state.first > self._proven + 1:
            self.lose(self._interests, "the log's window has passed", "too_old")
        elif state.first <= heard and not await self._holds_what_was_heard():
            self._lose_log("the log was rewritten")
        self._created, self._first = state.created, state.first
        gate = asyncio.Semaphore(_PARALLEL_TOPS)
        # Markers first: they decide which of the other events count.
        await self._prove([CONTROL], gate)
        control = self._interests.get(CONTROL)
        while control is not None and control.repair is not None:
            await asyncio.wait([control.repair], timeout=_LOOK)
            if self._doubts.is_set():
                return
        if not self._doubts.is_set():
            self._log_known.set()
        audiences = [interest.audience for interest in self._interests if interest.is_open]
        chunks = [
            audiences[start : start + MAX_SUBJECTS]
            for start in range(0, len(audiences), MAX_SUBJECTS)
        ]
        outcomes = await asyncio.gather(
            *(self._prove(chunk, gate) for chunk in chunks), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        self._proven = max(self._proven, state.last)

    async def _holds_what_was_heard(self) -> bool:
        """Whether the last event that passed still stands in the log where it stood. A log that
        lost its end and grew again is longer than ever, and yet another one.

        Raises: LogUnavailable.
        """
        latest = max(self._interests, key=lambda interest: interest.chain.heard)
        chain, begun = latest.chain, self._clock.monotonic()
        sequence, identity = chain.heard, chain.heard_id
        while True:
            read = await self._reader.behind(latest.audience, sequence - 1)
            if read.events:
                return read.events[0].sequence == sequence and read.events[0].id == identity
            # A copy that lags behind knows less; but not for long.
            if self._clock.monotonic() - begun > self._patience.missing:
                return False
            await self._clock.sleep(0.05)

    async def _prove(self, audiences: Sequence[Audience], gate: asyncio.Semaphore) -> None:
        exact = [audience for audience in audiences if audience != ALL_ROOMS]
        async with gate:
            tops = await self._reader.tops(exact) if exact else {}
        for audience in audiences:
            interest = self._interests.get(audience)
            if interest is None or not interest.is_open:
                continue
            if audience != ALL_ROOMS:
                top = tops.get(audience)
                self._forward(interest, interest.chain.prove(0 if top is None else top.sequence))
            if not interest.chain.flowing:
                self.repair(interest)
