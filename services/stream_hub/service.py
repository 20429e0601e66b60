"""The doors of the stream-hub: its start, its end, and its memory."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from hubbub.clock import Clock, SystemClock
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.tasks import heed_cancellation, owned
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.tracing import tracer_of
from services.stream_hub.jetstream import JetStreamLog
from services.stream_hub.knowledge import Knowledge
from services.stream_hub.leader import Leader
from services.stream_hub.leadership import Leadership
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.publisher import LogChanged
from services.stream_hub.recent import Recall, RecentEvents
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import FactStore, MongoLeaseStore, StoreError
from services.stream_hub.tail import Tail, TailStuck
from services.stream_hub.term import LeadershipLost, Term, leaves

log = get_logger(__name__)

_SAMPLE = 60.0  # seconds between two looks at how far the database's history reaches back


async def run(process: Process) -> None:
    """Lead whenever nobody else does, until the process is to stop."""
    settings = load(StreamHubSettings)
    clock, metrics = SystemClock(), HubMetrics(process.registry)
    async with (
        # A standby is as good without NATS as with it, and nobody calls a hub.
        process.bus(decides_readiness=False) as bus,
        process.mongo() as database,
        process.mongo(for_tail=True) as history,
        JetStreamLog(bus.client, settings) as event_log,
    ):
        await process.schema(database)
        store = MongoLeaseStore(database)
        leadership = Leadership(
            store,
            settings,
            holder=process.instance,
            clock=clock,
            metrics=metrics,
            able=event_log.answers,
        )
        recent = RecentEvents(settings.recent_events, now=clock.time)
        leader = Leader(
            event_log,
            Tail(history, settings, clock=clock, metrics=metrics),
            Knowledge(FactStore(history), limit=settings.room_cache),
            leadership,
            bus,
            settings,
            clock=clock,
            metrics=metrics,
            recent=recent,
            tracer=tracer_of(),
        )
        bus.on_reconnect(leader.doubt)
        await bus.serve(Recall(recent, lambda: leader.leads), group=False)
        process.health.ready()
        async with owned(_sample_history(store, clock, metrics)):
            await take_turns(leadership, leader, process.stopping, clock, settings.lease_retry)


async def take_turns(
    leadership: Leadership,
    leader: Leader,
    stopping: asyncio.Event,
    clock: Clock,
    pause: float,
) -> None:
    """Wait for the lease, lead, give it back; again and again until `stopping` is set.

    Args:
        pause: seconds after a term that ended badly, so that a standby can be first.
    """
    while not stopping.is_set():
        term = await _unless(stopping, leadership)
        if term is None:
            return
        end = "failed"
        try:
            async with owned(leadership.keep(term)):
                await leader.lead(term, stopping)
            end = "stopped"
        except* (LeadershipLost, LogChanged, TailStuck) as ended:
            for reason in leaves(ended):
                end = _end(reason)
                log.warning(
                    "leadership_ended",
                    epoch=term.epoch,
                    reason=f"{type(reason).__name__}: {reason}",
                )
        finally:
            await leadership.release(term, end)
        if not stopping.is_set():
            await clock.sleep(pause)


def _end(reason: BaseException) -> str:
    """One of `metrics.TERM_ENDS`."""
    if isinstance(reason, TailStuck):
        return "stuck"
    if isinstance(reason, LogChanged) and str(reason) == "expired":
        return "expired_log"
    return str(reason)


async def _unless(stopping: asyncio.Event, leadership: Leadership) -> Term | None:
    """The next term, or None when the process stops first."""
    acquiring = asyncio.ensure_future(leadership.acquire())
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({acquiring, stop}, return_when=asyncio.FIRST_COMPLETED)
        return acquiring.result() if acquiring.done() else None
    finally:
        for task in (acquiring, stop):
            task.cancel()
        await asyncio.gather(acquiring, stop, return_exceptions=True)


async def _sample_history(store: MongoLeaseStore, clock: Clock, metrics: HubMetrics) -> NoReturn:
    while True:
        heed_cancellation()
        try:
            window = await store.oplog_window()
            if window is not None:
                metrics.oplog_window.set(window)
        except StoreError as error:
            log.debug("history_not_sampled", reason=type(error).__name__)
        await clock.sleep(_SAMPLE)
