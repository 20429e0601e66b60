"""The process of a streamer: when it is ready, what it shows, how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.streamers import StreamerReported
from hubbub.local.programs import free_port
from hubbub.runtime import Process
from hubbub.tasks import owned
from services.ddp_streamer import service
from services.ddp_streamer.audiences import Audiences
from tests.integration.ddp_streamer.harness import Cable, FakeHub, connected, fresh_log
from tests.unit.ddp_streamer.rawclient import RawClient, handshake
from tests.waiting import eventually

pytestmark = pytest.mark.integration

LIMIT = 5  # connections
BLIP = 0.3  # seconds that NATS may be away in these tests


@dataclass
class Running:
    """A streamer's process, run inside the test, and its way to NATS."""

    process: Process
    cable: Cable
    port: int
    neighbour: NatsBus

    async def hears_of_another(self) -> None:
        """Another streamer reports itself."""
        report = StreamerReported(
            instance="ddp-streamer-other",
            pod="other",
            version="1",
            connections=0,
            connection_limit=10,
            deliveries_per_second=0,
        )
        await self.neighbour.publish(report)
        await self.neighbour.client.flush()

    async def is_ready(self) -> bool:
        """What a probe would be told after a check, on both ports."""
        async with aiohttp.ClientSession() as session:
            while True:
                await self.process.health.run_checks()
                ready = self.process.health.is_ready
                async with session.get(f"http://127.0.0.1:{self.port}/health") as answer:
                    status = answer.status
                if self.process.health.is_ready == ready:  # else it changed between the two
                    assert status == (200 if ready else 500)
                    return ready


@pytest.fixture
async def streamer(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    async with _living(nats_url, monkeypatch) as (running, life):
        yield running
        running.process.stop("test")
        async with asyncio.timeout(20):
            await life
    assert running.process.health.state == "closed"


@asynccontextmanager
async def _living(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Running, asyncio.Task[None]]]:
    """A streamer that serves, and its life."""
    async with connected(nats_url) as client, Cable(nats_url) as cable, _neighbour(nats_url) as bus:
        await fresh_log(client)
        await FakeHub(client).begin()
        port = free_port()
        monkeypatch.setattr(service, "NATS_PATIENCE", BLIP)
        monkeypatch.setenv("HUBBUB_NATS_URL", cable.url)
        monkeypatch.setenv("HUBBUB_STREAMER_PORT", str(port))
        monkeypatch.setenv("HUBBUB_STREAMER_DRAIN_WINDOW", "0")
        monkeypatch.setenv("HUBBUB_STREAMER_MAX_CONNECTIONS", str(LIMIT))
        monkeypatch.setenv("HUBBUB_STREAMER_HARD_LIMIT_RATIO", "1")
        process = Process("ddp-streamer", registry=CollectorRegistry())
        process.drain_deadline = 10
        life = asyncio.create_task(service.run(process))
        await eventually(lambda: process.health.is_ready or life.done(), within=10)
        try:
            yield Running(process, cable, port, bus), life
        finally:
            life.cancel()
            await asyncio.wait([life])


@asynccontextmanager
async def _neighbour(nats_url: str) -> AsyncIterator[NatsBus]:
    bus = NatsBus(
        BusSettings(HUBBUB_NATS_URL=nats_url), service="ddp-streamer", instance="neighbour"
    )
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


async def test_without_nats_it_is_left_if_there_is_another(streamer: Running) -> None:
    """Only when that lasts, and only until NATS is back."""
    await streamer.hears_of_another()
    assert await streamer.is_ready()
    streamer.cable.cut()

    async def is_left() -> bool:
        return not await streamer.is_ready()

    await eventually(lambda: _is_degraded(streamer))
    assert streamer.process.health.is_ready
    await eventually(is_left, within=BLIP + 3)
    assert streamer.process.health.liveness().ok
    await streamer.cable.mend()
    await eventually(streamer.is_ready, within=10)


async def test_the_last_one_stays(streamer: Running) -> None:
    """Who knows of nobody else is better than nobody."""
    streamer.cable.cut()
    await eventually(lambda: _is_degraded(streamer))
    await asyncio.sleep(2 * BLIP)
    assert await streamer.is_ready()
    await streamer.cable.mend()
    await eventually(lambda: _is_serving(streamer), within=10)


async def _is_degraded(streamer: Running) -> bool:
    await streamer.process.health.run_checks()
    nats = {check.name: check for check in streamer.process.health.readiness().checks}["nats"]
    return not nats.ok


async def _is_serving(streamer: Running) -> bool:
    return not await _is_degraded(streamer)


async def test_a_full_one_stays_ready(streamer: Running) -> None:
    """Else the fullest would be the first to go when there are to be fewer."""
    clients = [await RawClient.greeted(streamer.port) for _ in range(LIMIT)]
    head = (await _handshake(streamer.port)).partition("\r\n")[0]
    assert "503" in head
    assert await streamer.is_ready()
    for client in clients:
        await client.end()


async def _handshake(port: int) -> str:
    """The head of the answer to one more upgrade."""
    client = await RawClient.dial(port)
    client.writer.write(handshake())
    try:
        return await client.head()
    finally:
        await client.end()


@pytest.mark.parametrize(
    ("task", "name"), [("_close_idle", "close-audiences"), ("_open_waiting", "open-audiences")]
)
async def test_a_vital_task_that_dies_ends_the_process(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, task: str, name: str
) -> None:
    """Clients are sent elsewhere first; the end is a failure, so that it is started again."""
    dying = asyncio.Event()

    living = getattr(Audiences, task)

    async def dies(audiences: Audiences) -> None:
        async with owned(living(audiences)):
            await dying.wait()
        raise ValueError("the reason")

    monkeypatch.setattr(Audiences, task, dies)
    with capture_logs() as lines:
        async with _living(nats_url, monkeypatch) as (streamer, life):
            client = await RawClient.greeted(streamer.port)
            dying.set()
            assert await client.close_code() == 1012
            with pytest.raises(service.VitalTaskDied):
                async with asyncio.timeout(20):
                    await life
            await client.end()
    (line,) = [line for line in lines if line["event"] == "vital_task_died"]
    assert line["task"] == name
    assert not streamer.process.health.liveness().ok


async def test_what_it_shows_of_its_sockets_lets_nobody_in(streamer: Running) -> None:
    client = await RawClient.open(streamer.port)
    await client.text()
    client.send(b'{"msg":"connect","version":"1","support":["1"]}')
    secret = json.loads(await client.text())["session"]
    assert streamer.process.connections is not None
    (shown,) = streamer.process.connections()
    assert shown["address"] == "127.0.0.1"
    assert shown["user"] is None
    assert secret not in json.dumps(shown)
    await client.end()
