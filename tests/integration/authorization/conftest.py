"""A workspace in a database, and the authorization service on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import Event
from hubbub.contracts.events import Audited
from hubbub.ids import RoomId, UserId
from hubbub.mongo import Database
from services.authorization.metrics import AuthorizationMetrics
from services.authorization.migration import expand
from services.authorization.service import AuthorizationService
from services.authorization.settings import AuthorizationSettings
from services.authorization.store import MongoAuthorizationStore, MongoRoleStore

BOB, ANN = UserId("bob"), UserId("ann")
PUBLIC, PRIVATE = RoomId("public"), RoomId("private")


class Workspace:
    """Users, rooms and memberships, written as other services write them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def prepare(self) -> None:
        memberships = self.database["rocketchat_subscription"]
        await memberships.create_index([("rid", 1), ("u._id", 1)], unique=True)
        await self.database["users"].create_index("roles")

    async def user(self, user_id: str, *roles: str, **fields: Any) -> None:
        await self.database["users"].insert_one(
            {"_id": user_id, "username": user_id, "roles": list(roles), "active": True, **fields}
        )

    async def room(self, room_id: str, kind: str, **fields: Any) -> None:
        await self.database["rocketchat_room"].insert_one({"_id": room_id, "t": kind, **fields})

    async def join(self, user_id: str, room_id: str, *roles: str) -> None:
        await self.database["rocketchat_subscription"].insert_one(
            {"_id": f"{user_id}-{room_id}", "rid": room_id, "u": {"_id": user_id}}
            | ({"roles": list(roles)} if roles else {})
        )

    async def leave(self, user_id: str, room_id: str) -> None:
        await self.database["rocketchat_subscription"].delete_one({"_id": f"{user_id}-{room_id}"})

    async def setting(self, setting_id: str, value: object) -> None:
        await self.database["rocketchat_settings"].update_one(
            {"_id": setting_id}, {"$set": {"value": value}}, upsert=True
        )


@pytest.fixture
async def workspace(database: Database) -> Workspace:
    workspace = Workspace(database)
    await workspace.prepare()
    await workspace.user(BOB, "user")
    await workspace.user(ANN, "user")
    await workspace.room(PUBLIC, "c")
    await workspace.room(PRIVATE, "p")
    return workspace


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def ignored(event: Event) -> None:
    """Nobody listens."""


@pytest.fixture
def deeds() -> list[Audited]:
    """What the audit log was told."""
    return []


@pytest.fixture
async def service(
    workspace: Workspace, clock: FakeClock, deeds: list[Audited]
) -> AsyncIterator[AuthorizationService]:
    async def told(event: Event) -> None:
        assert isinstance(event, Audited)
        deeds.append(event)

    store, roles = MongoAuthorizationStore(workspace.database), MongoRoleStore(workspace.database)
    await expand(workspace.database)
    await store.fill()
    service = AuthorizationService(
        store,
        AuthorizationSettings(),
        AuthorizationMetrics(CollectorRegistry()),
        roles,
        told,
        clock,
    )
    yield service
    await service.close()


@pytest.fixture
async def bus(service: AuthorizationService) -> AsyncIterator[LocalBus]:
    bus = LocalBus(service="authorization")
    await bus.serve(service)
    yield bus
    await bus.close()


@pytest.fixture
def authorization(bus: LocalBus) -> Authorization:
    return bus.proxy(Authorization)
