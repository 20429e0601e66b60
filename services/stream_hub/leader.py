"""The work of one term: take over the log, then turn changes into events until the term ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NoReturn, Protocol, TypeVar

from opentelemetry.trace import Tracer

from hubbub.clock import Clock
from hubbub.contracts.base import Event
from hubbub.contracts.event_log import Header
from hubbub.contracts.events import CacheEvent, PermissionsChanged, RolesChanged
from hubbub.errors import HubbubError
from hubbub.tasks import heed_cancellation, owned
from hubbub.telemetry.log import get_logger
from services.stream_hub import takeover
from services.stream_hub.domain import UNREADABLE, Change, Decision, decide, message_of
from services.stream_hub.feed import Feed, Position, Read
from services.stream_hub.jetstream import (
    Entry,
    EventLog,
    LogFull,
    LogMissing,
    LogState,
    LogUnavailable,
)
from services.stream_hub.knowledge import Knowledge
from services.stream_hub.leadership import Leadership
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.publisher import LogChanged, Publisher
from services.stream_hub.reach import Reach
from services.stream_hub.recent import RecentEvents
from services.stream_hub.repeats import Repeats
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import StoreError
from services.stream_hub.takeover import Beginning
from services.stream_hub.term import LeadershipLost, Term, leaves
from services.stream_hub.watermark import Announcer, Tops

log = get_logger(__name__)

T = TypeVar("T")

_BATCH = 256  # changes decided between two looks at what else there is to do
_DRAIN = 1.0  # seconds for the last acknowledgements when the process ends
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_BREAKS = frozenset(("overtaken", "truncated", "rewritten", "expired"))
"""What may have become of the log that its own state will not show any more to those who take
it over: events that streamers have seen are gone from it, or their order is."""


class Source(Protocol):
    """Where changes come from."""

    async def present(self) -> Position:
        """The present end of the history."""
        ...

    async def run(self, position: Position, feed: Feed) -> NoReturn:
        """Feed everything behind `position`, in order, each change once."""
        ...


class Teller(Protocol):
    """The part of the bus that the hub uses for other services' caches."""

    async def publish(self, event: Event) -> None:
        """Tell whoever listens."""
        ...


class Leader:
    """Leads when it is told to. Keeps nothing from one term to the next but its settings."""

    def __init__(
        self,
        event_log: EventLog,
        source: Source,
        knowledge: Knowledge,
        leadership: Leadership,
        teller: Teller,
        settings: StreamHubSettings,
        *,
        clock: Clock,
        metrics: HubMetrics,
        recent: RecentEvents | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._recent = recent
        self._tracer = tracer
        self._log = event_log
        self._source = source
        self._knowledge = knowledge
        self._leadership = leadership
        self._teller = teller
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._publisher: Publisher | None = None
        self._reach = Reach(event_log, clock, patience=settings.log_silence)

    def doubt(self) -> None:
        """The connection to NATS was away: what it acknowledged may be gone."""
        if self._publisher is not None:
            self._publisher.doubt()

    @property
    def leads(self) -> bool:
        """Whether it publishes at this moment."""
        return self._publisher is not None

    async def lead(self, term: Term, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then finish what is on its way.

        Raises:
            LeadershipLost, LogChanged, TailStuck: this term must end; perhaps in a group.
        """
        tops, begun = Tops(), self._clock.monotonic()

        def waited() -> float:
            """Seconds without a sign of life of the log; beginning is nothing but waiting."""
            if self._publisher is not None:
                return self._publisher.waited()
            return self._clock.monotonic() - begun

        self._metrics.log_wait.of(waited)
        try:
            async with owned(self._reach.watch(waited)):
                position = await self._position(term)
                beginning = await self._take_over(term, tops)
                await self._insist(term, self._knowledge.begin)
                await self._publish_all(term, stopping, position, beginning, tops)
        except* LogChanged as changed:
            if any(str(error) == "wedged" for error in leaves(changed)):
                await self._give_log_up(term)
            raise
        finally:
            self._metrics.log_wait.of(None)

    async def _publish_all(
        self,
        term: Term,
        stopping: asyncio.Event,
        position: Position,
        beginning: Beginning,
        tops: Tops,
    ) -> None:
        """What follows from the history behind `position`, until `stopping` is set."""
        self._metrics.lag.caught_up()
        publisher = Publisher(
            self._log,
            term,
            beginning,
            self._settings,
            clock=self._clock,
            metrics=self._metrics,
            tops=tops,
            recent=self._recent,
            tracer=self._tracer,
        )
        announcer = Announcer(
            self._log,
            tops,
            self._clock,
            interval=self._settings.watermark_interval,
            idle=self._settings.watermark_idle,
        )
        feed = Feed(self._settings.buffer)
        self._publisher = publisher
        heed_cancellation()
        try:
            async with owned(publisher.run(), announcer.run(term)):
                async with owned(
                    self._source.run(position, feed), self._work(term, publisher, feed)
                ):
                    await stopping.wait()
                if not await publisher.drain(_DRAIN):
                    log.warning("events_left_unacknowledged", events=publisher.unacknowledged)
        except* LogChanged as changed:
            for error in leaves(changed):
                if str(error) in _BREAKS:
                    await self._break_continuity(term, str(error))
            raise
        finally:
            self._publisher = None
            self._metrics.lag.stopped()
            publisher.close()

    # --- beginning

    async def _position(self, term: Term) -> Position:
        """Where to read from. At the very first start that is the present, remembered before
        anything else, so that a crash right after loses nothing."""
        token = term.checkpoint.token
        if token is None:
            token = (await self._insist(term, self._source.present)).document
            term.checkpoint = replace(term.checkpoint, token=token)
            await self._insist(term, lambda: self._leadership.save(term))
            log.info("history_begins")
        return Position(str(token["_data"]), token)

    async def _take_over(self, term: Term, tops: Tops) -> Beginning:
        """Mark the log as ours and find out what of our work is in it already."""
        state = await self._insist(
            term, lambda: self._prepared(term), else_=partial(self._give_log_up, term)
        )
        checkpoint = term.checkpoint
        known = await self._insist(
            term, lambda: self._entry(term, checkpoint.sequence, state), else_=_wedged
        )
        continuity = takeover.judge(checkpoint, term.log, state, known)
        if continuity.log != term.log:
            # Ahead of the marker: whoever comes next must not take the new log for the old one.
            await self._insist(term, lambda: self._leadership.save_log(term, continuity.log))
        if continuity.broken:
            self._metrics.resyncs.labels(continuity.broken).inc()
            log.error("log_continuity_broken", reason=continuity.broken)
        term.checkpoint = takeover.behind(checkpoint, continuity)
        marker_id = takeover.marker_id(term.epoch)
        event = takeover.marker(
            term.epoch,
            term.holder,
            continuity.log,
            resync=bool(continuity.broken),
            resumed_from=checkpoint.sequence,
        )
        event.headers[Header.EPOCH] = str(term.epoch)
        event.headers[Header.EVENT_ID] = marker_id

        async def mark() -> int:
            await self._expect(term, state, state.last)
            term.check()
            return await self._log.append_now(event.audience, event.payload, event.headers)

        sequence = await self._insist(term, mark, else_=_wedged)
        term.announced = continuity.log.epoch

        async def read() -> list[Entry]:
            now = await self._expect(term, state, sequence)
            if now.first > continuity.read_from:
                raise LogChanged("expired")
            return await self._log.read(continuity.read_from, sequence - 1)

        entries = await self._insist(term, read, else_=_wedged)
        for entry in entries:
            tops.note(entry.audience, entry.sequence)
        tops.note(event.audience, sequence)
        if any(entry.epoch > term.epoch for entry in entries):
            raise LeadershipLost("superseded")
        seen = takeover.seen_in(entries, checkpoint)
        log.info(
            "log_taken_over",
            epoch=term.epoch,
            log_epoch=continuity.log.epoch,
            sequence=sequence,
            seen=len(seen.ids),
        )
        return Beginning(state.created, sequence, marker_id, term.checkpoint, seen)

    async def _prepared(self, term: Term) -> LogState:
        """The log, which takes only our events from now on. One that belongs to another life of
        the database is begun anew: its epochs would make all that we say count for nothing."""
        with suppress(LogMissing):
            if await self._is_foreign(term):
                await self._leadership.save(term)  # ours for certain, so the log's leader is not
                log.error("log_of_another_database")
                await self._log.delete()
        term.check()
        try:
            return await self._log.prepare(term.epoch)
        except LogMissing:  # deleted by somebody at this moment: it is made anew
            raise LogUnavailable("the log vanished while it was made ready") from None

    async def _is_foreign(self, term: Term) -> bool:
        """Whether the log knows a later leader than the database does."""
        state = await self._log.state()
        if not term.log.created:
            return state.last > 0
        marker = await self._log.last_marker()
        return max(state.epoch, marker.epoch if marker is not None else 0) > term.epoch

    async def _expect(self, term: Term, before: LogState, last: int) -> LogState:
        """How far the log is now: whoever waits for one that was replaced meanwhile, or lost its
        end, waits for ever.

        Raises: LogChanged: it is not what it was before, up to `last`; LogUnavailable.
        """
        try:
            state = await self._log.state()
        except LogMissing:
            raise LogChanged("missing") from None
        if state.epoch > term.epoch:
            raise LeadershipLost("superseded")
        if state.created != before.created:
            raise LogChanged("recreated")
        if state.epoch < term.epoch:
            raise LogChanged("unfenced")
        if state.last < last:
            raise LogChanged("truncated")
        return state

    async def _entry(self, term: Term, sequence: int, state: LogState) -> Entry | None:
        if not state.first <= sequence <= state.last:
            return None
        now = await self._expect(term, state, state.last)
        entries = await self._log.read(sequence, sequence) if now.first <= sequence else []
        return entries[0] if entries else None

    async def _give_log_up(self, term: Term) -> None:
        """Delete a log that takes nothing any more, if that can be: it is made anew."""
        term.check()
        log.error("log_given_up", patience=self._settings.log_patience)
        try:
            await self._log.delete()
        except LogUnavailable as error:
            log.warning("log_not_deleted", reason=str(error))

    async def _insist(
        self,
        term: Term,
        attempt: Callable[[], Awaitable[T]],
        *,
        else_: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Try until it succeeds or the term is over.

        Args:
            else_: what to do each time that patience with the log is at its end.
        """
        pause, begun = _FIRST_PAUSE, self._clock.monotonic()
        while True:
            heed_cancellation()
            term.check()
            try:
                return await attempt()
            except LogUnavailable as error:
                reason = "storage" if isinstance(error, LogFull) else "unavailable"
                self._metrics.refusals.labels(reason).inc()
                log.warning("waiting_for_log", reason=f"{type(error).__name__}: {error}"[:200])
                if else_ and self._clock.monotonic() - begun >= self._settings.log_patience:
                    begun = self._clock.monotonic()
                    await else_()
            except (StoreError, TimeoutError) as error:
                log.warning("waiting_to_lead", reason=f"{type(error).__name__}: {error}"[:200])
            await self._clock.sleep(pause * random.random())  # noqa: S311  spreads, hides nothing
            pause = min(2 * pause, _LONGEST_PAUSE)

    # --- working

    async def _work(self, term: Term, publisher: Publisher, feed: Feed) -> NoReturn:
        repeats = Repeats()
        while True:
            heed_cancellation()
            items = await feed.take(_BATCH)
            changes = [item.change for item in items if item.change is not None]
            if changes:
                self._metrics.batch_events.observe(len(changes))
                committed = changes[-1].committed
                self._metrics.lag.read(self._clock.time() - committed / 1000)
                await self._insist(term, partial(self._knowledge.prepare, changes))
            await self._publish(term, publisher, items, repeats)

    async def _publish(
        self, term: Term, publisher: Publisher, items: list[Read], repeats: Repeats
    ) -> None:
        decisions: list[Decision | None] = []
        told: dict[Event, int | None] = {}  # → when the change was committed
        for index, item in enumerate(items):
            decision = None
            if item.change is not None and not item.gap:
                decision = self._decide(item.change)
                if decision is not None:
                    decision = repeats.without(item.change, decision)
                if decision is None:
                    items[index] = item._replace(gap="poison")
                elif decision.skipped is not None:
                    self._metrics.skipped.labels(decision.skipped).inc()
                    if self._recent is not None and (about := message_of(item.change)):
                        self._recent.skipped(about, decision.skipped, item.change.committed)
                for event in decision.told if decision is not None else ():
                    told.setdefault(event, item.change.committed)
            decisions.append(decision)
        # Caches first: a streamer that hears of lost rights asks at once what is left of them.
        await self._tell(told)
        for item, decision in zip(items, decisions, strict=True):
            if item.gap:
                await self._resync(term, publisher, item)
            elif item.change is None or decision is None:
                publisher.pass_over(item.position)
            else:
                await publisher.submit(
                    item.position,
                    decision.events,
                    committed=item.change.committed,
                    read_at=item.read_at,
                    about=message_of(item.change),
                )

    def _decide(self, change: Change) -> Decision | None:
        """What follows from `change`; None when no rule can make sense of it."""
        try:
            self._knowledge.learn(change)
            decision = decide(change, self._knowledge)
        except Exception as error:  # one document nobody foresaw must not stop the others
            log.exception("change_undecidable", reason=type(error).__name__)
        else:
            if decision.skipped != UNREADABLE:
                return decision
            log.error("change_unreadable", reason="depth", position=change.token[:24])
        self._metrics.poison.inc()
        return None

    async def _resync(self, term: Term, publisher: Publisher, item: Read) -> None:
        """Say that changes are missing: whoever keeps a state must fetch it again."""
        log.error("resync", reason=item.gap)
        # First what may fail or last: from the new name to its marker nothing must come between.
        await self._insist(term, self._knowledge.begin)
        term.announced = ""
        await self._break_continuity(term, item.gap)
        event = takeover.marker(term.epoch, term.holder, term.log, resync=True)
        await publisher.submit(item.position, [event], read_at=item.read_at, label="gap")
        await publisher.settled()
        term.announced = term.log.epoch
        await self._tell(dict.fromkeys((RolesChanged(), PermissionsChanged())))

    async def _break_continuity(self, term: Term, reason: str) -> None:
        self._metrics.resyncs.labels(reason).inc()
        identity = replace(term.log, breaks=term.log.breaks + 1)
        await self._insist(term, lambda: self._leadership.save_log(term, identity))

    async def _tell(self, events: Mapping[Event, int | None]) -> None:
        for event, committed in events.items():
            stamped = isinstance(event, CacheEvent) and committed is not None
            told = event.model_copy(update={"committed": committed}) if stamped else event
            try:
                await self._teller.publish(told)
            except HubbubError as error:
                # Caches also age by themselves; the log is what must not miss anything.
                self._metrics.skipped.labels("untold").inc()
                log.warning("event_not_told", name=event.event_name, reason=error.reason)


async def _wedged() -> None:
    raise LogChanged("wedged")
