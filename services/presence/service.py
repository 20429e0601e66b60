"""The doors of the presence service, and its life."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from nats.errors import Error as NatsError

from hubbub.bus import Bus
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import UserNotFound
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, PRESENCE, Header, Kind
from hubbub.contracts.events import SettingsChanged, UserChanged
from hubbub.contracts.presence import (
    ConnectionRecord,
    CustomStatus,
    OwnPresence,
    Presence,
    PresenceWanted,
    Status,
    UserPresence,
)
from hubbub.errors import BadRequest, NotAllowed, Unavailable
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.tasks import owned
from hubbub.telemetry.log import get_logger
from hubbub.workspace_settings import WorkspaceSettings
from services.presence.custom_statuses import CustomStatuses
from services.presence.domain import MAX_TEXT, own_presence
from services.presence.leases import NatsLeases
from services.presence.metrics import PresenceMetrics
from services.presence.migration import expand
from services.presence.settings import PresenceSettings
from services.presence.settling import CLAIM_LEASE, Announce, Settler
from services.presence.store.custom_statuses import MongoCustomStatusStore
from services.presence.store.pipelines import Arrival, Choice, Departure
from services.presence.store.sessions import MongoSessionStore
from services.presence.store.users import EVERYBODY_LIMIT, MongoUserStore
from services.presence.vigil import Leases, Vigil
from services.presence.writer import Writer

log = get_logger(__name__)

MAX_IDS = 300  # users whose presence is asked for at once
MAX_ANNOUNCED = 1000  # connections in one announcement


class PresenceService(Presence):
    """Who is there. Its tasks are `writer.run`, `settler.run` and `vigil.run`."""

    def __init__(
        self,
        database: Database,
        *,
        authorization: Authorization,
        announce: Announce,
        ask_all: Callable[[], Awaitable[None]],
        leases: Leases,
        settings: PresenceSettings,
        metrics: PresenceMetrics,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            announce: tells those who watch a user.
            ask_all: asks every streamer to announce its connections.
        """
        self._clock = clock or SystemClock()
        self._grace = timedelta(seconds=settings.offline_grace)
        self._sessions = MongoSessionStore(
            database, grace=self._grace, claim_lease=timedelta(seconds=CLAIM_LEASE)
        )
        self._users = MongoUserStore(database)
        self._workspace = WorkspaceSettings(self._users.settings, clock=self._clock)
        self._offered = MongoCustomStatusStore(database)
        self._custom = CustomStatuses(self._offered, authorization, self._now)
        self.settler = Settler(
            self._sessions,
            self._users,
            announce=announce,
            now=self._now,
            settings=settings,
            metrics=metrics,
        )
        self.writer = Writer(
            self._sessions,
            now=self._now,
            batch=settings.batch,
            limit=settings.waiting_changes,
            on_written=self.settler.look,
        )
        self.vigil = Vigil(
            self._sessions,
            self._users,
            leases,
            ask_all=ask_all,
            on_ended=self.settler.look,
            now=self._now,
            clock=self._clock,
            settings=settings,
            metrics=metrics,
        )

    # -- connections ----------------------------------------------------------------------------

    async def new_connection(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        """See the contract."""
        await self.announce([connection], instance, boot_id)

    async def set_connection_status(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        """See the contract."""
        await self.announce([connection], instance, boot_id)

    async def announce(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        """See the contract."""
        if len(connections) > MAX_ANNOUNCED:
            raise BadRequest(f"at most {MAX_ANNOUNCED} connections at once")
        self.vigil.noticed(instance)
        await self.writer.write(
            Arrival(
                connection.user_id,
                connection.connection_id,
                instance,
                boot_id,
                Status.AWAY if connection.status is Status.AWAY else Status.ONLINE,
                connection.sequence,
            )
            for connection in connections
        )

    async def remove_connections(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        """See the contract."""
        by_user: dict[UserId, dict[str, int]] = {}
        for connection in connections:
            ended = by_user.setdefault(connection.user_id, {})
            ended[connection.connection_id] = connection.sequence
        await self.writer.write(Departure(user_id, ended) for user_id, ended in by_user.items())

    # -- what users choose ----------------------------------------------------------------------

    async def set_status(
        self, user_id: UserId, status: Status | None = None, text: str | None = None
    ) -> None:
        """See the contract."""
        user = (await self._users.users([user_id])).get(user_id)
        if user is None:
            raise UserNotFound("Invalid user")
        if text is not None:
            text = text.strip()
            if len(text) > MAX_TEXT or "\x00" in text:
                raise BadRequest(
                    f"A status text has at most {MAX_TEXT} characters", code="error-invalid-params"
                )
        if text == user.text:
            text = None
        if status == user.default:
            status = None
        if text is not None and not await self._workspace.flag(
            "Accounts_AllowUserStatusMessageChange"
        ):
            raise NotAllowed("Not allowed", code="error-not-allowed")
        if status is Status.OFFLINE and not await self._workspace.flag(
            "Accounts_AllowInvisibleStatusOption"
        ):
            raise NotAllowed("Invisible status is disabled", code="error-status-not-allowed")
        if status is None and text is None:
            return
        await self._users.choose(user_id, status, text, self._now())
        await self.writer.write([Choice(user_id, user.shown)])

    async def own_presence(self, user_id: UserId) -> OwnPresence:
        """See the contract."""
        user = (await self._users.users([user_id])).get(user_id)
        if user is None:
            raise UserNotFound("Invalid user")
        session = await self._sessions.session(user_id)
        return own_presence(session, user, self._now(), self._grace)

    # -- what others see ------------------------------------------------------------------------

    async def presence_of(self, user_ids: list[UserId]) -> list[UserPresence]:
        """See the contract."""
        wanted = list(dict.fromkeys(user_ids))[:MAX_IDS]
        found = {user.user_id: user for user in await self._users.presences(wanted)}
        return [found[user_id] for user_id in wanted if user_id in found]

    async def everybody_present(self) -> list[UserPresence]:
        """See the contract."""
        return await self._users.everybody_present()

    async def changed_since(self, moment: datetime) -> list[UserPresence]:
        """See the contract."""
        changed = await self._sessions.announced_since(moment, EVERYBODY_LIMIT)
        return await self._users.presences(changed) if changed else []

    # -- statuses that the workspace offers -------------------------------------------------------

    async def custom_statuses(
        self, paging: Paging, status_id: str | None = None, name: str | None = None
    ) -> Page:
        """See the contract."""
        return await self._custom.page(paging, status_id, name)

    async def create_custom_status(self, user_id: UserId, status: CustomStatus) -> Document:
        """See the contract."""
        return await self._custom.create(user_id, status)

    async def update_custom_status(
        self, user_id: UserId, status_id: str, status: CustomStatus
    ) -> Document:
        """See the contract."""
        return await self._custom.update(user_id, status_id, status)

    async def delete_custom_status(self, user_id: UserId, status_id: str) -> None:
        """See the contract."""
        await self._custom.delete(user_id, status_id)

    # -- events and life ------------------------------------------------------------------------

    @listen(UserChanged, to="one")
    async def on_user_changed(self, event: UserChanged) -> None:
        """Forget users that are gone."""
        if event.deleted:
            await self._sessions.delete(event.user_id)

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """Forget the setting."""
        self._workspace.forget(event.setting_id)

    async def close(self) -> None:
        """Stop what is being loaded."""
        await self._workspace.close()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC)


def announcing(bus: Bus) -> Callable[[], Awaitable[None]]:
    """A function that asks every streamer to announce its connections."""

    async def ask_all() -> None:
        await bus.publish(PresenceWanted())

    return ask_all


async def run(process: Process) -> None:
    """Serve presence until the process is asked to stop."""
    settings = load(PresenceSettings)
    async with process.mongo() as database, process.bus() as bus:

        async def announce(user_id: UserId, frame: bytes) -> None:
            headers = {
                Header.KIND: Kind.FRAME.value,
                Header.STREAM: "user-presence",
                Header.UID: quote(user_id, safe="/:@", errors="replace"),
            }
            try:
                await bus.client.publish(EPHEMERAL_SUBJECTS + PRESENCE, frame, headers=headers)
            except NatsError as error:
                raise Unavailable("NATS does not take messages") from error

        leases = NatsLeases(
            bus.client,
            lease=settings.instance_lease,
            replicas=settings.instance_replicas,
            on_renewal=lambda name, boot_id: service.vigil.heard(name, boot_id),
        )
        service = PresenceService(
            database,
            authorization=bus.proxy(Authorization),
            announce=announce,
            ask_all=announcing(bus),
            leases=leases,
            settings=settings,
            metrics=PresenceMetrics(process.registry),
        )
        bus.on_reconnect(service.vigil.observe_anew)
        try:
            await process.schema(database, expand)
            await leases.start()
            async with owned(service.writer.run(), service.settler.run()):
                await bus.serve(service)
                # Only now: it asks streamers to call us.
                async with owned(service.vigil.run()):
                    process.health.ready()
                    log.info("service_ready", offline_grace=settings.offline_grace)
                    await process.stopping.wait()
                    await bus.drain()
        finally:
            await service.close()
