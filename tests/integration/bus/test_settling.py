"""A NATS server that goes away in the middle of a beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from hubbub.bus import BusSettings, NatsBus

pytestmark = pytest.mark.integration

_INFO = (
    b'INFO {"server_id":"S","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576}\r\n'
)


class Server:
    """Speaks as much of NATS's protocol as a connection needs."""

    def __init__(self) -> None:
        self.connections = 0
        self.pings: list[int] = []
        """How many of them each connection sent."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The first one is answered a PING, the one of CONNECT, and then ends."""
        number = self.connections
        self.connections += 1
        self.pings.append(0)
        writer.write(_INFO)
        try:
            async for line in reader:
                if line.startswith(b"PING"):
                    self.pings[number] += 1
                    if number == 0 and self.pings[0] == 2:
                        break
                    writer.write(b"PONG\r\n")
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield server, f"nats://{host}:{port}"


async def test_a_connection_that_is_lost_while_it_is_made_is_made_again() -> None:
    """Whoever connects waits for a server that knows all subscriptions, and does not give up."""
    async with serving() as (server, url):
        settings = BusSettings(nats_url=url, nats_reconnect_wait=0.05)
        bus = NatsBus(settings, service="account", instance="one", registry=CollectorRegistry())
        try:
            async with asyncio.timeout(20):
                await bus.connect()
            assert bus.connected
            assert server.connections == 2
            assert server.pings[1] >= 2
        finally:
            await bus.close()
