"""Buses on a real NATS server, and servers that a test may kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hubbub.bus import BusSettings, NatsBus
from hubbub.clock import Clock
from hubbub.ids import random_id
from hubbub.local.programs import free_port
from tests.integration.bus.broker import Broker

MakeBus = Callable[..., Awaitable[NatsBus]]


@pytest.fixture
async def make_bus(nats_url: str) -> AsyncIterator[MakeBus]:
    """Connected buses, closed at the end: `await make_bus("name")`."""
    async with AsyncExitStack() as stack:

        async def make(
            service: str = "caller",
            *,
            url: str = nats_url,
            clock: Clock | None = None,
            **settings: Any,
        ) -> NatsBus:
            bus = NatsBus(
                BusSettings(nats_url=url, overrides={}, **settings),
                service=service,
                instance=f"{service}-{random_id(5)}",
                clock=clock,
            )
            stack.push_async_callback(bus.close)
            await bus.connect()
            return bus

        yield make


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A server of this test alone, to be stopped and started again on the same port."""
    broker = Broker(tmp_path, free_port())
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()
