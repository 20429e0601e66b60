"""A whole Hubbub as in production, on one machine: each server and each copy of a service is a
process of its own that can be killed, frozen and started again."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from hubbub.local.plans import LAPTOP
from tests.chaos.broker import COPIES, Cluster
from tests.chaos.database import DatabaseOptions, ReplicaSet
from tests.chaos.links import LinkPlan, Links
from tests.chaos.programs import Program, ports, stop
from tests.waiting import eventually

HOST = "127.0.0.1"
START = 90.0  # seconds
STOP = 10.0  # seconds
HEALED_WITHIN = 60.0  # seconds
STREAMER, HUB, GATEWAY = "ddp-streamer", "stream-hub", "gateway"
PUBLIC_PORTS = {STREAMER: "HUBBUB_STREAMER_PORT", GATEWAY: "HUBBUB_GATEWAY_PORT"}
LINKED = frozenset({STREAMER, HUB})

COPIES_OF_SERVICES: Mapping[str, int] = {
    HUB: 2,
    STREAMER: 3,
    "messaging": 2,
    "account": 2,
    "authorization": 2,
    "presence": 2,
    GATEWAY: 1,
    "push": 1,
    "apps-engine": 1,
}
FEW_COPIES: Mapping[str, int] = {**dict.fromkeys(COPIES_OF_SERVICES, 1), HUB: 2, STREAMER: 2}
"""As few as show what a fault does: for machines with two cores."""

ADMIN = {
    "HUBBUB_ADMIN_USERNAME": "warden",
    "HUBBUB_ADMIN_PASSWORD": "correct horse battery staple",
    "HUBBUB_ADMIN_EMAIL": "warden@example.org",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Which stage to build."""

    copies: Mapping[str, int] = field(default_factory=lambda: COPIES_OF_SERVICES)
    database: DatabaseOptions = field(default_factory=DatabaseOptions)
    linked_database: bool = False
    """Whether everybody's way to MongoDB leads through the proxy too: `mongo-1` to `mongo-3`."""
    linked_clients: bool = False
    """Whether the clients' way to the streamers does: `clients>ddp-streamer-1` and so on."""
    linked: frozenset[str] = LINKED
    """Services whose way to NATS leads through the proxy, one line per process and server:
    `ddp-streamer-1>nats-1` and so on."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables for all services."""
    other_tree: Path | None = None
    """Where another version is installed, in its own `.venv`."""


@dataclass(slots=True)
class Service:
    """One copy of a service."""

    kind: str
    number: int
    program: Program
    ops_port: int
    public_port: int = 0
    line: int = 0
    """Port of the line by which clients come to it; 0: they come straight."""

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def web_socket(self) -> str:
        """Where clients connect to it."""
        return f"ws://{HOST}:{self.line or self.public_port}/websocket"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.public_port}"

    async def is_ready(self, session: aiohttp.ClientSession) -> bool:
        return self.program.lives and await _text(session, self.ops_port, "readyz") is not None

    async def metric(self, session: aiohttp.ClientSession, name: str) -> float | None:
        """The sum of a metric's samples; None while it does not answer."""
        text = await _text(session, self.ops_port, "metrics")
        if text is None:
            return None
        samples = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples)


class Stage:
    """All programs, by what they are. Plain processes: no event loop owns them."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.options = options
        self._free = ports()
        self.logs.mkdir(parents=True, exist_ok=True)
        through = [next(self._free) for _ in range(3)] if options.linked_database else None
        self.database = ReplicaSet(
            folder / "mongo",
            self.logs,
            self._free,
            options.database,
            through=iter(through) if through else None,
        )
        self.broker = Cluster(folder / "nats", self.logs, self._free)
        self._plans: list[LinkPlan] = [
            LinkPlan(f"mongo-{number}", port, self.database.ports[number - 1])
            for number, port in enumerate(through or [], start=1)
        ]
        self._secret = secrets.token_hex(16)
        self.services = [
            self._service(kind, number)
            for kind, copies in options.copies.items()
            for number in range(1, copies + 1)
        ]
        self.links = Links(self._plans, self._free, self.logs / "proxy.log")

    # --- who is there ---

    def of(self, kind: str) -> list[Service]:
        """All copies of a service."""
        return [service for service in self.services if service.kind == kind]

    @property
    def streamers(self) -> list[Service]:
        return self.of(STREAMER)

    @property
    def hubs(self) -> list[Service]:
        return self.of(HUB)

    @property
    def programs(self) -> list[Program]:
        services = [service.program for service in self.services]
        return [*self.database.members, *self.broker.members, self.links.program, *services]

    async def leader(self, *, instead_of: Service | None = None, within: float = 30.0) -> Service:
        """The hub that leads now, and is not `instead_of`."""

        async def leads() -> Service | None:
            async with _session() as session:
                for hub in self.hubs:
                    if hub is not instead_of and await hub.metric(session, "hubbub_hub_leader"):
                        return hub
            return None

        return await eventually(leads, within=within, what="a hub leads")

    async def total(self, services: Sequence[Service], metric: str) -> float:
        """The sum of a metric of these; who does not answer has none."""
        async with _session() as session:
            return sum([await one.metric(session, metric) or 0.0 for one in services])

    async def ready(self, services: Sequence[Service], *, within: float = HEALED_WITHIN) -> None:
        """Wait until these are ready for work."""

        async def all_ready() -> bool:
            async with _session() as session:
                return all([await one.is_ready(session) for one in services])

        names = ", ".join(one.name for one in services)
        await eventually(all_ready, within=within, what=f"{names} ready")

    async def nats_of(self, service: Service) -> Program:
        """The NATS server that a linked service is connected to."""

        async def server() -> Program | None:
            found = await self.links.connections(f"{service.name}>*")
            names = [name.partition(">")[2] for name, count in found.items() if count]
            return next((one for one in self.broker.members if one.name in names), None)

        return await eventually(server, within=30.0, what=f"{service.name} is on a NATS server")

    # --- from the first process to the last ---

    async def start(self) -> None:
        """Return when everything is ready."""
        self.links.program.start()
        self.database.start()
        self.broker.start()
        await self.links.answers()
        await asyncio.gather(self.database.found(), self.broker.settled())
        for service in self.services:
            service.program.start()
        await self.healthy(within=START)

    async def stop(self) -> None:
        """End everything: who faces clients first, the servers last."""
        order = ([STREAMER, GATEWAY], [*set(self.options.copies) - {STREAMER, GATEWAY, HUB}], [HUB])
        for kinds in order:
            await stop([one.program for one in self.services if one.kind in kinds], within=STOP)
        self.end()

    def end(self) -> None:
        """End whatever still runs, at once. Its logs stay, its data goes: a gigabyte per stage."""
        for program in self.programs:
            program.end()
        self.database.end()
        self.broker.end()

    async def heal(self) -> None:
        """Undo every fault: thaw, start again, clear the lines; return when all is well."""
        for program in self.programs:
            if program.frozen:
                program.thaw()
        await self.links.clear()
        for program in self.programs:
            if not program.lives:
                program.start()
        await self.healthy()

    async def healthy(self, *, within: float = HEALED_WITHIN) -> None:
        """Wait until everybody lives and is ready, one hub leads and all copies are whole."""
        last: list[str] = []

        async def well() -> bool:
            last[:] = await self._ills()
            return not last

        try:
            await eventually(well, within=within, what="the stage is healthy")
        except AssertionError:
            raise AssertionError(
                f"not healthy within {within:g} s: {', '.join(last)}; logs: {self.logs}"
            ) from None

    async def _ills(self) -> list[str]:
        ills = [f"{program.name} is dead" for program in self.programs if not program.lives]
        ills += [f"{program.name} is frozen" for program in self.programs if program.frozen]
        async with _session() as session:
            leaders = 0.0
            for service in self.services:
                if not await service.is_ready(session):
                    ills.append(f"{service.name} is not ready")
                elif service.kind == HUB:
                    leaders += await service.metric(session, "hubbub_hub_leader") or 0.0
        if leaders != 1:
            ills.append(f"{leaders:g} hubs lead")
        if not await self.database.is_whole():
            ills.append("the replica set is not whole")
        if not await self.broker.is_whole():
            ills.append("the NATS cluster is not whole")
        return ills

    # --- one copy of a service ---

    def _service(self, kind: str, number: int) -> Service:
        name = f"{kind}-{number}"
        ops_port, public_port = next(self._free), next(self._free)
        environment = {
            **LAPTOP,
            "HUBBUB_HTTP_FORWARDED_COUNT": "0",
            "HUBBUB_MONGO_URL": self.database.url,
            "HUBBUB_NATS_URL": self._nats_url(name)
            if kind in self.options.linked
            else self.broker.url,
            "HUBBUB_OPS_HOST": HOST,
            "HUBBUB_OPS_PORT": str(ops_port),
            "HUBBUB_ROOT_URL": f"http://{HOST}",
            "HUBBUB_LOG_FORMAT": "json",
            "HUBBUB_STREAM_HUB_LOG_REPLICAS": str(COPIES),
            "HUBBUB_NATS_STREAM_REPLICAS": str(COPIES),
            "HUBBUB_STREAMER_SESSION_REPLICAS": str(COPIES),
            "HUBBUB_DRAIN_DEADLINE": f"{STOP - 1:g}",
            # All clients of the drill share one address.
            "HUBBUB_ACCOUNT_EXEMPT_NETWORKS": f'["{HOST}/32"]',
            "HUBBUB_STREAMER_HANDSHAKES_PER_SECOND": "1000",
            **({PUBLIC_PORTS[kind]: str(public_port)} if kind in PUBLIC_PORTS else {}),
            **(ADMIN if kind == "account" else {}),
            **self.options.settings,
        }
        command = [sys.executable, "-m", "hubbub.cli.main", "run", kind]
        program = Program(name, command, self.logs / f"{name}.log", environment)
        line = 0
        if kind == STREAMER and self.options.linked_clients:
            line = next(self._free)
            self._plans.append(LinkPlan(f"clients>{name}", line, public_port))
        return Service(kind, number, program, ops_port, public_port, line)

    def _nats_url(self, name: str) -> str:
        """Addresses of this process's own lines to the NATS servers."""
        urls = []
        for member, target in zip(self.broker.members, self.broker.ports, strict=True):
            port = next(self._free)
            self._plans.append(LinkPlan(f"{name}>{member.name}", port, target, nats=True))
            urls.append(f"nats://{HOST}:{port}")
        return ",".join(urls)


@asynccontextmanager
async def stage(folder: Path, options: Options | None = None) -> AsyncIterator[Stage]:
    """A stage that is up; nothing of it is left afterwards but its logs."""
    built = Stage(folder, options or Options())
    try:
        await built.start()
        yield built
        await built.stop()
    finally:
        built.end()


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        yield session


async def _text(session: aiohttp.ClientSession, port: int, path: str) -> str | None:
    try:
        async with session.get(f"http://{HOST}:{port}/{path}") as answer:
            return await answer.text() if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None
