"""Replicas of the account service on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from prometheus_client import CollectorRegistry

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock
from hubbub.contracts.account import Account
from hubbub.contracts.authorization import RoleNotFound
from hubbub.contracts.members import Departure, LastOwnerLeaves
from hubbub.contracts.workspace import PERMISSIONS, ROLES
from hubbub.errors import Unavailable
from hubbub.ids import UserId
from hubbub.mongo import Database
from services.account.hashing import Scheme
from services.account.metrics import AccountMetrics
from services.account.migration import expand
from services.account.passwords import Passwords
from services.account.service import AccountService
from services.account.settings import AccountSettings, AdministratorSettings

NO_ADMINISTRATOR = AdministratorSettings(username="", email="")


@dataclass
class FakeMessaging:
    """The default rooms, as a list of who joined."""

    joined: list[str] = field(default_factory=list)
    away: bool = False
    departures: dict[str, Departure] = field(default_factory=dict)
    relinquished: list[tuple[str, str]] = field(default_factory=list)

    async def join_default_rooms(self, user_id: UserId) -> None:
        if self.away:
            raise Unavailable("messaging is away")
        self.joined.append(user_id)

    async def check_departure(self, user_id: UserId) -> Departure:
        return self.departures.get(user_id, Departure())

    async def relinquish_rooms(
        self,
        user_id: UserId,
        leaving: Literal["deactivated", "deleted"],
        confirmed: bool = False,
    ) -> None:
        if not (confirmed or (await self.check_departure(user_id)).is_free):
            raise LastOwnerLeaves
        self.relinquished.append((user_id, leaving))


class FakeAuthorization:
    """`root` may everything, `creator` make users, everybody what users may; custom roles."""

    async def held_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: str | None = None
    ) -> list[str]:
        if user_id == "root":
            return permissions
        held = {one for one in permissions if "user" in PERMISSIONS.get(one, ())}
        if user_id == "creator":
            held |= {"create-user"} & set(permissions)
        return [one for one in permissions if one in held]

    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: str | None = None
    ) -> bool:
        return bool(await self.held_permissions(user_id, [permission]))

    async def has_all_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: str | None = None
    ) -> bool:
        return await self.held_permissions(user_id, permissions) == permissions

    async def roles(self) -> list[dict[str, Any]]:
        return [
            *({"_id": role, "scope": scope} for role, (scope, _) in ROLES.items()),
            {"_id": "nurse", "scope": "Users"},
        ]

    async def find_role(self, role: str) -> dict[str, Any]:
        for one in await self.roles():
            if one["_id"] == role:
                return one
        raise RoleNotFound("This role does not exist")


@dataclass
class Server:
    """Account replicas that share a database, a clock and a messaging service."""

    database: Database
    clock: FakeClock
    messaging: FakeMessaging
    stack: AsyncExitStack
    scheme: Scheme = field(default_factory=lambda: Scheme("bcrypt", 4))

    async def replica(
        self, administrator: AdministratorSettings = NO_ADMINISTRATOR, **settings: Any
    ) -> AccountService:
        metrics = AccountMetrics(CollectorRegistry())
        passwords = Passwords(metrics, self.scheme, threads=2)
        authorization: Any = FakeAuthorization()
        service = AccountService(
            self.database,
            authorization=authorization,
            rooms=self.messaging,
            passwords=passwords,
            settings=AccountSettings(**settings),
            metrics=metrics,
            root_url="http://chat.example",
            clock=self.clock,
        )
        self.stack.push_async_callback(passwords.close)
        self.stack.push_async_callback(service.close)
        await expand(self.database)
        await service.prepare(administrator)
        return service

    async def stored(self, user_id: str) -> dict[str, Any]:
        found = await self.database["users"].find_one({"_id": user_id})
        assert found is not None
        return found

    async def setting(self, setting_id: str, value: object) -> None:
        await self.database["rocketchat_settings"].update_one(
            {"_id": setting_id}, {"$set": {"value": value}}, upsert=True
        )


@pytest.fixture
async def server(database: Database) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        yield Server(database, FakeClock(), FakeMessaging(), stack)


@pytest.fixture
async def service(server: Server) -> AccountService:
    return await server.replica()


@pytest.fixture
async def account(service: AccountService) -> AsyncIterator[Account]:
    """The service as others call it: coded and validated."""
    bus = LocalBus(service="account")
    await bus.serve(service)
    yield bus.proxy(Account)
    await bus.close()
