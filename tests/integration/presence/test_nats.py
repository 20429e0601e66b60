"""Two replicas on real NATS and MongoDB, in real time but with short times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import orjson
import pytest
from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import NotFoundError

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.base import listen
from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, PRESENCE, Header
from hubbub.contracts.presence import (
    INSTANCES_BUCKET,
    ConnectionRecord,
    Presence,
    PresenceWanted,
    Status,
)
from hubbub.ids import UserId, random_id
from hubbub.mongo import Database
from hubbub.runtime import Process
from services.presence import service as presence_service
from tests.waiting import eventually

pytestmark = pytest.mark.integration

BOB = UserId("bob")
LEASE = 3.0
"""Seconds; fifteen renewals, so that a machine with other things to do loses no living streamer."""


class Streamer:
    """What a streamer does for presence, and what its clients would see."""

    def __init__(self) -> None:
        self.asked = 0
        self.frames: list[tuple[dict[str, str], dict[str, object]]] = []

    @listen(PresenceWanted, to="all")
    async def on_presence_wanted(self, event: PresenceWanted) -> None:
        self.asked += 1

    async def hear(self, message: Msg) -> None:
        self.frames.append((dict(message.headers or {}), orjson.loads(message.data)))

    def statuses(self) -> list[object]:
        return [frame["fields"]["args"][0][1] for _, frame in self.frames]  # type: ignore[index]


async def renewing(bus: NatsBus, name: str, boot_id: str) -> None:
    """Renew a streamer's key, until cancelled."""
    jetstream = bus.client.jetstream()
    bucket = await jetstream.key_value(INSTANCES_BUCKET)
    while True:
        await bucket.put(name, boot_id.encode())
        await asyncio.sleep(0.2)


@pytest.fixture
async def streamer(nats_url: str) -> AsyncIterator[tuple[Streamer, NatsBus]]:
    bus = NatsBus(
        BusSettings(nats_url=nats_url, overrides={}), service="ddp-streamer", instance=random_id(6)
    )
    await bus.connect()
    jetstream = bus.client.jetstream()
    with suppress(NotFoundError):  # of another test, which may have had other times
        await jetstream.delete_key_value(INSTANCES_BUCKET)
    await jetstream.create_key_value(
        KeyValueConfig(bucket=INSTANCES_BUCKET, ttl=LEASE, storage=StorageType.MEMORY)
    )
    streamer = Streamer()
    await bus.listen(streamer, service="ddp-streamer")
    await bus.client.subscribe(EPHEMERAL_SUBJECTS + PRESENCE, cb=streamer.hear)
    await bus.client.flush()
    try:
        yield streamer, bus
    finally:
        await jetstream.delete_key_value(INSTANCES_BUCKET)
        await bus.close()


@asynccontextmanager
async def replica() -> AsyncIterator[Process]:
    """One process of the service as it really runs, until the end of the context."""
    process = Process("presence")
    work = asyncio.create_task(presence_service.run(process))
    try:
        await eventually(lambda: process.health.is_ready or work.done(), within=15)
        yield process
    finally:
        process.stopping.set()
        await asyncio.wait_for(work, 15)


@pytest.fixture
def short_times(
    monkeypatch: pytest.MonkeyPatch, database: Database, mongo_url: str, nats_url: str
) -> None:
    parts = urlsplit(mongo_url)
    monkeypatch.setenv("HUBBUB_MONGO_URL", urlunsplit(parts._replace(path=f"/{database.name}")))
    monkeypatch.setenv("HUBBUB_NATS_URL", nats_url)
    monkeypatch.setenv("HUBBUB_PRESENCE_OFFLINE_GRACE", "0.5")
    monkeypatch.setenv("HUBBUB_PRESENCE_INSTANCE_LEASE", str(LEASE))
    monkeypatch.setenv("HUBBUB_PRESENCE_OBSERVATION", str(LEASE + 0.5))


async def test_life_of_a_connection(
    short_times: None, streamer: tuple[Streamer, NatsBus], database: Database
) -> None:
    """Asked at the start; one frame per change; a dead streamer's users go offline; a restart of
    the service in between changes nothing."""
    watcher, bus = streamer
    await database["users"].insert_one({"_id": BOB, "username": "bob", "type": "user"})
    presence = bus.proxy(Presence)
    connection = ConnectionRecord(user_id=BOB, connection_id="c1", sequence=1)
    renewal = asyncio.create_task(renewing(bus, "streamer-x", "boot"))
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(replica())
            async with replica():
                await eventually(lambda: watcher.asked >= 2)
                await presence.new_connection(connection, "streamer-x", "boot")
                await eventually(lambda: watcher.frames)
            away = connection.model_copy(update={"status": Status.AWAY, "sequence": 2})
            await presence.set_connection_status(away, "streamer-x", "boot")
            await eventually(lambda: watcher.statuses() == [1, 2])
        async with replica(), replica():
            await asyncio.sleep(LEASE + 1.5)  # beyond observation and lease: it is alive
            assert not renewal.done()
            assert watcher.statuses() == [1, 2]
            renewal.cancel()
            await eventually(lambda: watcher.statuses() == [1, 2, 0], within=LEASE + 0.5 + 4)
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)

    headers, frame = watcher.frames[0]
    assert headers[Header.KIND] == "frame"
    assert headers[Header.STREAM] == "user-presence"
    assert headers[Header.UID] == BOB
    assert frame["id"] == BOB
    user = await database["users"].find_one({"_id": BOB})
    assert user is not None
    assert user["status"] == "offline"
