"""The doors of the messaging service, and its life."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from prometheus_client import CollectorRegistry

from hubbub.audit import Auditor
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.apps import Apps, AppsChanged
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import listen
from hubbub.contracts.events import (
    MembershipChanged,
    PermissionsChanged,
    RolesChanged,
    RoomChanged,
    SettingsChanged,
    UserChanged,
)
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import Presence
from hubbub.ids import UserId
from hubbub.mongo import Database, answering
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from services.messaging.administration import Administration
from services.messaging.apps import AppsAtHand
from services.messaging.chores import Chores, Publish
from services.messaging.commands import Commands
from services.messaging.departures import Departures
from services.messaging.desk import Desk, RoomCommitter, Statuses
from services.messaging.directory import Directory
from services.messaging.discussions import Discussions
from services.messaging.editing import Editing
from services.messaging.effects import Effects
from services.messaging.explaining import Explaining
from services.messaging.facts import Facts
from services.messaging.files import Files
from services.messaging.funnel import Funnel
from services.messaging.highlights import Highlights
from services.messaging.history import Reading
from services.messaging.invitations import Invitations
from services.messaging.marks import Marks
from services.messaging.members import Members
from services.messaging.message_marks import MessageMarks
from services.messaging.metrics import DoorMetrics, EffectMetrics, FunnelMetrics, HookMetrics
from services.messaging.migration import expand
from services.messaging.moderation import Moderation
from services.messaging.notices import Notices
from services.messaging.pruning import Pruning
from services.messaging.room_lists import RoomLists
from services.messaging.rooms import Places
from services.messaging.rooms_changing import Rebuilding
from services.messaging.searching import Searching
from services.messaging.sending import Sending
from services.messaging.settings import MessagingSettings
from services.messaging.statistics import Statistics
from services.messaging.store import Store
from services.messaging.thread_lists import ThreadLists
from services.messaging.whisper import NatsWhisper, Whisper
from services.messaging.workspace import Configuration, furnish

log = get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class MessagingService(
    Sending,
    Editing,
    Reading,
    Marks,
    MessageMarks,
    ThreadLists,
    Searching,
    Highlights,
    Moderation,
    Files,
    Places,
    Rebuilding,
    Members,
    Invitations,
    Departures,
    Discussions,
    Pruning,
    RoomLists,
    Directory,
    Commands,
    Administration,
    Configuration,
    Statistics,
    Explaining,
    Messaging,
):
    """Everything that is said and where. `prepare` it, `run` its effects, `close` it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def prepare(self) -> None:
        """Make settings and the first room where they are missing; the indexes are there."""
        await furnish(self._desk.store)

    async def run(self) -> None:
        """Write unread counters, notify, and finish what was left undone, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._desk.effects.run(), name="effects")
            tasks.create_task(self._desk.chores.run(), name="chores")
            tasks.create_task(self.keep_statistics(), name="statistics")
            tasks.create_task(self._desk.apps.run(), name="offers of apps")

    async def close(self) -> None:
        """Finish the sends under way, then their effects; bounded."""
        drain = self._desk.settings.drain_timeout
        await self._desk.funnel.close(drain / 2)
        await self._desk.effects.flush(drain / 2)
        await self._desk.facts.close()
        await self._desk.apps.close()

    @listen(AppsChanged, to="all")
    async def on_apps_changed(self, event: AppsChanged) -> None:
        """Know what apps offer."""
        self._desk.apps.offered(event.offers)

    @listen(UserChanged, to="all")
    async def on_user_changed(self, event: UserChanged) -> None:
        """Forget what was remembered of a user."""
        self._desk.facts.forget_user(event.user_id)

    @listen(RoomChanged, to="all")
    async def on_room_changed(self, event: RoomChanged) -> None:
        """Forget what was remembered of a room."""
        self._desk.facts.forget_room(event.room_id)

    @listen(MembershipChanged, to="all")
    async def on_membership_changed(self, event: MembershipChanged) -> None:
        """Forget what a member might do."""
        self._desk.facts.forget_membership(event.user_id, event.room_id)
        self._desk.apps.membership_changed(event.user_id)

    @listen(RolesChanged, to="all")
    async def on_roles_changed(self, event: RolesChanged) -> None:
        """Forget what anybody might do."""
        self._desk.facts.forget_rights()

    @listen(PermissionsChanged, to="all")
    async def on_permissions_changed(self, event: PermissionsChanged) -> None:
        """Forget what anybody might do."""
        self._desk.facts.forget_rights()

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """Forget the settings."""
        self._desk.facts.forget_settings()


def _answering(door: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """A database that does not answer is `Unavailable` to whoever asked."""

    @wraps(door)
    async def answered(*args: P.args, **keywords: P.kwargs) -> R:
        with answering():
            return await door(*args, **keywords)

    return answered


for _action in Messaging.contract_actions:
    setattr(MessagingService, _action, _answering(getattr(MessagingService, _action)))


def assemble(
    database: Database,
    authorization: Authorization,
    whisper: Whisper,
    publish: Publish,
    *,
    statuses: Statuses,
    pictures: Pictures | None = None,
    apps: Apps | None = None,
    settings: MessagingSettings,
    registry: CollectorRegistry | None = None,
    clock: Clock | None = None,
) -> MessagingService:
    """A service with everything it needs. Nothing runs yet.

    Args:
        publish: tells other services what happened.
    """
    clock = clock or SystemClock()
    store = Store(database, clock)
    facts = Facts(
        store,
        authorization,
        clock=clock,
        ttl=settings.facts_ttl,
        settings_ttl=settings.settings_ttl,
    )
    notices = Notices(store, facts, whisper, group_limit=settings.group_notifications)
    effects = Effects(
        store,
        facts,
        notices,
        settings=settings,
        clock=clock,
        metrics=EffectMetrics(registry),
    )
    funnel = Funnel(
        RoomCommitter(store, facts, effects),
        effects.on_stored,
        clock=clock,
        metrics=FunnelMetrics(registry),
        batch=settings.batch,
        waiting=settings.room_queue,
        patience=settings.send_deadline,
    )
    chores = Chores(store, funnel, publish, clock=clock, interval=settings.chore_interval)
    audit = Auditor(publish, clock)
    desk = Desk(
        store,
        facts,
        authorization,
        funnel,
        effects,
        whisper,
        clock,
        settings,
        chores,
        audit,
        statuses,
        pictures,
        DoorMetrics(registry),
        AppsAtHand(apps, clock, HookMetrics(registry), partial(_rooms_of, store)),
    )
    return MessagingService(desk)


async def _rooms_of(store: Store, user_id: UserId) -> frozenset[str]:
    with answering():
        places = await store.memberships.places(user_id)
    return frozenset(str(place["rid"]) for place in places if place.get("rid"))


async def run(process: Process) -> None:
    """Serve messaging until the process is asked to stop."""
    settings = load(MessagingSettings)
    async with process.mongo() as database, process.bus() as bus:
        service = assemble(
            database,
            bus.proxy(Authorization),
            NatsWhisper(bus.client),
            bus.publish,
            statuses=bus.proxy(Presence),
            pictures=bus.proxy(Pictures),
            apps=bus.proxy(Apps),
            settings=settings,
            registry=process.registry,
        )
        await process.schema(database, expand)
        await service.prepare()
        async with asyncio.TaskGroup() as tasks:
            effects = tasks.create_task(service.run(), name="effects")
            await bus.serve(service)
            process.health.ready()
            log.info("service_ready", batch=settings.batch)
            await process.stopping.wait()
            await bus.drain()
            await service.close()
            effects.cancel()
    log.info("service_stopped")
