"""What it costs a streamer to follow many rooms and users: time, memory, NATS subscriptions.

    python -m benchmarks.audiences [--audiences 5000] [--events 20000] [--rounds 3]

The part of the streamer that follows audiences runs in this process, NATS beside it. Audiences
are taken 500 at a time, as mass logins do; then events come live, in turn on each of them, from
another process. CPU is user + system time of this process. Memory is resident memory, of this
process and of nats-server; each round follows anew, but only the first finds a process without
memory to use again.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import tempfile
import time
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import uvloop

from benchmarks.figures import Outcome, command
from benchmarks.publishing import publisher
from hubbub.bus.connection import Connection
from hubbub.contracts.event_log import (
    LIVE_SUBJECTS,
    Audience,
    Header,
    Kind,
    room_audience,
    user_audience,
)
from hubbub.ddp.stream import stream_frame
from hubbub.local import servers
from services.ddp_streamer.audiences import Audiences, Event

_AT_ONCE = 500
_SEQUENCES = 1_000_000  # of events that were never in the log
_PAYLOAD = stream_frame("room-messages", "R", b'[{"_id":"m","msg":"%b"}]' % (b"x" * 450))


class _Counter:
    """A receiver that counts."""

    full = False

    def __init__(self) -> None:
        self.events = 0
        self.wanted = 0
        self.reached = asyncio.Event()

    def on_event(self, event: Event, *, wildcard: bool) -> None:
        self.events += 1
        if self.events == self.wanted:
            self.reached.set()

    def on_ephemeral(self, event: Event) -> None:
        raise AssertionError("nobody publishes these here")

    def on_opened(self, audience: Audience) -> None:
        return

    def on_lost(self, audience: Audience) -> None:
        raise AssertionError(f"{audience} was lost")

    async def wait_for_room(self) -> None:
        return


def _named(count: int) -> list[Audience]:
    half = count // 2
    return [room_audience(f"room{number}") for number in range(half)] + [
        user_audience(f"user{number}") for number in range(count - half)
    ]


def _publish(pipe: Pipe, url: str, count: int) -> None:
    """The other process: publishes as many events as it is told, in turn on each audience."""

    async def work() -> None:
        client = Connection()
        await client.connect(url)
        audiences, sequence = _named(count), _SEQUENCES
        while (events := await asyncio.to_thread(pipe.recv)) is not None:
            for number in range(events):
                sequence += 1
                headers = {
                    Header.KIND: Kind.FRAME.value,
                    Header.STREAM: "room-messages",
                    Header.KEY: "R",
                    Header.EPOCH: "1",
                    Header.EVENT_ID: str(sequence),
                    Header.SEQUENCE: str(sequence),
                    Header.LAST_SEQUENCE: "0",
                }
                subject = LIVE_SUBJECTS + audiences[number % count]
                await client.publish(subject, _PAYLOAD, headers=headers)
                if number % 100 == 99:
                    await client.flush()
        await client.close()

    asyncio.run(work())


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def run(audiences: int, events: int, rounds: int) -> Outcome:
    """All rounds. Raises: AssertionError: an event is missing."""
    outcome = Outcome()
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, value in (await _round(audiences, events)).items():
            found.setdefault(name, []).append(value)
    units = {
        "take_seconds": "s",
        "take_cpu": "µs per audience",
        "streamer_memory": "bytes per audience",
        "nats_memory": "bytes per audience",
        "subscriptions": "per audience",
        "take_nats_cpu": "µs per audience",
        "event_cpu": "µs per event",
        "event_nats_cpu": "µs per event",
    }
    for name, unit in units.items():
        outcome.put(name, found[name], unit)
    return outcome


async def _round(count: int, events: int) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
        server = await stack.enter_async_context(servers.nats(folder))
        await stack.enter_async_context(publisher(server.url, "nobody"))
        mine, other = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_publish, args=(other, server.url, count)
        )
        process.start()
        stack.callback(process.join, 10)
        stack.callback(mine.send, None)
        client = Connection()
        await client.connect(server.url)
        stack.push_async_callback(client.close)
        counter = _Counter()
        following = await stack.enter_async_context(Audiences(client, counter))
        named = _named(count)
        gc.collect()
        memory, nats_memory = _resident(os.getpid()), _resident(server.process.pid)
        begun, cpu, nats_cpu = time.perf_counter(), time.process_time(), _cpu(server.process.pid)
        for start in range(0, count, _AT_ONCE):
            await following.acquire(named[start : start + _AT_ONCE])
        took = time.perf_counter() - begun
        result = {
            "take_seconds": took,
            "take_cpu": (time.process_time() - cpu) / count * 1e6,
            "take_nats_cpu": (_cpu(server.process.pid) - nats_cpu) / count * 1e6,
        }
        gc.collect()
        result["streamer_memory"] = (_resident(os.getpid()) - memory) / count
        result["nats_memory"] = (_resident(server.process.pid) - nats_memory) / count
        result["subscriptions"] = len(client._subs) / count  # noqa: SLF001  nowhere else
        for measured in (False, True):  # once to warm up
            counter.events, counter.wanted = 0, events
            counter.reached.clear()
            cpu, nats_cpu = time.process_time(), _cpu(server.process.pid)
            mine.send(events)
            async with asyncio.timeout(120):
                await counter.reached.wait()
            if measured:
                result["event_cpu"] = (time.process_time() - cpu) / events * 1e6
                result["event_nats_cpu"] = (_cpu(server.process.pid) - nats_cpu) / events * 1e6
        return result


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audiences", type=int, default=5_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    return uvloop.run(run(options.audiences, options.events, options.rounds))


if __name__ == "__main__":
    command(__doc__, measure, arguments)
