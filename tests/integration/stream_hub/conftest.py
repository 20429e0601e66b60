"""Fixtures of the hub's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from hubbub.mongo import Database
from tests.integration.stream_hub.hubs import (
    ROOM,
    Hubs,
    connected,
    url_of,
    wait_for_database,
)


@pytest.fixture
async def hubs(
    mongo_url: str, nats_url: str, database: Database, tmp_path: Path
) -> AsyncIterator[Hubs]:
    """Hubs on a fresh database with one room."""
    await wait_for_database(database)
    await database.rocketchat_room.insert_one({"_id": ROOM, "t": "c", "name": "general"})
    made = Hubs(url_of(mongo_url, database.name), nats_url, tmp_path)
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """A plain connection to NATS."""
    async with connected(nats_url) as found:
        yield found
