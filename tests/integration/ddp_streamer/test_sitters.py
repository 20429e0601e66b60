"""Clients that stop reading, a thousand of them: a bounded price, and nobody else pays it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from hubbub.contracts.event_log import user_audience
from hubbub.ddp.stream import stream_frame
from hubbub.ddp.websocket import TEXT
from hubbub.local.programs import free_port
from tests.integration.ddp_streamer.harness import FakeHub
from tests.integration.ddp_streamer.world import DdpClient, Facts, surroundings
from tests.unit.ddp.client_frames import client_frame
from tests.unit.ddp_streamer.rawclient import handshake
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

KIB, MIB = 1024, 1024 * 1024
SITTERS = 100
"""Of those who are told what nobody else is told: each costs what may be kept for one client."""
CROWD = 1_000
"""Of those who are told all the same."""
BOUND = 1280 * KIB
"""What the streamer may keep for one client."""
FRAME = 240 * KIB
UNSENT = 64 * KIB
"""What the kernel may keep besides."""
ELSEWHERE = 64 * MIB
"""What a streamer may need besides: events that just came, freed memory not given back yet."""
ROUNDS = 4 * (BOUND + UNSENT) // FRAME
"""Rounds of events after which every sitter must have been given up."""
WITHIN = 60.0  # seconds


@dataclass
class Process:
    """A streamer of its own."""

    process: subprocess.Popen[bytes]
    port: int
    ops_port: int
    peak: int = 0
    """Bytes of memory at most since it was last set."""

    @property
    def resident(self) -> int:
        """Bytes of memory that it has at this moment."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def watch(self) -> None:
        """Follow the peak, until cancelled."""
        while True:
            self.peak = max(self.peak, self.resident)
            await asyncio.sleep(0.05)

    async def metric(self, series: str) -> int:
        url = f"http://127.0.0.1:{self.ops_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(series))


class Sitter(asyncio.Protocol):
    """Signs in, listens to a room and to its own notifications, and never reads again."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.sitting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        own = f"{self.user_id}/notification"
        frames = [
            {"msg": "connect", "version": "1", "support": ["1"]},
            {
                "msg": "method",
                "id": "l",
                "method": "login",
                "params": [{"resume": f"token-{self.user_id}"}],
            },
            {"msg": "sub", "id": "r", "name": "stream-room-messages", "params": ["R", False]},
            {"msg": "sub", "id": "n", "name": "stream-notify-user", "params": [own, False]},
        ]
        coded = b"".join(client_frame(TEXT, json.dumps(frame).encode()) for frame in frames)
        transport.write(handshake() + coded)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.count(b'{"msg":"ready"') == 2 and not self.sitting.done():
            assert self._transport is not None
            self._transport.pause_reading()
            self.sitting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.sitting.done():
            self.sitting.set_exception(ConnectionError(f"{exc}, behind {self._read[-200:]!r}"))

    def leave(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Hall:
    """A streamer, those around it, and somebody who reads."""

    streamer: Process
    facts: Facts
    hub: FakeHub
    reader: DdpClient
    said: list[str] = field(default_factory=list)

    async def say(self, padding: str = "") -> None:
        """One more message in the room; whoever reads has it."""
        self.said.append(f"m{len(self.said)}{padding}")
        await self.hub.message("R", self.said[-1])
        await self.reader.hears("room-messages", "R", len(self.said), within=WITHIN)

    async def notify(self, users: list[str]) -> None:
        """Something else for each of them alone, which no two sockets can share."""
        for user_id in users:
            args = b'["%b"]' % os.urandom(FRAME // 2).hex().encode()
            frame = stream_frame("notify-user", f"{user_id}/notification", args)
            await self.hub.ephemeral(
                user_audience(user_id),
                frame,
                stream="notify-user",
                key=f"{user_id}/notification",
            )


@asynccontextmanager
async def process(nats_url: str, output: Path) -> AsyncIterator[Process]:
    """A streamer that serves, with small outboxes."""
    port, ops_port = free_port(), free_port()
    settings = {
        "HOST": "127.0.0.1",
        "PORT": port,
        "MAX_BUFFERED_BYTES": BOUND,
        "UNSENT_BYTES": UNSENT,
        "SOFT_BUFFERED_BYTES": BOUND // 2,
        "CLOSE_TIMEOUT": 1,
        "HANDSHAKES_PER_SECOND": 1_000,
        "LOGINS_PER_SECOND": 1_000,
        "MAX_ANONYMOUS_PER_ADDRESS": 0,
        "SESSION_RESUME_SECONDS": 0,
        "DRAIN_WINDOW": 0,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    variables = {
        **kept,
        "HUBBUB_NATS_URL": nats_url,
        "HUBBUB_OPS_HOST": "127.0.0.1",
        "HUBBUB_OPS_PORT": str(ops_port),
        **{f"HUBBUB_STREAMER_{name}": str(value) for name, value in settings.items()},
    }
    with output.open("wb") as log:
        running = subprocess.Popen(  # noqa: ASYNC220  begins at once
            [sys.executable, "-m", "hubbub.cli.main", "run", "ddp-streamer"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
        )

    async def serves() -> bool:
        assert running.poll() is None, f"it ended, see {output}"
        try:
            url = f"http://127.0.0.1:{ops_port}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await eventually(serves, within=WITHIN, what="the streamer serves")
        yield Process(running, port, ops_port)
    finally:
        running.kill()
        await asyncio.to_thread(running.wait)


@pytest.fixture
async def hall(nats_url: str, tmp_path: Path) -> AsyncIterator[Hall]:
    async with (
        surroundings(nats_url) as (facts, hub),
        process(nats_url, tmp_path / "streamer.log") as streamer,
    ):
        facts.rooms["R"] = "c"
        facts.tokens["token-reader"] = "reader"
        url = f"ws://127.0.0.1:{streamer.port}/websocket"
        async with connect(url, compression=None, max_queue=None, max_size=None) as socket_:
            reader = DdpClient(socket_)
            await reader.greet()
            await reader.login("token-reader")
            await reader.subscribed("room-messages", "R")
            watching = asyncio.create_task(streamer.watch())
            try:
                yield Hall(streamer, facts, hub, reader)
            finally:
                watching.cancel()
                await reader.end()


@asynccontextmanager
async def sitting(hall: Hall, users: list[str]) -> AsyncIterator[None]:
    """They come, stop reading, and leave their sockets open for the time of the context."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(100)

    async def come(user_id: str) -> None:
        hall.facts.tokens[f"token-{user_id}"] = user_id
        own = socket.socket()
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        async with gate:
            await loop.sock_connect(own, ("127.0.0.1", hall.streamer.port))
            _, sitter = await loop.create_connection(lambda: Sitter(user_id), sock=own)
            sitters.append(sitter)
            await sitter.sitting

    sitters: list[Sitter] = []
    try:
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*map(come, users))
        yield
    finally:
        for sitter in sitters:
            sitter.leave()
        await asyncio.sleep(0)  # their transports close in the next turn


async def wave(hall: Hall, name: str) -> int:
    """All of them sit, are told more than they may keep, and are given up; the peak meanwhile."""
    users = [f"{name}{number}" for number in range(SITTERS)]

    async def tell() -> None:
        await hall.notify(users)
        await hall.say()

    before = await told_too_much(hall, users, tell)
    peak = hall.streamer.peak
    assert peak - before < SITTERS * BOUND + ELSEWHERE
    return peak


async def told_too_much(hall: Hall, users: list[str], tell: Callable[[], Awaitable[None]]) -> int:
    """They sit, and are told more until all are given up; the memory before they were told."""
    gone = await _given_up(hall)
    async with sitting(hall, users):
        assert await _connections(hall) == len(users) + 1
        before = hall.streamer.peak = hall.streamer.resident
        for _ in range(ROUNDS):
            if await _given_up(hall) == gone + len(users):
                break
            await tell()
        await eventually(lambda: _only_the_reader_is_left(hall), within=WITHIN)
    assert await _given_up(hall) == gone + len(users)
    return before


async def _given_up(hall: Hall) -> int:
    return await hall.streamer.metric('hubbub_streamer_disconnects_total{reason="slow"}')


async def _connections(hall: Hall) -> int:
    return await hall.streamer.metric("hubbub_streamer_connections ")


async def _only_the_reader_is_left(hall: Hall) -> bool:
    return await _connections(hall) == 1


async def test_clients_that_do_not_read_cost_their_bound_and_no_more(hall: Hall) -> None:
    """The second hundred cost nothing that the first have not cost; whoever reads gets all."""
    first = await wave(hall, "a")
    second = await wave(hall, "b")

    assert second < first + ELSEWHERE // 2
    assert hall.reader.texts("R") == hall.said
    assert hall.reader.closed is None


async def test_a_thousand_clients_that_do_not_read_share_what_they_are_told(hall: Hall) -> None:
    """The messages of a room are in memory once, however many lines they wait in."""
    users = [f"c{number}" for number in range(CROWD)]
    padding = "x" * FRAME

    before = await told_too_much(hall, users, lambda: hall.say(padding))

    assert hall.streamer.peak - before < ELSEWHERE
    assert hall.reader.texts("R") == hall.said
    assert hall.reader.closed is None
