"""Three NATS servers as one cluster with JetStream."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import StreamInfo

from hubbub.contracts.event_log import LOG_STREAM
from hubbub.local.programs import find_nats_server
from tests.chaos.programs import Program
from tests.waiting import eventually

HOST = "127.0.0.1"
START = 60.0  # seconds
COPIES = 3

_CONFIGURATION = """\
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitoring}"
jetstream {{
  store_dir: "{store}"
  max_memory_store: 64MB
  max_file_store: 2GB
  sync_interval: "100ms"
}}
cluster {{
  name: chaos
  listen: "{host}:{routing}"
  routes: [{routes}]
  # As the chart has it: a member that stands still is known to the others in six seconds.
  ping_interval: "2s"
  ping_max: 2
  # Clients keep to the addresses they were given: the lines that faults act on.
  no_advertise: true
}}
"""


class Cluster:
    """`nats-1` to `nats-3`."""

    def __init__(self, folder: Path, logs: Path, free: Iterator[int]) -> None:
        self._folder = folder
        self.ports = [next(free) for _ in range(3)]
        self._monitoring = [next(free) for _ in range(3)]
        self._routing = [next(free) for _ in range(3)]
        self.url = ",".join(f"nats://{HOST}:{port}" for port in self.ports)
        self.members = [
            Program(
                name := f"nats-{number}",
                [str(find_nats_server()), "--config", str(folder / f"{name}.conf")],
                logs / f"{name}.log",
            )
            for number in (1, 2, 3)
        ]

    def start(self) -> None:
        """Start all servers."""
        routes = ", ".join(f'"nats://{HOST}:{port}"' for port in self._routing)
        self._folder.mkdir(parents=True, exist_ok=True)
        for index, member in enumerate(self.members):
            (self._folder / f"{member.name}.conf").write_text(
                _CONFIGURATION.format(
                    name=member.name,
                    host=HOST,
                    port=self.ports[index],
                    monitoring=self._monitoring[index],
                    routing=self._routing[index],
                    routes=routes,
                    store=self.store(member),
                )
            )
            member.start()

    def end(self) -> None:
        """Delete all data; the servers have ended."""
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def store(self, member: Program) -> Path:
        """The folder that a server keeps its streams in."""
        return self._folder / member.name

    async def settled(self) -> None:
        """Wait until every server says that it is well."""
        await eventually(self.is_whole, within=START, what="the NATS cluster is well")

    async def is_whole(self) -> bool:
        """Whether all servers answer and all their streams are up to date."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            for port in self._monitoring:
                try:
                    async with session.get(f"http://{HOST}:{port}/healthz") as answer:
                        if answer.status != 200:
                            return False
                except (aiohttp.ClientError, TimeoutError):
                    return False
        return True

    async def log_leader(self, *, within: float = 30.0) -> Program:
        """The server that leads the stream of events."""

        async def leader() -> Program | None:
            info = await self.log()
            name = info.cluster.leader if info is not None and info.cluster else None
            return next((one for one in self.members if one.name == name and one.lives), None)

        return await eventually(leader, within=within, what="the event log has a leader")

    async def log(self) -> StreamInfo | None:
        """The stream of events; None while nobody can tell."""
        with suppress(nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            async with self.client() as client:
                return await client.jetstream(timeout=2.0).stream_info(LOG_STREAM)
        return None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of the cluster, for looking and for breaking things.

        Raises:
            OSError, nats.errors.Error: none of its living servers answers.
        """

        async def quiet(_: Exception) -> None:
            """Servers that are dead on purpose are no news."""

        living = [
            f"nats://{HOST}:{port}"
            for member, port in zip(self.members, self.ports, strict=True)
            if member.lives and not member.frozen
        ]
        async with asyncio.timeout(5.0):
            client = await nats.connect(
                living, allow_reconnect=False, connect_timeout=2, error_cb=quiet
            )
        try:
            yield client
        finally:
            await client.close()
