"""How many changes one hub process turns into stored events, and what each costs.

    python -m benchmarks.hub [--events 50000] [--rate 5000] [--seconds 10]

Two measurements, both through everything a hub does (change stream, decision, encoding, append,
acknowledgement, checkpoint), with the stream's leader and its standby's lease as in production:

* `backlog`: messages are inserted beforehand; the hub reads them as fast as it can.
* `paced`: messages are inserted at `--rate` per second by another process while the hub runs;
  the added latency is from the change being read to its event being acknowledged.

Without `--mongo-url` and `--nats-url` it starts the embedded servers. In servers that are named,
the benchmark's database is dropped and the stream `HUBBUB_EVENTS` is made anew.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from pydantic import SecretStr

from benchmarks.change_stream_drivers import message
from benchmarks.figures import Outcome, command
from hubbub.bus import BusSettings
from hubbub.bus.nats import NatsBus
from hubbub.clock import SystemClock
from hubbub.contracts.event_log import LOG_STREAM
from hubbub.local import servers
from hubbub.mongo import Database, MongoSettings, connect, connect_hub
from hubbub.tasks import owned
from hubbub.telemetry.metrics import new_registry
from services.stream_hub.jetstream import JetStreamLog
from services.stream_hub.knowledge import Knowledge
from services.stream_hub.leader import Leader
from services.stream_hub.leadership import Leadership
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.service import take_turns
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import FactStore, MongoLeaseStore
from services.stream_hub.tail import Tail

NAME = "hubbub_benchmark_hub"


class Meter:
    """Measures the hub from inside: what its own metrics are told."""

    def __init__(self, metrics: HubMetrics) -> None:
        self.acknowledged = 0
        self._awaited = 0
        self._reached = asyncio.Event()
        self.latencies: list[float] = []
        count, observe = metrics.count_published, metrics.publish_duration.observe

        def counted(stream: str, size: int) -> None:
            if stream == "room-messages":
                self.acknowledged += 1
                if self.acknowledged == self._awaited:
                    self._reached.set()
            count(stream, size)

        def observed(amount: float, exemplar: Any = None) -> None:
            self.latencies.append(amount)
            observe(amount, exemplar)

        metrics.count_published = counted  # type: ignore[method-assign]
        metrics.publish_duration.observe = observed  # type: ignore[method-assign]

    async def reach(self, count: int, within: float) -> None:
        """Wait until `count` messages are acknowledged."""
        self._awaited = count
        self._reached.clear()
        if self.acknowledged < count:
            async with asyncio.timeout(within):
                await self._reached.wait()


@asynccontextmanager
async def hub(options: argparse.Namespace) -> AsyncIterator[tuple[Meter, asyncio.Event]]:
    """A hub that waits until the event is set, then leads."""
    settings, registry, clock = StreamHubSettings(), new_registry(), SystemClock()
    metrics, go, stopping = HubMetrics(registry), asyncio.Event(), asyncio.Event()
    bus = NatsBus(
        BusSettings(nats_url=options.nats_url), service="stream-hub", instance="stream-hub-bench"
    )
    mongo = MongoSettings(url=SecretStr(options.mongo_url))
    client = connect(mongo, app_name="benchmark", registry=registry)
    tail = connect_hub(mongo, app_name="benchmark", registry=registry)
    await bus.connect()
    async with JetStreamLog(bus.client, settings) as event_log:
        leadership = Leadership(
            MongoLeaseStore(client[NAME]), settings, holder="bench", clock=clock, metrics=metrics
        )
        leader = Leader(
            event_log,
            Tail(tail[NAME], settings, clock=clock, metrics=metrics),
            Knowledge(FactStore(tail[NAME]), limit=settings.room_cache),
            leadership,
            bus,
            settings,
            clock=clock,
            metrics=metrics,
        )

        async def lead() -> None:
            await go.wait()
            await take_turns(leadership, leader, stopping, clock, settings.lease_retry)

        leading = lead()
        async with owned(leading):
            yield Meter(metrics), go
            stopping.set()
            await asyncio.sleep(0.2)
    await bus.close()
    await client.close()
    await tail.close()


async def clean(options: argparse.Namespace) -> None:
    """Begin with nothing but rooms, a position in the history, and no log."""
    mongo = MongoSettings(url=SecretStr(options.mongo_url))
    async with connect(mongo, app_name="benchmark") as client:
        await client.drop_database(NAME)
        database: Database = client[NAME]
        await database.rocketchat_room.insert_many(
            [
                {"_id": f"room{number:03d}", "t": "c", "name": f"room-{number}"}
                for number in range(100)
            ]
        )
        await database.create_collection("rocketchat_message")
    bus = NatsBus(BusSettings(nats_url=options.nats_url), service="bench", instance="bench-1")
    await bus.connect()
    await bus.client.request(f"$JS.API.STREAM.DELETE.{LOG_STREAM}", b"", timeout=5)
    await bus.close()


async def insert(options: argparse.Namespace, first: int, count: int, rate: float) -> None:
    """Insert messages, at `rate` per second if it is not 0."""
    mongo = MongoSettings(url=SecretStr(options.mongo_url))
    async with connect(mongo, app_name="benchmark") as client:
        began, size = time.perf_counter(), 25 if rate else 1000
        for start in range(first, first + count, size):
            await client[NAME].rocketchat_message.insert_many(
                [message(number) for number in range(start, min(start + size, first + count))]
            )
            if rate:
                ahead = (start - first + size) / rate - (time.perf_counter() - began)
                await asyncio.sleep(max(0.0, ahead))


async def backlog(options: argparse.Namespace, outcome: Outcome) -> None:
    """How fast a hub works off what waits for it."""
    await clean(options)
    async with hub(options) as (_, go):  # the first start only remembers where history begins
        go.set()
        await asyncio.sleep(1.5)
    await insert(options, 0, options.events, 0)
    async with hub(options) as (meter, go):
        began, used = time.perf_counter(), time.process_time()
        go.set()
        await meter.reach(1, 30)
        first = time.perf_counter()
        await meter.reach(options.events, 300)
        wall, cpu = time.perf_counter() - first, time.process_time() - used
    outcome.put("hub.backlog.rate", options.events / wall, "per s")
    outcome.put("hub.backlog.cpu", cpu / options.events * 1e6, "µs")
    outcome.put("hub.backlog.first_after", first - began, "s")


async def paced(options: argparse.Namespace, outcome: Outcome) -> None:
    """What a hub adds to the latency at a steady rate."""
    await clean(options)
    async with hub(options) as (meter, go):
        go.set()
        await asyncio.sleep(1.5)
        count = int(options.rate * options.seconds)
        writing = [sys.executable, "-m", "benchmarks.hub", "--insert", str(count)]
        writing += ["--mongo-url", options.mongo_url, "--rate", str(options.rate)]
        used = time.process_time()
        writer = await asyncio.create_subprocess_exec(*writing)
        await meter.reach(count, options.seconds + 60)
        cpu = time.process_time() - used
        await writer.wait()
    cuts = statistics.quantiles(meter.latencies, n=1000)
    for name, index in (("p50", 499), ("p99", 989), ("p999", 998)):
        outcome.put(f"hub.paced.{name}", cuts[index] * 1000, "ms")
    outcome.put("hub.paced.cpu", cpu / count * 1e6, "µs")


async def run(options: argparse.Namespace) -> Outcome:
    """Both measurements."""
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
        if not options.mongo_url:
            mongo = await stack.enter_async_context(servers.mongo(folder / "mongo"))
            options.mongo_url = mongo.url
        if not options.nats_url:
            nats = await stack.enter_async_context(servers.nats(folder / "nats"))
            options.nats_url = nats.url
        await backlog(options, outcome)
        await paced(options, outcome)
    outcome.notes.append(
        f"hub: backlog of {options.events} changes; paced {options.rate:g} changes/s for "
        f"{options.seconds:g} s; mongod, NATS and the writer on the same cores"
    )
    return outcome


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    if options.insert:
        uvloop.run(insert(options, 0, options.insert, options.rate))
        return Outcome()
    return uvloop.run(run(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mongo-url", default="", help="a replica set to use instead")
    parser.add_argument("--nats-url", default="", help="a NATS server to use instead")
    parser.add_argument("--events", type=int, default=50_000, help="changes of the backlog")
    parser.add_argument("--rate", type=float, default=5_000, help="changes per second, paced")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--insert", type=int, help="only insert so many messages, at --rate")


if __name__ == "__main__":
    command(__doc__, measure, arguments)
