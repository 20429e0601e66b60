"""The doors of the apps engine, and its life."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import Account
from hubbub.contracts.apps import App, AppNotFound, Apps, Chunk, LogLine, Offers
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messaging import Messaging
from hubbub.errors import LacksPermission
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.tasks import owned
from hubbub.telemetry.log import get_logger
from services.apps_engine.domain import records
from services.apps_engine.domain.addresses import networks_of
from services.apps_engine.egress import Egress
from services.apps_engine.metrics import AppsMetrics
from services.apps_engine.migration import expand
from services.apps_engine.packages_brought import Packages
from services.apps_engine.settings import AppsSettings
from services.apps_engine.store import AppsStore
from services.apps_engine.webhooks.integrations import IntegrationDoors, Integrations

log = get_logger(__name__)

MANAGE = "manage-apps"
_LINES = 1000  # of the log of an app, in one answer


class AppsService(IntegrationDoors, Apps):
    """Other people's programs, and what they may do here."""

    def __init__(
        self,
        database: Database,
        *,
        account: Account,
        authorization: Authorization,
        messaging: Messaging,
        settings: AppsSettings,
        metrics: AppsMetrics,
        clock: Clock | None = None,
    ) -> None:
        self._store = AppsStore(database)
        self._authorization = authorization
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self.egress = Egress(networks_of(settings.allowed_networks))
        self.integrations = Integrations(
            database,
            account=account,
            authorization=authorization,
            messaging=messaging,
            egress=self.egress,
            clock=self._clock,
        )
        self._packages = Packages(self._store.packages, self._now, keep=settings.package_keep)

    async def prepare(self) -> None:
        """Look at what is installed."""
        apps = [records.shown(app) for app in await self._store.apps.all()]
        self._metrics.counted(Counter(app.status for app in apps))

    async def begin_package(self, user_id: UserId) -> str:
        """See the contract."""
        await self._require(user_id)
        return await self._packages.begin(user_id)

    async def add_to_package(self, user_id: UserId, package_id: str, chunk: Chunk) -> None:
        """See the contract."""
        await self._require(user_id)
        await self._packages.add(user_id, package_id, chunk)

    async def list_apps(self, user_id: UserId) -> list[App]:
        """See the contract."""
        await self._require(user_id)
        apps = [records.shown(app) for app in await self._store.apps.all()]
        return sorted(apps, key=lambda app: (app.name.casefold(), app.id))

    async def app(self, user_id: UserId, app_id: str) -> App:
        """See the contract."""
        await self._require(user_id)
        found = await self._store.apps.one(app_id)
        if found is None:
            raise AppNotFound
        return records.shown(found)

    async def logs(self, user_id: UserId, app_id: str, count: int = 100) -> list[LogLine]:
        """See the contract."""
        await self._require(user_id)
        if await self._store.apps.one(app_id) is None:
            raise AppNotFound
        return await self._store.logs.last(app_id, max(1, min(count, _LINES)))

    async def offers(self) -> Offers:
        """See the contract."""
        return Offers()

    async def _require(self, user_id: UserId) -> None:
        if not await self._authorization.has_permission(user_id, MANAGE):
            raise LacksPermission

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC)


async def run(process: Process) -> None:
    """Serve apps until the process is asked to stop."""
    settings = load(AppsSettings)
    async with process.mongo() as database, process.bus() as bus:
        service = AppsService(
            database,
            account=bus.proxy(Account),
            authorization=bus.proxy(Authorization),
            messaging=bus.proxy(Messaging),
            settings=settings,
            metrics=AppsMetrics(process.registry),
        )
        await process.schema(database, expand)
        await service.prepare()
        await bus.serve(service)
        async with owned(service.integrations.run()):
            process.health.ready()
            log.info("service_ready", installed=settings.installed)
            await process.stopping.wait()
        await bus.drain()
