"""No query reads a growing collection from one end to the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hubbub.ids import UserId
from hubbub.mongo import Database
from tests.integration.presence.conftest import BOOT, Cluster, Replica, connection

pytestmark = pytest.mark.integration

GROWING = {"users", "usersSessions"}


@pytest.fixture
async def profiled(database: Database) -> AsyncIterator[Database]:
    """The database writes down each operation."""
    await database.command("profile", 2)
    yield database
    await database.command("profile", 0)


async def test_no_collection_scans(cluster: Cluster, presence: Replica, profiled: Database) -> None:
    """Everything the service does, as the server itself planned it."""
    for number in range(60):
        await cluster.user(f"u{number}", status="online")
    await presence.connect("u1", "c1")
    await presence.service.set_status(UserId("u1"), text="hi")
    await presence.settle()
    await presence.service.own_presence(UserId("u1"))
    await presence.service.presence_of([UserId("u1"), UserId("u2")])
    await presence.service.everybody_present()
    for _ in range(30):
        await presence.service.vigil.look()
        await presence.settle()
        cluster.clock.advance(20)
    await presence.service.remove_connections([connection("u1", "c1", sequence=5)], "s", BOOT)
    cluster.clock.advance(20)
    await presence.settle()

    scans = []
    seen = 0
    async for entry in profiled["system.profile"].find({}):
        collection = entry["ns"].partition(".")[2]
        if collection in GROWING and entry["op"] not in ("insert",):
            seen += 1
            if "COLLSCAN" in str(entry.get("planSummary", "")):
                scans.append((entry["op"], entry.get("command") or entry.get("query")))
    assert seen > 30
    assert scans == []
