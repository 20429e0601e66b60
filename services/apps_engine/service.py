"""The doors of the apps engine, and its life."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from prometheus_client import CollectorRegistry

from hubbub.audit import Auditor, Publish
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import Account
from hubbub.contracts.apps import (
    App,
    AppInvocation,
    AppNotFound,
    Apps,
    AppsChanged,
    Chunk,
    EndpointAnswer,
    EndpointRequest,
    LogLine,
    Offers,
    Verdict,
)
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Document
from hubbub.contracts.events import MembershipChanged
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError, LacksPermission
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.tasks import owned
from hubbub.telemetry.log import get_logger
from services.apps_engine.asking import Asking
from services.apps_engine.bot_rooms import BotRooms
from services.apps_engine.bridge import Bridge, Surroundings
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.deliveries import Deliveries
from services.apps_engine.domain.addresses import networks_of
from services.apps_engine.domain.boundaries import Boundary
from services.apps_engine.egress import Egress
from services.apps_engine.herald import Herald
from services.apps_engine.hooks import Hooks
from services.apps_engine.keeper import Keeper
from services.apps_engine.lives import Lives, Supervise
from services.apps_engine.log_reader import LogReader
from services.apps_engine.logbook import Logbook
from services.apps_engine.metrics import AppsMetrics, SendingMetrics, WebhookMetrics
from services.apps_engine.migration import expand
from services.apps_engine.packages_brought import Packages
from services.apps_engine.processes import Bounding
from services.apps_engine.provisioning import ProvisioningDoors
from services.apps_engine.scheduler import Scheduler
from services.apps_engine.settings import AppsSettings
from services.apps_engine.store import AppsStore
from services.apps_engine.supervisor import Listener, Patience, Supervisor
from services.apps_engine.webhooks.integrations import IntegrationDoors, Integrations
from services.apps_engine.whisper import Whisper

log = get_logger(__name__)

MANAGE = "manage-apps"
_LINES = 1000  # of the log of an app, in one answer


class AppsService(IntegrationDoors, Apps):
    """Other people's programs, and what they may do here. `running` is its life."""

    def __init__(
        self,
        database: Database,
        client: Client,
        *,
        account: Account,
        authorization: Authorization,
        messaging: Messaging,
        publish: Publish,
        settings: AppsSettings,
        folder: Path,
        registry: CollectorRegistry | None = None,
        clock: Clock | None = None,
        supervise: Supervise | None = None,
    ) -> None:
        """
        Args:
            client: where the log is read, and whispers go.
            publish: tells other services what happened.
            folder: where packages are unpacked.
            supervise: makes what keeps an app running; None: a process of its own.
        """
        self._authorization = authorization
        self._publish = publish
        self._clock = clock or SystemClock()
        self._bounding = Bounding(required=frozenset(map(Boundary, settings.require)))
        self._store = AppsStore(database)
        self._auditor = Auditor(publish, self._clock)
        self._packages = Packages(self._store.packages, self._now, keep=settings.package_keep)
        self.logbook = Logbook(self._store.logs, self._now, keep=settings.log_keep)
        self._scheduler = Scheduler(
            self._store.jobs, lambda: self._lives.running(), clock=self._clock, now=self._now
        )
        egress = Egress(networks_of(settings.allowed_networks))
        sending = SendingMetrics(registry)
        self.integrations = Integrations(
            database,
            account=account,
            authorization=authorization,
            messaging=messaging,
            egress=egress,
            metrics=WebhookMetrics(registry),
            sent=sending.by_webhook,
            auditor=self._auditor,
            clock=self._clock,
        )
        around = Surroundings(
            messaging=messaging,
            account=account,
            authorization=authorization,
            whisper=Whisper(client),
            store=self._store,
            settings=settings,
            clock=self._clock,
            logbook=self.logbook,
            planned=self._scheduler.planned,
            egress=egress,
            sent=sending.by_app,
        )
        self._rooms = BotRooms(messaging, self._clock)
        self._deliveries = Deliveries(
            lambda: self._lives.running(),
            self._rooms,
            account,
            self._clock,
            settings.events_waiting,
        )
        self._deliveries.also(self.integrations.wanted, self.integrations.on_event)
        self._reader = LogReader(client, self._deliveries.wanted, self._deliveries.handle)
        self._herald = Herald(client)
        self._lives = Lives(
            around,
            supervise or self._supervised,
            announce=self._announce,
            ended=self._deliveries.ended,
            herald=self._herald,
            auditor=self._auditor,
            metrics=AppsMetrics(registry),
            settings=settings,
            folder=folder,
        )
        self._keeper = Keeper(around, self._lives, self._herald, settings, folder)
        self.provisioning = ProvisioningDoors(
            self._keeper, self._packages, self._store.apps, self._auditor
        )
        self._hooks = Hooks(self._lives.running, self._rooms, self._clock, self.logbook.write)
        self._asking = Asking(self._lives.running, authorization, messaging)
        self._offered = Offers()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep apps running, bring them events and wake them for their jobs, while the context
        lasts; at its end they are ended."""
        async with owned(self.logbook.run()):
            try:
                await self._keeper.start_all()
                async with owned(
                    self._scheduler.run(),
                    self._reader.run(),
                    self._deliveries.watch(self._reader.look_again),
                    self.integrations.run(),
                ):
                    yield
            finally:
                await self._deliveries.close()
                await self._rooms.close()
                await self._lives.close()
                try:
                    await self.logbook.flush()
                except HubbubError:
                    log.warning("app_logs_lost")

    def unconfined(self) -> str | None:
        """What is shown beside this process: what running apps are not kept from."""
        return self._lives.unconfined()

    def look_again(self) -> None:
        """The connection to NATS came back."""
        self._reader.look_again()

    # -- life of an app

    async def begin_package(self, user_id: UserId) -> str:
        """See the contract."""
        await self._require(user_id)
        return await self._packages.begin(user_id)

    async def add_to_package(self, user_id: UserId, package_id: str, chunk: Chunk) -> None:
        """See the contract."""
        await self._require(user_id)
        await self._packages.add(user_id, package_id, chunk)

    async def install(
        self,
        user_id: UserId,
        package_id: str,
        permissions: list[str],
        settings: dict[str, Any] | None = None,
        enable: bool = True,
    ) -> App:
        """See the contract."""
        await self._require(user_id)
        data = await self._packages.whole(user_id, package_id)
        app = await self._keeper.install(
            user_id, data, package_id, granted=permissions, settings=settings or {}, enable=enable
        )
        await self._auditor.tell(
            "app.installed",
            actor=user_id,
            target=app.id,
            version=app.version,
            permissions=app.permissions,
        )
        return app

    async def enable(self, user_id: UserId, app_id: str) -> App:
        """See the contract."""
        await self._require(user_id)
        app = await self._keeper.enable(app_id)
        await self._auditor.tell("app.enabled", actor=user_id, target=app_id)
        return app

    async def disable(self, user_id: UserId, app_id: str) -> App:
        """See the contract."""
        await self._require(user_id)
        app = await self._keeper.disable(app_id)
        await self._auditor.tell("app.disabled", actor=user_id, target=app_id)
        return app

    async def update_settings(self, user_id: UserId, app_id: str, settings: dict[str, Any]) -> App:
        """See the contract."""
        await self._require(user_id)
        app = await self._keeper.update_settings(app_id, settings)
        names = sorted(settings)
        await self._auditor.tell("app.configured", actor=user_id, target=app_id, settings=names)
        return app

    async def remove(self, user_id: UserId, app_id: str) -> None:
        """See the contract."""
        await self._require(user_id)
        await self._keeper.remove(app_id)
        await self._auditor.tell("app.removed", actor=user_id, target=app_id)

    async def list_apps(self, user_id: UserId) -> list[App]:
        """See the contract."""
        await self._require(user_id)
        apps = [self._keeper.completed(app) for app in await self._store.apps.all()]
        return sorted(apps, key=lambda app: (app.name.casefold(), app.id))

    async def app(self, user_id: UserId, app_id: str) -> App:
        """See the contract."""
        await self._require(user_id)
        return await self._keeper.view(app_id)

    async def logs(self, user_id: UserId, app_id: str, count: int = 100) -> list[LogLine]:
        """See the contract."""
        await self._require(user_id)
        if await self._store.apps.one(app_id) is None:
            raise AppNotFound
        await self.logbook.flush()
        return await self._store.logs.last(app_id, max(1, min(count, _LINES)))

    # -- what apps offer

    async def offers(self) -> Offers:
        """See the contract."""
        return self._lives.offers()

    async def run_app_command(self, user_id: UserId, invocation: AppInvocation) -> None:
        """See the contract."""
        await self._asking.run_command(user_id, invocation)

    async def before_message(self, message: Document) -> Verdict:
        """See the contract."""
        return await self._hooks.before_message(message)

    async def serve_endpoint(self, app_id: str, request: EndpointRequest) -> EndpointAnswer:
        """See the contract."""
        return await self._asking.serve_endpoint(app_id, request)

    @listen(MembershipChanged, to="all")
    async def on_membership_changed(self, event: MembershipChanged) -> None:
        """An app may hear of other rooms than before, and judge what is said there."""
        self._rooms.forget(event.user_id)

    async def _announce(self) -> None:
        self._reader.look_again()
        offers = self._lives.offers()
        if offers == self._offered:
            return
        self._offered = offers
        try:
            await self._publish(AppsChanged(offers=offers))
        except HubbubError as error:
            # Whoever keeps a copy asks for it again after a while.
            log.warning("offers_not_told", code=str(error.code))
        # As they are by now, so that of two changes the later one is told last.
        await self._herald.commands(self._lives.offers().commands, self._lives.installed)

    def _supervised(self, plan: Plan, start: Any, bridge: Bridge, listener: Listener) -> Supervisor:
        return Supervisor(
            plan,
            start,
            bridge,
            listener,
            bounding=self._bounding,
            patience=Patience(),
            clock=self._clock,
        )

    async def _require(self, user_id: UserId) -> None:
        if not await self._authorization.has_permission(user_id, MANAGE):
            raise LacksPermission

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC)


@asynccontextmanager
async def unpacking(settings: AppsSettings) -> AsyncIterator[Path]:
    """The folder for packages. One of ours is removed at the end."""
    if settings.folder:
        yield Path(settings.folder)
        return
    with tempfile.TemporaryDirectory(prefix="hubbub-apps-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # Apps have users of their own, and have to find what is theirs in it.
        await asyncio.to_thread(folder.chmod, 0o711)
        yield folder


async def run(process: Process) -> None:
    """Serve apps until the process is asked to stop."""
    settings = load(AppsSettings)
    async with (
        unpacking(settings) as folder,
        process.mongo() as database,
        process.bus() as bus,
    ):
        service = AppsService(
            database,
            bus.client,
            account=bus.proxy(Account),
            authorization=bus.proxy(Authorization),
            messaging=bus.proxy(Messaging),
            publish=bus.publish,
            settings=settings,
            folder=folder,
            registry=process.registry,
        )
        await process.schema(database, expand)
        bus.on_reconnect(service.look_again)
        async with service.running():
            await bus.serve(service)
            await bus.serve(service.provisioning)
            process.health.check("confinement", service.unconfined)
            process.health.ready()
            log.info("service_ready", installed=settings.installed)
            await process.stopping.wait()
            await bus.drain()
