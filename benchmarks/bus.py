"""Calls between services: Hubbub's bus over NATS and in one process, beside nats-py's `request()`.

    python -m benchmarks.bus [--seconds 2] [--rounds 3] [--concurrency 1 32 256] [--json FILE]

Caller and callee are processes of their own; nats-server is a third. Hubbub's calls are checked
on both sides, carry their deadline and are counted; nats-py's carry the same bytes and nothing
is checked, so the comparison favours it. Rounds alternate between candidates; the table shows
medians. CPU is user + system time of caller and callee, not of the broker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Protocol

import nats
import uvloop
from nats.aio.msg import Msg

from hubbub.bus import BusSettings, LocalBus, NatsBus
from hubbub.contracts.base import Contract, action
from hubbub.local import servers

PLAIN_SUBJECT = "bench.plain"
BODY = b'{"user_id":"abcdefghijklmnopq","permission":"delete-message","room_id":"GENERAL"}'
REPLY = b'{"ok":true}'
CONCURRENCIES = (1, 32, 256)


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
    await client.flush()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await bus.close()
    await client.close()


async def measure(
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


async def run(seconds: float, rounds: int, concurrencies: list[int]) -> list[Measurement]:
    """All candidates in turn, `rounds` times."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(servers.nats(folder))
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.bus", "--answer", server.url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        stack.push_async_callback(child.wait)
        assert child.stdin is not None
        stack.callback(child.stdin.close)
        assert child.stdout is not None
        while b"ready" not in (line := await child.stdout.readline()):
            if not line:
                raise SystemExit("the callee ended before it was ready")

        bus = NatsBus(BusSettings(nats_url=server.url), service="caller", instance="caller-1")
        await bus.connect()
        stack.push_async_callback(bus.close)
        remote = bus.proxy(Bench)
        client = await nats.connect(server.url)
        stack.push_async_callback(client.close)
        local = LocalBus()
        await local.serve(BenchService())
        stack.push_async_callback(local.close)
        near = local.proxy(Bench)
        checked = LocalBus(coding=False)
        await checked.serve(BenchService())
        stack.push_async_callback(checked.close)
        uncoded = checked.proxy(Bench)

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

        candidates = [
            ("nats-py request()", plain, remote.cpu),
            ("hubbub remote", through(remote), remote.cpu),
            ("hubbub in process", through(near), nothing),
            ("hubbub in process, uncoded", through(uncoded), nothing),
        ]
        return [
            await measure(name, call, cpu, concurrency=concurrency, seconds=seconds)
            for _ in range(rounds)
            for concurrency in concurrencies
            for name, call, cpu in candidates
        ]


def medians(measurements: list[Measurement]) -> list[Measurement]:
    """One row per candidate and concurrency."""
    groups: dict[tuple[int, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.concurrency, one.candidate), []).append(one)
    return [
        Measurement(
            candidate=candidate,
            concurrency=concurrency,
            calls_per_second=statistics.median(one.calls_per_second for one in group),
            p50_ms=statistics.median(one.p50_ms for one in group),
            p99_ms=statistics.median(one.p99_ms for one in group),
            cpu_us=statistics.median(one.cpu_us for one in group),
            caller_cpu_us=statistics.median(one.caller_cpu_us for one in group),
        )
        for (concurrency, candidate), group in groups.items()
    ]


def table(rows: list[Measurement]) -> str:
    """The rows with their ratio to nats-py."""
    baseline = {
        row.concurrency: row.calls_per_second for row in rows if row.candidate.startswith("nats")
    }
    lines = [
        f"{'c':>4}  {'candidate':<28}{'calls/s':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'CPU µs':>9}{'caller µs':>11}"
    ]
    lines += [
        f"{row.concurrency:>4}  {row.candidate:<28}{row.calls_per_second:>10,.0f}"
        f"{row.calls_per_second / baseline[row.concurrency]:>8.2f}{row.p50_ms:>9.3f}"
        f"{row.p99_ms:>9.3f}{row.cpu_us:>9.1f}{row.caller_cpu_us:>11.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--concurrency", type=int, nargs="+", default=list(CONCURRENCIES), metavar="N"
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--answer", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        uvloop.run(answer(arguments.answer))
        return
    rows = medians(uvloop.run(run(arguments.seconds, arguments.rounds, arguments.concurrency)))
    print(table(rows))
    if arguments.json is not None:
        result = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": platform.platform(),
            "python": platform.python_version(),
            "versions": {
                name: metadata.version(name) for name in ("nats-py", "pydantic", "uvloop")
            },
            "rows": [asdict(row) for row in rows],
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
