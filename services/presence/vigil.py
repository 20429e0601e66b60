"""Ends the connections of streamers that are gone.

Each streamer renews one key of a NATS bucket every few seconds; a renewal is an ordinary message
that every replica of this service hears. Whoever has been silent for a lease's time, and whose
key is gone too, is gone. While this replica cannot hear, nobody is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from hubbub.clock import Clock
from hubbub.errors import HubbubError
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.presence.instances import Heard, Instances
from services.presence.metrics import PresenceMetrics
from services.presence.settings import PresenceSettings
from services.presence.store.sessions import MongoSessionStore
from services.presence.store.users import MongoUserStore

log = get_logger(__name__)

_PAUSE = 1.0  # seconds between two looks
_KNOWN_INTERVAL = 5.0  # seconds between two looks at which streamers have connections
_STALE_INTERVAL = 60.0
_RECONCILE = "presence-reconcile"


class Leases(Protocol):
    """The bucket with one key per streamer."""

    @property
    def can_hear(self) -> bool:
        """Whether renewals reach us."""
        ...

    async def is_held(self, name: str) -> bool | None:
        """Whether a streamer's key is there; None: unknown."""
        ...


class Vigil:
    """Watches over streamers; `run` is its task."""

    def __init__(
        self,
        sessions: MongoSessionStore,
        users: MongoUserStore,
        leases: Leases,
        *,
        ask_all: Callable[[], Awaitable[None]],
        on_ended: Callable[[], None],
        now: Callable[[], datetime],
        clock: Clock,
        settings: PresenceSettings,
        metrics: PresenceMetrics,
    ) -> None:
        """
        Args:
            ask_all: asks every streamer to announce its connections.
            on_ended: called when users may be due because connections ended.
        """
        self._sessions = sessions
        self._users = users
        self._leases = leases
        self._ask_all = ask_all
        self._on_ended = on_ended
        self._now = now
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._instances = Instances(
            clock.monotonic(), lease=settings.instance_lease, observation=settings.observation
        )
        self._rebooted: dict[str, str] = {}  # streamer → its present boot id
        self._must_ask = True
        self._strays_adopted = False
        self._next_known = self._next_stale = self._next_survey = 0.0

    def heard(self, name: str, boot_id: str) -> None:
        """A streamer renewed its key."""
        match self._instances.heard(name, boot_id, self._clock.monotonic()):
            case Heard.REBOOTED:
                self._rebooted[name] = boot_id
            case Heard.RETURNED:
                self._must_ask = True
            case Heard.NEW | Heard.AS_BEFORE:
                return

    def noticed(self, name: str) -> None:
        """A streamer told of a connection."""
        self._instances.noticed(name, self._clock.monotonic())

    def observe_anew(self) -> None:
        """Something may have been missed: give everybody time, and ask."""
        self._instances.observe_anew(self._clock.monotonic())
        self._must_ask = True

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            await self.look()
            heed_cancellation()
            await self._clock.sleep(_PAUSE)

    async def look(self) -> None:
        """One look at everything."""
        if not self._leases.can_hear:
            self.observe_anew()
            return
        try:
            await self._look()
        except HubbubError as error:
            # What streamers told meanwhile may not have been stored.
            log.warning("presence_vigil_interrupted", reason=type(error).__name__)
            self.observe_anew()

    async def _look(self) -> None:
        now = self._clock.monotonic()
        await self._ask_if_due()
        for name, boot_id in list(self._rebooted.items()):
            await self._end(name, except_boot=boot_id)
            self._rebooted.pop(name, None)
        if now >= self._next_known:
            self._next_known = now + _KNOWN_INTERVAL
            for name in await self._sessions.stored_instances():
                self._instances.noticed(name, now)
        for name in self._instances.silent(now):
            if await self._leases.is_held(name) is False:
                await self._end(name)
                self._instances.declare_gone(name)
        if not self._instances.is_observing(now):
            await self._tidy(now)
        if now >= self._next_survey:
            self._next_survey = now + self._settings.survey_interval
            counts = await self._users.count_present()
            self._metrics.counted(counts, await self._sessions.count_connections())

    async def _ask_if_due(self) -> None:
        interval = timedelta(seconds=self._settings.reconcile_interval)
        is_turn = await self._sessions.claim_turn(_RECONCILE, self._now(), interval)
        if is_turn or self._must_ask:
            self._must_ask = False
            await self._ask_all()

    async def _end(self, name: str, *, except_boot: str | None = None) -> None:
        users = await self._sessions.end_instance(name, self._now(), except_boot=except_boot)
        reason = "rebooted" if except_boot else "lost"
        log.info("instance_ended", name=name, reason=reason, users=users)
        self._metrics.reaped.inc(users)
        self._on_ended()

    async def _tidy(self, now: float) -> None:
        if not self._strays_adopted:
            strays = await self._sessions.adopt_strays(self._now(), self._settings.batch)
            self._strays_adopted = True
            if strays:
                log.info("strays_adopted", users=strays)
                self._on_ended()
        if now >= self._next_stale:
            self._next_stale = now + _STALE_INTERVAL
            before = self._now() - timedelta(seconds=self._settings.stale_after)
            while users := await self._sessions.end_stale(
                before, self._now(), self._settings.batch
            ):
                self._metrics.reaped.inc(users)
                self._on_ended()
