"""Replicas of presence on a real database, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import create_autospec

import orjson
import pytest
from prometheus_client import CollectorRegistry

from hubbub.clock import FakeClock
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.presence import ConnectionRecord, Status
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.tasks import owned
from services.presence.metrics import PresenceMetrics
from services.presence.migration import expand
from services.presence.service import PresenceService
from services.presence.settings import PresenceSettings

STREAMER, BOOT = "streamer-a", "boot-1"


class FakeLeases:
    """A bucket in a set."""

    def __init__(self) -> None:
        self.can_hear = True
        self.held: set[str] = set()
        self.unknown = False

    async def is_held(self, name: str) -> bool | None:
        return None if self.unknown else name in self.held


@dataclass
class Replica:
    """One process of the service; its settling and watching are done by hand."""

    service: PresenceService
    leases: FakeLeases
    frames: list[tuple[str, int, str]]
    """(user id, status code, text), shared by all replicas of a cluster."""
    asked: list[str] = field(default_factory=list)

    async def settle(self) -> None:
        """Settle whoever is due."""
        while await self.service.settler.settle_due():
            pass

    async def connect(
        self,
        user_id: str,
        connection_id: str,
        *,
        status: Status = Status.ONLINE,
        sequence: int = 1,
        instance: str = STREAMER,
        boot: str = BOOT,
    ) -> None:
        record = connection(user_id, connection_id, status, sequence)
        await self.service.new_connection(record, instance, boot)

    async def disconnect(self, user_id: str, *connection_ids: str, sequence: int = 9) -> None:
        records = [connection(user_id, one, sequence=sequence) for one in connection_ids]
        await self.service.remove_connections(records, STREAMER, BOOT)


def connection(
    user_id: str, connection_id: str, status: Status = Status.ONLINE, sequence: int = 1
) -> ConnectionRecord:
    return ConnectionRecord(
        user_id=UserId(user_id), connection_id=connection_id, status=status, sequence=sequence
    )


@dataclass
class Cluster:
    """Replicas that share a database and a clock."""

    database: Database
    clock: FakeClock
    settings: PresenceSettings
    stack: AsyncExitStack
    managers: set[str] = field(default_factory=set)
    """Who may change what the workspace offers."""
    frames: list[tuple[str, int, str]] = field(default_factory=list)

    async def replica(self) -> Replica:
        return await self.stack.enter_async_context(self.running())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replica]:
        async def announce(_: UserId, frame: bytes) -> None:
            message = orjson.loads(frame)
            _name, code, text = message["fields"]["args"][0]
            self.frames.append((message["id"], code, text))

        async def ask_all() -> None:
            replica.asked.append("all")

        async def has_permission(user_id: UserId | None, permission: str, *_: Any) -> bool:
            return permission == "manage-user-status" and user_id in self.managers

        authorization = create_autospec(Authorization, instance=True)
        authorization.has_permission.side_effect = has_permission
        leases = FakeLeases()
        service = PresenceService(
            self.database,
            authorization=authorization,
            announce=announce,
            ask_all=ask_all,
            leases=leases,
            settings=self.settings,
            metrics=PresenceMetrics(CollectorRegistry()),
            clock=self.clock,
        )
        replica = Replica(service, leases, self.frames)
        await expand(self.database)
        try:
            async with owned(service.writer.run()):
                yield replica
        finally:
            await service.close()

    async def user(self, user_id: str, **fields: Any) -> None:
        await self.database["users"].insert_one(
            {
                "_id": user_id,
                "username": user_id,
                "name": user_id.title(),
                "type": "user",
                "status": "offline",
                "active": True,
                "roles": ["user"],
                **fields,
            }
        )

    async def stored(self, user_id: str) -> dict[str, Any]:
        found = await self.database["users"].find_one({"_id": user_id})
        assert found is not None
        return found

    async def status(self, user_id: str) -> str:
        return str((await self.stored(user_id))["status"])

    async def connections(self, user_id: str) -> list[str]:
        found = await self.database["usersSessions"].find_one({"_id": user_id}) or {}
        return sorted(connection["id"] for connection in found.get("connections", []))


@pytest.fixture
async def cluster(database: Database) -> AsyncIterator[Cluster]:
    """Nobody there yet. The clock stands unless the test moves it."""
    async with AsyncExitStack() as stack:
        yield Cluster(database, FakeClock(), PresenceSettings(), stack)


@pytest.fixture
async def presence(cluster: Cluster) -> Replica:
    """One replica."""
    return await cluster.replica()
