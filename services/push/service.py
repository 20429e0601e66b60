"""The doors of the push service, and its life."""

from __future__ import annotations

from datetime import UTC, datetime

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Document
from hubbub.contracts.events import UserChanged
from hubbub.contracts.push import Device, Push
from hubbub.errors import Unavailable
from hubbub.ids import UserId, random_id
from hubbub.mongo import Database
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from services.push.domain import ended_with, fields_of, may_replace, shown, too_many
from services.push.metrics import PushMetrics
from services.push.migration import expand
from services.push.settings import PushSettings
from services.push.store import MongoPushStore

log = get_logger(__name__)

_TRIES = 3  # two devices that register under one id at the same moment


class PushService(Push):
    """Which devices belong to whom. Nothing is delivered."""

    def __init__(
        self,
        database: Database,
        *,
        settings: PushSettings,
        metrics: PushMetrics,
        clock: Clock | None = None,
    ) -> None:
        self._store = MongoPushStore(database)
        self._settings = settings
        self._metrics = metrics
        self._clock = clock or SystemClock()

    async def register_token(
        self, user_id: UserId, device: Device, hashed_token: str | None = None
    ) -> Document:
        """See the contract."""
        fields = fields_of(device, user_id, hashed_token, self._now())
        device_id = device.id
        for _ in range(_TRIES):
            present = await self._store.find(device_id)
            if not may_replace(present, device, user_id):
                device_id = random_id()
                present = None
            saved = await self._store.save(device_id, fields, over=present)
            if saved is not None:
                break
        else:
            raise Unavailable("the registration changes too often")
        await self._store.remove_others(
            device.kind.value, device.value, device.app_name, keep=device_id
        )
        superfluous = too_many(await self._store.of_user(user_id), self._settings.devices_per_user)
        if superfluous:
            await self._store.remove(superfluous, user_id)
            self._metrics.forgotten("limit")
        self._metrics.registered(device.kind)
        return shown(saved)

    async def remove_token(self, user_id: UserId, value: str) -> bool:
        """See the contract."""
        if not await self._store.remove_value(user_id, value):
            return False
        self._metrics.forgotten("client")
        return True

    async def tokens_of(self, user_id: UserId) -> list[Document]:
        """See the contract."""
        return [shown(document) for document in await self._store.of_user(user_id)]

    async def forget_user(self, user_id: UserId) -> None:
        """See the contract."""
        await self._store.remove_user(user_id)
        self._metrics.forgotten("user")

    @listen(UserChanged, to="one")
    async def on_user_changed(self, event: UserChanged) -> None:
        """A device goes with its user, and with the login it was registered under."""
        if event.deleted:
            await self.forget_user(event.user_id)
            return
        devices = await self._store.of_user(event.user_id)
        if not devices:
            return
        ended = ended_with(devices, await self._store.logins_of(event.user_id))
        if ended:
            await self._store.remove(ended, event.user_id)
            self._metrics.forgotten("login")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC)


async def run(process: Process) -> None:
    """Serve device tokens until the process is asked to stop."""
    settings = load(PushSettings)
    async with process.mongo() as database, process.bus() as bus:
        service = PushService(database, settings=settings, metrics=PushMetrics(process.registry))
        await process.schema(database, expand)
        await bus.serve(service)
        process.health.ready()
        log.info("service_ready", delivery="none")
        await process.stopping.wait()
        await bus.drain()
