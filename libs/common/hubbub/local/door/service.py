"""The process of the front door."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import orjson
from aiohttp import web
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.local.door.backends import Backend, Backends, Role
from hubbub.local.door.doorman import Doorman, Doormen
from hubbub.local.door.head import Head
from hubbub.local.door.metrics import DoorMetrics
from hubbub.local.door.plain_http import PlainServer
from hubbub.local.door.proxy import Proxy
from hubbub.local.door.upgrade import pass_on
from hubbub.runtime import Process, run_process
from hubbub.settings import Settings, load
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

NAME = "front-door"
BACKLOG = 4096  # connections that wait in the kernel; many, for mass reconnects
PLAIN_DRAIN = 2.0  # seconds that plain requests have to end


class DoorSettings(Settings):
    """What `hubbub up` tells its front door."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_DOOR_")

    socket: int = Field(default=..., ge=0)
    """Number of the listening socket that the supervisor bound and handed down."""


class Door:
    """All connections of the front door."""

    def __init__(self, metrics: DoorMetrics) -> None:
        self._metrics = metrics
        self.backends: dict[Role, Backends] = {"streamer": Backends(), "gateway": Backends()}
        self.proxy = Proxy(self.backends, metrics)
        self._doormen: Doormen = {}
        self._upgrades: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket, stopping: asyncio.Event) -> None:
        """Take connections until `stopping`, then wait for those that are open to end."""
        http = PlainServer(self._handle)
        loop = asyncio.get_running_loop()
        async with self.proxy.running():
            server = await loop.create_server(
                lambda: Doorman(http, self._doormen, self._take_over),
                sock=listening,
                backlog=BACKLOG,
            )
            try:
                await stopping.wait()
                server.close()
                if self._upgrades:
                    await asyncio.wait(self._upgrades)
            finally:
                server.close()
                for task in self._upgrades:
                    task.cancel()
                await asyncio.gather(*self._upgrades, return_exceptions=True)
                await http.shutdown(PLAIN_DRAIN)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self.proxy.handle(request)
        finally:
            doorman = self._doormen.get(request.protocol)
            if doorman is not None:
                doorman.request_ended()

    def _take_over(self, head: Head, rest: bytes, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else "unknown"
        backends = self.backends["streamer"]
        task = asyncio.create_task(
            pass_on(head, rest, transport, address, backends, self._metrics), name="upgrade"
        )
        self._upgrades.add(task)
        task.add_done_callback(self._upgrade_ended)

    def _upgrade_ended(self, task: asyncio.Task[None]) -> None:
        self._upgrades.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("upgrade_failed", exc_info=error)


async def run(process: Process) -> None:
    """Serve on the socket that the supervisor bound, to the backends that it names on stdin."""
    settings = load(DoorSettings)
    door = Door(DoorMetrics(process.registry))
    listening = socket.socket(fileno=settings.socket)
    async with asyncio.TaskGroup() as tasks:
        orders = tasks.create_task(_follow(door), name="orders")
        process.health.ready()
        await door.serve(listening, process.stopping)
        orders.cancel()


async def _follow(door: Door) -> None:
    """Take the backends that the supervisor names, one JSON line per change."""
    async for line in _lines():
        told = orjson.loads(line)
        for role, backends in door.backends.items():
            backends.replace([Backend(*one) for one in told[role]])


async def _lines() -> AsyncIterator[bytes]:
    """Lines of standard input. Ends with the supervisor."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            yield line
    finally:
        transport.close()


if __name__ == "__main__":
    sys.exit(run_process(NAME, run))
