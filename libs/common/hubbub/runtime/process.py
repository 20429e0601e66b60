"""What a service gets to live with: its name, its end, its health, its bus, its database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from hubbub.runtime.health import Health
from hubbub.runtime.verbosity import Verbosity
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.metrics import ProcessMetrics, new_registry

if TYPE_CHECKING:
    # A service that needs no database must not load the driver, nor the other way round.
    from hubbub import mongo
    from hubbub.bus import NatsBus
    from hubbub.migration.steps import Expand
    from hubbub.mongo import Database

log = get_logger(__name__)

HURRY = 2.0
"""Seconds that are left of a drain after the second signal."""
NATS_PATIENCE = 30.0
"""Seconds without NATS after which another instance is the better one to ask."""

_SCHEMA_PAUSE = 1.0  # seconds between two looks at the schema
_COMPLAINT_PAUSE = 10.0  # seconds between two lines about the same missing server
_SUFFIX_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Stopped(Exception):
    """The process was asked to stop while it was still waiting for a server to appear."""


class CannotStart(Exception):
    """The process cannot do its work; the text says why and needs no traceback."""


class Process:
    """One running service. Made by `run_process`; tests may make their own."""

    def __init__(self, name: str, *, registry: CollectorRegistry | None = None) -> None:
        self.name = name
        suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(4))
        self.instance = f"{name}-{suffix}"
        """Unique per start of a process."""
        self.stopping = asyncio.Event()
        """Set when the drain begins: by the first SIGTERM or SIGINT, or by whoever may ask."""
        self.hurried = asyncio.Event()
        """Set by the second signal: whoever asked wants to wait no longer. A third one cancels
        the service."""
        self.hurry_limit: float | None = HURRY
        """Seconds the service gets after the second signal before it is cancelled. None, for a
        service that shortens its own drain: until the drain deadline."""
        self.drain_window: float | None = None
        """Seconds over which whoever asked for the drain wants it spread; None: as set."""
        self.drain_deadline = 85.0
        """Seconds from the beginning of the drain to the cancellation of the service."""
        self.verbosity = Verbosity()
        """How much this process logs."""
        self.connections: Callable[[], Iterable[dict[str, Any]]] | None = None
        """What `/debug/connections` shows, if the service has any. Nothing secret."""
        self.registry = registry if registry is not None else new_registry()
        self.metrics = ProcessMetrics(self.registry, component=name)
        self.health = Health(self.metrics, stopping=self.stopping)

    def stop(self, by: str, *, window: float | None = None) -> bool:
        """Begin the drain. `by` says in the log who asked.

        Args:
            window: seconds to spread it over, for a service that spreads it; None: as set.

        Returns: False when it has begun before; nothing changes then.
        """
        if self.stopping.is_set():
            return False
        self.drain_window = window
        if window is None:
            log.info("stopping", by=by)
        else:
            log.info("stopping", by=by, window=window)
        self.stopping.set()
        return True

    @asynccontextmanager
    async def bus(self, *, decides_readiness: bool = True) -> AsyncIterator[NatsBus]:
        """A connected bus; drained and closed at exit.

        Waits for NATS as long as it takes and says so every ten seconds. A connection that is
        lost for `NATS_PATIENCE` seconds makes a service unready that only answers on the bus;
        one with a door of its own (`decides_readiness=False`) stays, and says no by itself.

        Raises:
            Stopped: the process was asked to stop before NATS answered.
        """
        from hubbub.bus import BusSettings, NatsBus

        bus = NatsBus(
            load(BusSettings), service=self.name, instance=self.instance, registry=self.registry
        )
        try:
            await self._unless_stopped(bus.connect())
            self.health.check(
                "nats",
                lambda: None if bus.connected else "disconnected",
                affects_readiness=decides_readiness,
                patience=NATS_PATIENCE,
            )
            yield bus
            await bus.drain()
        finally:
            await bus.close()

    @asynccontextmanager
    async def mongo(self, *, for_tail: bool = False) -> AsyncIterator[mongo.Database]:
        """The database, with majority and journal options; its client is closed at exit.

        `for_tail` gives the client that reads change streams: see `hubbub.mongo.connect_hub`.

        Waits for MongoDB as long as it takes and says so every ten seconds.

        Raises:
            CannotStart: MongoDB answers, but is not a replica set.
            Stopped: the process was asked to stop before MongoDB answered.
        """
        from hubbub import mongo

        settings = load(mongo.MongoSettings)
        connect = mongo.connect_hub if for_tail else mongo.connect
        client = connect(settings, app_name=self.instance, registry=self.registry)
        try:
            await self._found("mongo", settings.shown_url, lambda: mongo.check(client))

            async def ping() -> None:
                await client.admin.command("ping")

            self.health.check("mongo", ping)
            yield mongo.database_of(client)
        finally:
            await client.close()

    async def schema(self, database: Database, expand: Expand | None = None) -> None:
        """The database has what the service needs when this returns.

        `HUBBUB_SCHEMA_AT_START` says whether the service makes it, or waits as long as it takes
        for `hubbub migrate expand`, not started meanwhile.

        Args:
            expand: makes what this service lacks; None: it needs what others make.

        Raises:
            CannotStart: what this version needs was removed from the database.
            Stopped: the process was asked to stop before the database was ready.
        """
        from hubbub import mongo
        from hubbub.migration import version
        from hubbub.migration.settings import SchemaSettings

        wait = load(SchemaSettings).at_start == "wait"
        told: version.Version | None = None
        loop = asyncio.get_running_loop()
        complained_at = -_COMPLAINT_PAUSE
        while True:
            found = None
            try:
                found = await version.read(database)
            except mongo.Unreachable as error:  # or it does not let this user read it
                if loop.time() - complained_at >= _COMPLAINT_PAUSE:
                    complained_at = loop.time()
                    log.warning("schema_unreadable", err=type(error).__name__, reason=str(error))
            if found is not None:
                if found.is_beyond:
                    raise CannotStart(found.beyond())
                if found.is_ready or not wait:
                    break
                if told is None:
                    log.warning(
                        "waiting_for_schema",
                        found=found.expanded,
                        needed=version.NEEDED,
                        command="hubbub migrate expand",
                    )
                    told = found
                    self.health.not_ready("waiting for the schema")
            await self._unless_stopped(asyncio.sleep(_SCHEMA_PAUSE))
        if told is not None:
            log.info("schema_ready", found=found.expanded)
        if expand is not None and not wait:
            await expand(database)

    async def _found(self, name: str, url: str, attempt: Callable[[], Awaitable[object]]) -> None:
        """Try until a server answers."""
        from hubbub import mongo

        loop = asyncio.get_running_loop()
        complained_at = -_COMPLAINT_PAUSE
        while True:
            try:
                return await self._unless_stopped(attempt())
            except mongo.UnusableDatabase as error:
                raise CannotStart(f"{error} (asked: {url})") from None
            except mongo.Unreachable as error:
                if loop.time() - complained_at >= _COMPLAINT_PAUSE:
                    complained_at = loop.time()
                    log.warning("waiting_for_server", server=name, url=url, reason=str(error))
            await self._unless_stopped(asyncio.sleep(0.5))

    async def _unless_stopped(self, waiting: Awaitable[object]) -> None:
        """Wait, but not beyond the wish to stop. Raises: Stopped."""
        work = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Stopped
            work.result()
        finally:
            for task in (work, stop):
                if not task.done():
                    task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
