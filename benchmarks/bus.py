"""Calls between services: Hubbub's bus over NATS and in one process, beside its peers.

    python -m benchmarks.bus [--seconds 2] [--rounds 3] [--concurrency 1 32 256]

Caller and callee are processes of their own; nats-server is a third. Peers are Moleculer over
NATS, with its arguments validated on both sides as Hubbub's are, and nats-py's own `request()`,
which carries the same bytes and checks nothing. Hubbub's calls carry their deadline and are
counted in metrics. Rounds alternate between candidates. CPU is user + system time of caller and
callee, not of the broker. Nothing is pinned: three busy processes share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import nats
import uvloop
from nats.aio.msg import Msg

from benchmarks import peers
from benchmarks.figures import Outcome, command
from hubbub.bus import BusSettings, LocalBus, NatsBus
from hubbub.contracts.base import Contract, action
from hubbub.local import servers

PLAIN_SUBJECT = "bench.plain"
BODY = b'{"user_id":"abcdefghijklmnopq","permission":"delete-message","room_id":"GENERAL"}'
REPLY = b'{"ok":true}'
CONCURRENCIES = (1, 32, 256)
_LOCAL = frozenset({"hubbub_local", "hubbub_local_uncoded"})


class Bench(Contract, Protocol, name="bench"):
    """What is called."""

    @action(idempotent=True)
    async def has_permission(
        self, user_id: str, permission: str, room_id: str | None = None
    ) -> bool:
        """An answer that takes no time."""
        ...

    @action()
    async def cpu(self) -> float:
        """Seconds of CPU that the callee has used."""
        ...


class BenchService(Bench):
    """The callee."""

    async def has_permission(
        self, user_id: str, permission: str, room_id: str | None = None
    ) -> bool:
        return True

    async def cpu(self) -> float:
        return used()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One round of one candidate."""

    candidate: str
    concurrency: int
    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Microseconds of CPU per call, of caller and callee together."""
    caller_cpu_us: float


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def answer(url: str) -> None:
    """The callee's process: both ways of answering, until its input ends."""
    bus = NatsBus(BusSettings(nats_url=url), service="bench", instance="bench-1")
    await bus.connect()
    await bus.serve(BenchService())
    client = await nats.connect(url)

    async def plain(message: Msg) -> None:
        await message.respond(REPLY)

    await client.subscribe(PLAIN_SUBJECT, queue="bench", cb=plain)
    await client.flush()
    await client.flush()  # one proves nothing: it may overtake the subscription
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await bus.close()
    await client.close()


async def calls(
    candidate: str,
    call: Callable[[], Awaitable[object]],
    callee_cpu: Callable[[], Awaitable[float]],
    *,
    concurrency: int,
    seconds: float,
) -> Measurement:
    """Call from `concurrency` tasks at once for `seconds`."""
    for _ in range(50):
        await call()
    durations: list[float] = []
    callee_before, caller_before = await callee_cpu(), used()
    started = time.perf_counter()
    end = started + seconds

    async def worker() -> None:
        while (before := time.perf_counter()) < end:
            await call()
            durations.append(time.perf_counter() - before)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(worker())
    elapsed = time.perf_counter() - started
    caller = used() - caller_before
    callee = await callee_cpu() - callee_before
    durations.sort()
    count = len(durations)
    return Measurement(
        candidate=candidate,
        concurrency=concurrency,
        calls_per_second=count / elapsed,
        p50_ms=durations[count // 2] * 1000,
        p99_ms=durations[count * 99 // 100] * 1000,
        cpu_us=(caller + callee) / count * 1e6,
        caller_cpu_us=caller / count * 1e6,
    )


Round = Callable[[int, float], Awaitable[Measurement]]
"""Measures a candidate: concurrency, seconds."""


async def moleculer(stack: AsyncExitStack, url: str) -> Round:
    """Moleculer's caller, with its callee running. Raises: peers.Missing."""
    answering = await asyncio.to_thread(peers.moleculer, "answer", url)
    await stack.enter_async_context(peers.running(answering))
    caller = await stack.enter_async_context(peers.running(peers.moleculer("call", url)))

    async def measure_one(concurrency: int, seconds: float) -> Measurement:
        answer = json.loads(await caller.ask(f"{concurrency} {seconds}", seconds + 30))
        return Measurement(candidate="moleculer", concurrency=concurrency, **answer)

    return measure_one


async def run(options: argparse.Namespace) -> Outcome:
    """All candidates in turn, `rounds` times."""
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(servers.nats(folder))
        callee = [sys.executable, "-m", "benchmarks.bus", "--answer", server.url]
        await stack.enter_async_context(peers.running(callee))

        bus = NatsBus(BusSettings(nats_url=server.url), service="caller", instance="caller-1")
        await bus.connect()
        stack.push_async_callback(bus.close)
        remote = bus.proxy(Bench)
        client = await nats.connect(server.url)
        stack.push_async_callback(client.close)
        local = LocalBus()
        await local.serve(BenchService())
        stack.push_async_callback(local.close)
        uncoded = LocalBus(coding=False)
        await uncoded.serve(BenchService())
        stack.push_async_callback(uncoded.close)

        async def nothing() -> float:
            return 0.0

        async def plain() -> object:
            return await client.request(PLAIN_SUBJECT, BODY, timeout=5)

        def through(proxy: Bench) -> Callable[[], Awaitable[object]]:
            async def call() -> object:
                return await proxy.has_permission(
                    user_id="abcdefghijklmnopq", permission="delete-message", room_id="GENERAL"
                )

            return call

        def own(
            name: str, call: Callable[[], Awaitable[object]], cpu: Callable[[], Awaitable[float]]
        ) -> Round:
            async def measure_one(concurrency: int, seconds: float) -> Measurement:
                return await calls(name, call, cpu, concurrency=concurrency, seconds=seconds)

            return measure_one

        candidates = {
            "nats_py": own("nats_py", plain, remote.cpu),
            "hubbub": own("hubbub", through(remote), remote.cpu),
            "hubbub_local": own("hubbub_local", through(local.proxy(Bench)), nothing),
            "hubbub_local_uncoded": own(
                "hubbub_local_uncoded", through(uncoded.proxy(Bench)), nothing
            ),
        }
        try:
            candidates["moleculer"] = await moleculer(stack, server.url)
        except peers.Missing as missing:
            outcome.notes.append(f"left out: Moleculer: {missing}")
        found: dict[tuple[str, int], list[Measurement]] = {}
        for turn in range(options.rounds):
            for concurrency in options.concurrency:
                for name, measure_one in candidates.items():
                    if name in _LOCAL and concurrency != options.concurrency[0]:
                        continue  # nothing is waited for there
                    one = await measure_one(concurrency, options.seconds)
                    found.setdefault((name, concurrency), []).append(one)
            await asyncio.sleep(0.2 if turn + 1 < options.rounds else 0)
    for (name, concurrency), rounds in found.items():
        prefix = f"rpc.{name}" if name in _LOCAL else f"rpc.{name}.c{concurrency}"
        outcome.put(f"{prefix}.calls", [one.calls_per_second for one in rounds], "per s")
        outcome.put(f"{prefix}.p99", [one.p99_ms for one in rounds], "ms")
        outcome.put(f"{prefix}.cpu", [one.cpu_us for one in rounds], "µs")
    for concurrency in options.concurrency:
        for peer in ("moleculer", "nats_py"):
            for part in ("calls", "p99"):
                outcome.ratio(
                    f"rpc.c{concurrency}.{part}_to_{peer}",
                    f"rpc.hubbub.c{concurrency}.{part}",
                    f"rpc.{peer}.c{concurrency}.{part}",
                )
    return outcome


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    return uvloop.run(run(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--concurrency", type=int, nargs="+", default=list(CONCURRENCIES), metavar="N"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        uvloop.run(answer(sys.argv[2]))
    else:
        command(__doc__, measure, arguments)
