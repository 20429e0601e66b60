"""The streamer's doors: the public port towards clients, NATS towards everybody else."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

from hubbub.bus import NatsBus
from hubbub.clock import SystemClock
from hubbub.contracts.account import Account
from hubbub.contracts.apps import Apps
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.event_log import APPS, EVERYONE, LOGGED, PRESENCE
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import Presence
from hubbub.contracts.push import Push
from hubbub.doors.methods import Services
from hubbub.errors import Unavailable
from hubbub.runtime import Process
from hubbub.runtime.process import NATS_PATIENCE
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.version import version
from services.ddp_streamer.activity import Activity
from services.ddp_streamer.audiences import Audiences, Patience
from services.ddp_streamer.closing import ResyncCloser
from services.ddp_streamer.control import Control, Sheddable
from services.ddp_streamer.departure import Departure
from services.ddp_streamer.drain import Drain, Plan
from services.ddp_streamer.explaining import Recall
from services.ddp_streamer.fanout import Fanout
from services.ddp_streamer.identities import Identities
from services.ddp_streamer.inspection import shown
from services.ddp_streamer.lease import InstanceLease
from services.ddp_streamer.listener import PublicListener
from services.ddp_streamer.login_pace import LoginPace
from services.ddp_streamer.logins import Logins
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.rates import RateLimiter, Rule
from services.ddp_streamer.recent import Recent
from services.ddp_streamer.relays import Relays
from services.ddp_streamer.reports import Load, Reports
from services.ddp_streamer.rights import Rights
from services.ddp_streamer.router import Router
from services.ddp_streamer.session import SessionLimits
from services.ddp_streamer.settings import StreamerSettings
from services.ddp_streamer.shedding import Shedding
from services.ddp_streamer.tasks import Tasks
from services.ddp_streamer.workspace import Workspace

log = get_logger(__name__)


def rules(settings: StreamerSettings) -> list[Rule]:
    """The rate limits, as set."""
    connection, user, address, method = "connection", "user", "address", "method"
    many = "send-many-messages"
    return [
        Rule("address", settings.rate_address, 60, frozenset({address})),
        Rule("user", settings.rate_user, 60, frozenset({user})),
        Rule("connection", settings.rate_connection, 60, frozenset({connection})),
        Rule("user_method", settings.rate_user_method, 10, frozenset({user, method}), subs=False),
        Rule(
            "connection_method",
            settings.rate_connection_method,
            10,
            frozenset({connection, method}),
            subs=False,
        ),
        Rule(
            "send_message",
            settings.rate_send_message,
            1,
            frozenset({user}),
            only="sendMessage",
            unless=many,
        ),
        Rule(
            "create_direct",
            settings.rate_create_direct,
            60,
            frozenset({user}),
            only="createDirectMessage",
            unless=many,
        ),
        Rule("login", settings.rate_login, 10, frozenset({connection}), only="login"),
    ]


class Streamer:
    """Everything one streamer consists of, joined together. Entered, it serves clients."""

    def __init__(
        self,
        bus: NatsBus,
        settings: StreamerSettings,
        metrics: StreamerMetrics,
        instance: str,
        *,
        healthy: Callable[[], bool] | None = None,
        on_death: Callable[[str], None] = lambda task: None,
        on_task_failed: Callable[[str], None] = lambda task: None,
    ) -> None:
        """
        Args:
            healthy: what `/health` on the public port answers; None: whether NATS is there.
            on_death: told of a task that has failed and that clients need.
            on_task_failed: told of every task that has failed.
        """
        self._bus = bus
        self._settings = settings
        self._metrics = metrics
        self._stack = AsyncExitStack()
        recent = Recent(settings.recent_events)
        self._tasks = Tasks(on_death, on_failure=on_task_failed)
        services = Services(
            account=bus.proxy(Account),
            authorization=bus.proxy(Authorization),
            messaging=bus.proxy(Messaging),
            pictures=bus.proxy(Pictures),
            presence=bus.proxy(Presence),
            push=bus.proxy(Push),
            apps=bus.proxy(Apps),
        )
        self.rights = Rights(
            services.authorization,
            room_seconds=settings.room_rights_seconds,
            permission_seconds=settings.permission_seconds,
        )
        self.fanout = Fanout(
            services.messaging,
            self.rights,
            metrics,
            tasks=self._tasks,
            max_watched=settings.max_watched_users,
            legacy_user_status=settings.legacy_user_status,
            recent=recent,
        )
        self.recall = Recall(recent, self.fanout.people)
        self.audiences = Audiences(
            bus.client,
            self.fanout,
            linger=settings.linger_seconds,
            patience=Patience(missing=settings.gap_deadline, unreachable=settings.log_patience),
            on_gap=metrics.gaps_detected.inc,
            on_recovery=metrics.recovery,
            on_filtered=metrics.filter,
            on_dropped=metrics.drop,
            on_death=on_death,
            on_task_failed=on_task_failed,
        )
        metrics.distinct_topics.set_function(lambda: len(self.audiences))
        self.presence = PresenceLink(services.presence, instance)
        self._lease = InstanceLease(
            bus.client,
            instance,
            self.presence.boot_id,
            replicas=settings.session_replicas,
            on_made=self.presence.announce_all,
        )
        self._identities = Identities(
            bus.client,
            instance,
            seconds=settings.session_resume_seconds,
            replicas=settings.session_replicas,
        )
        self._closer = ResyncCloser(window=settings.resync_window)
        self._pace = LoginPace(
            start=settings.logins_per_second,
            most=math.ceil(settings.max_connections * settings.hard_limit_ratio),
        )
        metrics.login_rate.set_function(lambda: self._pace.rate)
        metrics.logins_waiting.set_function(lambda: self._pace.waiting)
        self._shedding = Shedding(on_change=self.fanout.shed)
        metrics.shedding.set_function(lambda: self._shedding.level)
        self._workspace = Workspace(services.messaging)
        activity = Activity(
            self.rights,
            services.messaging,
            self._publish,
            self._workspace,
            now=time.monotonic,
            on_dropped=metrics.drop,
        )
        self._logins = Logins(
            services.account,
            self.fanout,
            self.audiences,
            self.presence,
            self._identities,
            metrics,
            tasks=self._tasks,
            hold_seconds=settings.login_hold_seconds,
            recent=recent,
            pace=self._pace,
        )
        self.router = Router(
            services,
            routes=self.audiences,
            fanout=self.fanout,
            rights=self.rights,
            logins=self._logins,
            presence=self.presence,
            activity=activity,
            relays=Relays(services.messaging, self._publish),
            workspace=self._workspace,
            closer=self._closer,
            limiter=RateLimiter(rules(settings)),
            metrics=metrics,
            tasks=self._tasks,
            limits=SessionLimits(
                max_queued=settings.max_queued, call_timeout=settings.call_timeout
            ),
            max_subscriptions=settings.max_subscriptions,
            recent=recent,
        )
        self.fanout.connect(self.audiences, self.router)
        self.listener = PublicListener(
            settings,
            metrics,
            self.router.open_session,
            healthy=healthy or (lambda: bus.connected),
            anonymous_may_stay=lambda: self._workspace.anonymous_read,
        )
        self.reports = Reports(
            bus.publish,
            self._load,
            instance=instance,
            pod=socket.gethostname(),
            version=version(),
            connected=lambda: bus.connected,
        )
        self._departure = Departure(
            self.listener,
            self.router,
            self.presence,
            self._identities,
            self._lease,
            self.reports,
            settings,
            metrics,
        )

    async def __aenter__(self) -> Streamer:
        """Follow what concerns everybody, then open the door.

        Raises: TimeoutError: that took longer than `open_timeout`.
        """
        try:
            async with asyncio.timeout(self._settings.open_timeout):
                await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        await self._stack.enter_async_context(self._tasks)
        self._stack.push_async_callback(self.rights.close)
        self._stack.push_async_callback(self.fanout.memberships.close)
        await self._stack.enter_async_context(self.audiences)
        self._bus.on_reconnect(self._on_reconnect)
        await self._follow_everybody()
        for listener in (self.presence, self.reports):
            await self._bus.listen(listener, service="ddp-streamer")
        await self._identities.listen(self._logins.taken)
        for name, work in (
            ("presence", self.presence.run()),
            ("identities", self._identities.run()),
            ("workspace", self._workspace.run()),
            ("fanout", self.fanout.run()),
            ("renew-identities", self._renew_identities()),
            ("lease", self._lease.run()),
            ("resync", self._closer.run()),
            ("login-pace", self._pace.run()),
            ("shedding", self._shedding.run()),
        ):
            self._tasks.spawn(work, name, vital=True)
        self.router.start()
        await self._stack.enter_async_context(self.listener)
        self._tasks.spawn(self.reports.run(), "reports", vital=True)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def connections(self) -> Iterator[dict[str, Any]]:
        """The open sockets, for those who look for a fault."""
        return shown(self.router.sessions)

    def shed(self, sessions: list[Sheddable]) -> None:
        """Close these soon: their clients come back, most of them elsewhere."""
        rate = self._settings.max_reconnect_rate
        plan = Plan(window=len(sessions) / rate, patience=self._settings.drain_patience)
        closing = Drain(plan, rate=lambda: rate, clock=SystemClock(), cause="rebalance")

        async def close() -> None:
            await closing.run(sessions)

        self._tasks.spawn(close(), "shed")

    async def drain(
        self, window: float, *, hurried: asyncio.Event | None = None, deadline: float = 85.0
    ) -> None:
        """Stop accepting, send every client elsewhere, tell presence. See `Departure.run`."""
        await self._departure.run(window, hurried or asyncio.Event(), deadline)

    def _load(self) -> Load:
        return Load(
            connections=len(self.listener.connections),
            connection_limit=self._settings.max_connections,
            delivered=self._metrics.delivered,
            draining=self._departure.begun,
        )

    async def _follow_everybody(self) -> None:
        """These are held as long as the streamer lives: nearly every client needs them."""
        while True:
            try:
                await self.audiences.acquire([EVERYONE, LOGGED, PRESENCE, APPS])
            except Unavailable:
                log.warning("waiting_for_routes")
            else:
                return

    def _on_reconnect(self) -> None:
        self.audiences.doubt("nats came back")
        self.presence.announce_all()

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        # What is never stored is not kept for later either.
        if self._bus.connected:
            await self._bus.client.publish(subject, payload, headers=headers)

    async def _renew_identities(self) -> None:
        while self._settings.session_resume_seconds > 0:
            await self._identities.renew(self.router.sessions)


class VitalTaskDied(Exception):
    """A task has ended without which a streamer hears or does not do everything."""


async def run(process: Process) -> None:
    """Serve clients until the process is asked to stop; then drain.

    Raises:
        VitalTaskDied: clients have been sent elsewhere; whoever started this starts a whole one.
    """
    settings = load(StreamerSettings)
    metrics = StreamerMetrics(process.registry)
    health = process.health
    dead: list[str] = []

    def on_death(task: str) -> None:
        dead.append(task)
        health.died(task)
        log.error("vital_task_died", task=task)
        # Their clients may have missed something by now, as when events are lost.
        window = min(settings.drain_window, settings.resync_window)
        process.stop("the death of a vital task", window=window)

    await _serve(process, settings, metrics, on_death)
    if dead:
        raise VitalTaskDied(", ".join(dead))


async def _serve(
    process: Process,
    settings: StreamerSettings,
    metrics: StreamerMetrics,
    on_death: Callable[[str], None],
) -> None:
    health = process.health
    async with process.bus(decides_readiness=False) as bus, AsyncExitStack() as stack:
        streamer = Streamer(
            bus,
            settings,
            metrics,
            process.instance,
            healthy=lambda: health.is_ready,
            on_death=on_death,
            on_task_failed=process.metrics.task_failed,
        )
        if not await _begun(stack, streamer, process.stopping):
            return
        process.hurry_limit = None  # the drain shortens itself
        process.connections = streamer.connections
        # Without NATS a client is better off elsewhere, if there is anybody else.
        health.check(
            "nats",
            lambda: None if bus.connected else "disconnected",
            affects_readiness=lambda: streamer.reports.ready_others > 0,
            patience=NATS_PATIENCE,
        )
        health.check(
            "event_log", lambda: "no watermark of a hub" if streamer.audiences.stale else None
        )
        control = Control(
            begin_drain=lambda window: process.stop("operator", window=window),
            is_draining=process.stopping.is_set,
            sessions=lambda: list(streamer.router.sessions),
            close=streamer.shed,
        )
        await bus.serve(control, group=False)
        await bus.serve(streamer.recall, group=False)
        health.ready()
        log.info("serving", port=streamer.listener.port)
        await process.stopping.wait()
        window = process.drain_window
        await streamer.drain(
            settings.drain_window if window is None else window,
            hurried=process.hurried,
            deadline=process.drain_deadline,
        )
        health.closed()


async def _begun(stack: AsyncExitStack, streamer: Streamer, stopping: asyncio.Event) -> bool:
    """Enter `streamer`, which waits for the event log; False when it is to stop before."""
    entering = asyncio.create_task(stack.enter_async_context(streamer), name="begin")
    stop = asyncio.create_task(stopping.wait(), name="stop")
    try:
        await asyncio.wait({entering, stop}, return_when=asyncio.FIRST_COMPLETED)
        if entering.done():
            entering.result()
            return True
        return False
    finally:
        for task in (entering, stop):
            task.cancel()
        await asyncio.gather(entering, stop, return_exceptions=True)
