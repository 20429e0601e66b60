"""What a connection of the streamer costs without the rest of it: CPU per frame, memory.

    python -m benchmarks.fanout_connection [--clients 1000] [--idle 8000] [--rounds 5]

The server runs on one core, clients that only read on another. CPU is user + system time of the
server process divided by the frames it delivered; every frame is counted at the clients, and a
run with a missing byte is void. The yardstick is the same process writing the same frame to the
same sockets with bare `os.write`, in turn with the streamer's own path. What the whole streamer
costs is measured by `benchmarks.streamer`; this one is for work on the connection alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import select
import socket
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.figures import Outcome, command
from benchmarks.machine import cores
from hubbub.ddp import messages
from hubbub.ddp.messages import Connect, Inbound
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.connection import Connection
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.listener import PublicListener
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.settings import StreamerSettings

_HANDSHAKE = (
    b"GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_CONNECT = b'{"msg":"connect","version":"1","support":["1"]}'
_FRAME_BYTES = 600
_EVENTS = 50  # of a steady round
_BURST = 20  # events
_BURST_SECONDS = 0.005


class _Session:
    __slots__ = ("connection",)

    user_id = None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def on_message(self, message: Inbound) -> None:
        if isinstance(message, Connect):
            self.connection.send(messages.connected("s" * 24))

    def on_closed(self, code: int, reason: str) -> None:
        return


def _clients(port: int, pipe: Pipe, core: int) -> None:
    """The other process: opens as many connections as it is told, reads, counts bytes."""
    os.sched_setaffinity(0, {core})
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    poll.register(pipe.fileno(), select.EPOLLIN)
    received = 0
    masked = bytes((0x81, 0x80 | len(_CONNECT), 0, 0, 0, 0)) + _CONNECT
    while True:
        for fd, _ in poll.poll():
            if fd != pipe.fileno():
                received += len(sockets[fd].recv(1 << 20))
                continue
            order = pipe.recv()
            if order == "count":
                pipe.send(received)
                received = 0
            elif order == "stop":
                return
            else:
                for _ in range(order):
                    one = socket.create_connection(("127.0.0.1", port))
                    one.sendall(_HANDSHAKE + masked)
                    one.setblocking(False)
                    sockets[one.fileno()] = one
                    poll.register(one, select.EPOLLIN)
                pipe.send(len(sockets))


class _Bench:
    def __init__(self, listener: PublicListener, pipe: Pipe) -> None:
        self._listener = listener
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()

    async def _ask(self, order: int | str) -> int:
        self._pipe.send(order)
        answer: int = await self._loop.run_in_executor(None, self._pipe.recv)
        return answer

    async def connect(self, number: int) -> list[Connection]:
        """`number` more clients, all greeted; all connections."""
        while number > 0:
            await self._ask(min(number, 500))
            number -= 500
        async with asyncio.timeout(60):
            while not all(one.connected for one in self._listener.connections):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        await self._ask("count")
        return list(self._listener.connections)

    async def cpu(self, work: Callable[[], Awaitable[int]], sent_bytes: int) -> float:
        """CPU microseconds per frame of `work`, which returns how many frames it sent."""
        await self._ask("count")
        begun = time.process_time()
        frames = await work()
        spent = time.process_time() - begun
        received, deadline = 0, time.monotonic() + 10
        while received < frames * sent_bytes and time.monotonic() < deadline:
            received += await self._ask("count")
        if received != frames * sent_bytes:
            raise SystemExit(f"void: {received} of {frames * sent_bytes} bytes arrived")
        return spent / frames * 1e6


def _frame() -> SharedFrame:
    body = b'["' + b"x" * (_FRAME_BYTES - 110) + b'"]'
    return SharedFrame(stream_frame("room-messages", "GENERAL", body))


async def _measure_fanout(bench: _Bench, clients: int, rounds: int) -> dict[str, list[float]]:
    connections = await bench.connect(clients)
    size = len(_frame().raw)
    descriptors = [_descriptor(connection) for connection in connections]

    async def bare() -> int:
        for _ in range(_EVENTS):
            data = _frame().raw
            for descriptor in descriptors:
                os.write(descriptor, data)
            await asyncio.sleep(0.01)
        return _EVENTS * len(descriptors)

    async def steady() -> int:
        for _ in range(_EVENTS):
            frame = _frame()
            for connection in connections:
                connection.send_shared(frame)
            await asyncio.sleep(0.01)
        return _EVENTS * len(connections)

    async def burst() -> int:
        for _ in range(5):
            begun = time.monotonic()
            for index in range(_BURST):
                frame = _frame()
                for connection in connections:
                    connection.send_shared(frame)
                due = begun + (index + 1) * _BURST_SECONDS / _BURST
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.sleep(0.05)
        return 5 * _BURST * len(connections)

    figures: dict[str, list[float]] = {"bare": [], "steady": [], "burst": []}
    for _ in range(rounds):
        for name, work in (("bare", bare), ("steady", steady), ("burst", burst)):
            figures[name].append(await bench.cpu(work, size))
    return figures


def _descriptor(connection: Connection) -> int:
    transport = connection._transport  # noqa: SLF001  for the yardstick only
    assert transport is not None
    descriptor: int = transport.get_extra_info("socket").fileno()
    return descriptor


async def _measure_memory(bench: _Bench, idle: int) -> float:
    await bench.connect(10)
    before = _settled_memory()
    await bench.connect(idle - 10)
    await asyncio.sleep(5)
    return (_settled_memory() - before) / (idle - 10)


def _settled_memory() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _server(ready: Pipe, what: str, amount: int, rounds: int) -> None:
    settings = StreamerSettings(
        host="127.0.0.1",
        port=0,
        max_connections=100_000,
        max_anonymous_per_address=0,
        anonymous_timeout=0,
        handshakes_per_second=100_000,
    )
    metrics = StreamerMetrics(CollectorRegistry())
    async with PublicListener(settings, metrics, _Session, healthy=lambda: True) as listener:
        ours, theirs = multiprocessing.Pipe()
        first, others = cores()
        second = min(others)
        os.sched_setaffinity(0, first)
        reader = multiprocessing.get_context("spawn").Process(
            target=_clients, args=(listener.port, theirs, second)
        )
        reader.start()
        bench = _Bench(listener, ours)
        try:
            if what == "fanout":
                ready.send(await _measure_fanout(bench, amount, rounds))
            else:
                ready.send({"idle": [await _measure_memory(bench, amount)]})
        finally:
            ours.send("stop")
            reader.join(10)


def _run(ready: Pipe, what: str, amount: int, rounds: int) -> None:
    uvloop.run(_server(ready, what, amount, rounds))


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    outcome = Outcome()
    for what, amount in (("fanout", options.clients), ("memory", options.idle)):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(theirs, what, amount, options.rounds)
        )
        process.start()
        while process.is_alive() and not ours.poll(0.5):
            pass
        if not ours.poll():
            raise SystemExit(f"{what}: no result")
        found: dict[str, list[float]] = ours.recv()
        process.join(30)
        for name, rounds in found.items():
            unit = "µs" if what == "fanout" else "B"
            outcome.put(f"connection.{name}", rounds, unit)
    outcome.ratio("connection.steady_to_bare", "connection.steady", "connection.bare")
    outcome.ratio("connection.burst_to_steady", "connection.burst", "connection.steady")
    return outcome


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=5)


if __name__ == "__main__":
    command(__doc__, measure, arguments)
