"""How a streamer leaves: nobody is refused, cut off or forgotten on its way out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from hubbub.clock import SystemClock
from hubbub.errors import HubbubError
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.drain import Drain, Plan
from services.ddp_streamer.identities import Identities
from services.ddp_streamer.lease import InstanceLease
from services.ddp_streamer.listener import PublicListener
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.reports import Reports
from services.ddp_streamer.router import Router
from services.ddp_streamer.settings import StreamerSettings

log = get_logger(__name__)

_FLUSH = 2.0  # seconds for what is queued to the last clients, and for their close frames
_HURRIED_FLUSH = 0.5
_CUT = 1.0  # seconds for the ends of sockets that were cut
_LAST_WORDS = 3.0  # seconds for telling presence at the end
_FORCED_BEFORE = 5.0  # seconds before the drain deadline
_GIVEN_UP_BEFORE = 2.0
_LAST_ANSWERS = 1.0  # seconds between the last turn and the moment of force


class Departure:
    """The drain of one streamer."""

    def __init__(
        self,
        listener: PublicListener,
        router: Router,
        presence: PresenceLink,
        identities: Identities,
        lease: InstanceLease,
        reports: Reports,
        settings: StreamerSettings,
        metrics: StreamerMetrics,
    ) -> None:
        self._listener = listener
        self._router = router
        self._presence = presence
        self._identities = identities
        self._lease = lease
        self._reports = reports
        self._settings = settings
        self._metrics = metrics
        self.begun = False
        """No new clients are wanted any more."""

    async def run(self, window: float, hurried: asyncio.Event, deadline: float) -> None:
        """Stop accepting, send every client elsewhere, tell presence.

        The door stays open for a while: load balancers need a moment to choose others, and a
        refused connection is worse than one that does not last.

        Args:
            window: seconds over which clients are closed.
            hurried: when it is set, two seconds are left for that.
            deadline: seconds until the process is ended, whatever it is doing.
        """
        begun = time.monotonic()
        self.begun = True
        self._reports.tell_now()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_delay):
                await hurried.wait()
        self._listener.stop_accepting()
        self._presence.hold_closed()
        count = len(self._router.sessions)
        plan = self._plan(window, deadline, begun)
        log.info("draining", sessions=count, window=plan.window)
        forced = await self._close_all(plan, hurried)
        await self._flush(_HURRIED_FLUSH if hurried.is_set() else _FLUSH)
        await self._say_goodbye()
        self._metrics.drain_remaining.set(0)
        self._metrics.drain_seconds.observe(time.monotonic() - begun)
        log.info("drained", sessions=count, forced=forced)

    def _plan(self, window: float, deadline: float, begun: float) -> Plan:
        end = begun + deadline
        forced_at = end - min(_FORCED_BEFORE, deadline / 4)
        longest = max(0.0, forced_at - time.monotonic() - _LAST_ANSWERS)
        if window > longest:
            log.warning("drain_window_shortened", wanted=window, seconds=round(longest, 1))
        return Plan(
            window=min(window, longest),
            patience=self._settings.drain_patience,
            forced_at=forced_at,
            given_up_at=end - min(_GIVEN_UP_BEFORE, deadline / 8),
        )

    async def _close_all(self, plan: Plan, hurried: asyncio.Event) -> int:
        """Close every session, those too whose handshake was under way when the door closed.

        Returns: how many had to go before their turn or their answers.
        """
        forced = 0
        while sessions := [one for one in self._router.sessions if not one.closed]:
            closing = Drain(
                plan,
                rate=self._bearable,
                clock=SystemClock(),
                hurried=hurried,
                on_remaining=self._metrics.drain_remaining.set,
            )
            late = await closing.run(sessions)
            self._metrics.drain_forced.inc(late)
            forced += late
            plan = replace(plan, window=0.0)
        self._listener.refuse()
        return forced

    def _bearable(self) -> float:
        """Clients per second that the other streamers can take. One that knows of no other, as
        the last one of a small installation, assumes that somebody is there to take them."""
        return self._settings.max_reconnect_rate * max(1, self._reports.ready_others)

    async def _flush(self, seconds: float) -> None:
        """Wait until clients have got all and closed their side; then end the sockets."""
        try:
            async with asyncio.timeout(seconds):
                await self._router.wait_until_empty()
        except TimeoutError:
            log.info("clients_did_not_close", count=len(self._router.sessions))
            self._listener.cut()
            await self._listener.connections.emptied(_CUT)

    async def _say_goodbye(self) -> None:
        """Tell presence of all that were here, at once, and keep who they were."""
        await asyncio.gather(
            _tried("identities", self._identities.flush), _tried("presence", self._leave_presence)
        )

    async def _leave_presence(self) -> None:
        await self._presence.flush()
        # Only now: without its key presence would take everybody here for gone.
        await self._lease.end()


async def _tried(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """The last things a streamer says; what cannot be said is found out by time-outs."""
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await work()
    except (HubbubError, TimeoutError) as error:
        log.warning("goodbye_not_said", to=what, reason=type(error).__name__)
