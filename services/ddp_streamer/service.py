"""The streamer's doors: the public port towards clients, NATS towards everybody else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from hubbub.bus import NatsBus
from hubbub.contracts.account import Account
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.event_log import EVERYONE, LOGGED, PRESENCE
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import Presence
from hubbub.contracts.push import Push
from hubbub.doors.methods import Services
from hubbub.errors import Unavailable
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.activity import Activity
from services.ddp_streamer.audiences import Audiences, Patience
from services.ddp_streamer.closing import ResyncCloser, drain
from services.ddp_streamer.fanout import Fanout
from services.ddp_streamer.identities import Identities
from services.ddp_streamer.lease import InstanceLease
from services.ddp_streamer.listener import PublicListener
from services.ddp_streamer.logins import Logins
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.rates import RateLimiter, Rule
from services.ddp_streamer.relays import Relays
from services.ddp_streamer.rights import Rights
from services.ddp_streamer.router import Router
from services.ddp_streamer.session import SessionLimits
from services.ddp_streamer.settings import StreamerSettings
from services.ddp_streamer.tasks import Tasks
from services.ddp_streamer.workspace import Workspace

log = get_logger(__name__)

_SECOND = 1.0
_LAST_WORDS = 3.0  # seconds for telling presence at the end


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
        self, bus: NatsBus, settings: StreamerSettings, metrics: StreamerMetrics, instance: str
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._metrics = metrics
        self._stack = AsyncExitStack()
        self._tasks = Tasks()
        services = Services(
            account=bus.proxy(Account),
            authorization=bus.proxy(Authorization),
            messaging=bus.proxy(Messaging),
            pictures=bus.proxy(Pictures),
            presence=bus.proxy(Presence),
            push=bus.proxy(Push),
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
        )
        self.audiences = Audiences(
            bus.client,
            self.fanout,
            linger=settings.linger_seconds,
            patience=Patience(missing=settings.gap_deadline, unreachable=settings.log_patience),
            on_gap=metrics.gaps_detected.inc,
            on_stale_epoch=metrics.filtered.labels("stale_epoch").inc,
        )
        self.presence = PresenceLink(services.presence, instance)
        self._lease = InstanceLease(bus.client, instance, self.presence.boot_id)
        self._identities = Identities(
            bus.client,
            instance,
            seconds=settings.session_resume_seconds,
            replicas=settings.session_replicas,
        )
        self._closer = ResyncCloser(window=settings.resync_window)
        self._workspace = Workspace(services.messaging)
        activity = Activity(
            self.rights,
            services.messaging,
            self._publish,
            self._workspace,
            now=time.monotonic,
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
        )
        self.fanout.connect(self.audiences, self.router)
        self.listener = PublicListener(
            settings,
            metrics,
            self.router.open_session,
            healthy=lambda: bus.connected,
            anonymous_may_stay=lambda: self._workspace.anonymous_read,
        )

    async def __aenter__(self) -> Streamer:
        """Follow what concerns everybody, then open the door."""
        try:
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
        await self._bus.listen(self.presence, service="ddp-streamer")
        await self._identities.listen(self._logins.taken)
        self._tasks.spawn(self.presence.run(), "presence")
        self._tasks.spawn(self._identities.run(), "identities")
        self._tasks.spawn(self._workspace.run(), "workspace")
        self._tasks.spawn(self.fanout.run(), "fanout")
        self.router.start()
        self._tasks.spawn(self._renew_identities(), "renew-identities")
        self._tasks.spawn(self._lease.run(), "lease")
        self._tasks.spawn(self._closer.run(), "resync")
        self._tasks.spawn(self._count(), "count")
        await self._stack.enter_async_context(self.listener)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def drain(self, window: float) -> None:
        """Stop accepting, send every client elsewhere, tell presence."""
        settings, metrics = self._settings, self._metrics
        begun = time.monotonic()
        await asyncio.sleep(settings.drain_delay)
        self.listener.stop_accepting()
        sessions = list(self.router.sessions)
        metrics.drain_remaining.set(len(sessions))
        forced = await drain(sessions, window=window, patience=settings.drain_patience)
        late = list(self.router.sessions)
        if late:  # handshakes that were under way when the door was closed
            forced += await drain(late, window=0.0, patience=_SECOND)
        try:
            async with asyncio.timeout(settings.close_timeout + _SECOND):
                await self.router.wait_until_empty()
        except TimeoutError:
            log.warning("clients_did_not_close", count=len(self.router.sessions))
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._identities.flush()
                await self.presence.flush()
                await self._lease.end()
        except (Unavailable, TimeoutError) as error:
            log.warning("presence_not_told", reason=type(error).__name__)
        metrics.drain_forced.inc(forced)
        metrics.drain_remaining.set(0)
        metrics.drain_seconds.observe(time.monotonic() - begun)
        log.info("drained", sessions=len(sessions), forced=forced)

    async def _follow_everybody(self) -> None:
        """These are held as long as the streamer lives: nearly every client needs them."""
        while True:
            try:
                await self.audiences.acquire([EVERYONE, LOGGED, PRESENCE])
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

    async def _count(self) -> None:
        while True:
            self._metrics.distinct_topics.set(len(self.audiences))
            await asyncio.sleep(_SECOND)


async def run(process: Process) -> None:
    """Serve clients until the process is asked to stop; then drain."""
    settings = load(StreamerSettings)
    metrics = StreamerMetrics(process.registry)
    async with process.bus() as bus, AsyncExitStack() as stack:
        streamer = Streamer(bus, settings, metrics, process.instance)
        if not await _begun(stack, streamer, process.stopping):
            return
        process.health.check(
            "event_log", lambda: "no watermark of a hub" if streamer.audiences.stale else None
        )
        process.health.ready()
        log.info("serving", port=streamer.listener.port)
        await process.stopping.wait()
        window = process.drain_window
        await streamer.drain(settings.drain_window if window is None else window)


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
