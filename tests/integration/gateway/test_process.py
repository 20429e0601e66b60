"""The process of the gateway, on real servers."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.events import UserChanged
from hubbub.ids import UserId
from hubbub.runtime import Process
from services.gateway.service import run
from tests.integration.gateway.fakes import (
    FakeAccount,
    FakeAuthorization,
    FakeMessaging,
    FakePresence,
    made,
)
from tests.integration.gateway.world import World
from tests.waiting import eventually

pytestmark = pytest.mark.integration


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_whole_life(nats_url: str, mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts before the services it needs, serves, hears events, and ends when asked."""
    port = free_port()
    monkeypatch.setenv("HUBBUB_NATS_URL", nats_url)
    monkeypatch.setenv("HUBBUB_MONGO_URL", mongo_url)
    monkeypatch.setenv("HUBBUB_GATEWAY_PORT", str(port))
    base = f"http://127.0.0.1:{port}"
    world = World()
    world.add_user("ana")
    headers = world.token_for("ana")
    process = Process("gateway", registry=CollectorRegistry())
    life = asyncio.create_task(run(process))
    await eventually(lambda: process.health.is_ready, within=15.0)

    services = NatsBus(BusSettings(nats_url=nats_url), service="fakes", instance="fakes-1")
    await services.connect()
    for kind in (FakeAccount, FakeAuthorization, FakeMessaging, FakePresence):
        await services.serve(made(kind, world))
    async with aiohttp.ClientSession() as session:

        async def status(path: str) -> int:
            async with session.get(base + path, headers=headers) as response:
                return response.status

        assert await status("/health") == 200
        assert await status("/api/v1/me") == 200
        world.tokens.clear()
        await services.publish(UserChanged(user_id=UserId("id-ana")))

        async def revoked() -> bool:
            return await status("/api/v1/me") == 401

        await eventually(revoked, within=10.0)
    process.stopping.set()
    async with asyncio.timeout(20):
        await life

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await services.drain()
    await services.close()
