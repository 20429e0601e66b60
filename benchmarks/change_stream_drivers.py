"""How fast two asyncio drivers read a change stream: PyMongo's own API against motor.

    python -m benchmarks.change_stream_drivers [--events 50000] [--rounds 3]

The documents are inserted beforehand, so that only reading is measured. Each driver reads the
same change stream from the same position; each in a process of its own, in turns. CPU is that of
the reading process, its threads included. Without `--mongo-url` it starts the embedded server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from benchmarks.figures import Outcome, command
from hubbub.local import servers

DATABASE = "hubbub_benchmark_drivers"
COLLECTION = "rocketchat_message"
DRIVERS = ("pymongo", "motor")


def message(number: int) -> dict[str, Any]:
    """A message of ordinary size."""
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return {
        "_id": f"message{number:010d}",
        "rid": f"room{number % 100:03d}",
        "msg": "The quick brown fox jumps over the lazy dog, and then some more words follow it.",
        "ts": now,
        "seq": number,
        "u": {"_id": "user000000001", "username": "somebody", "name": "Some Body"},
        "_updatedAt": now,
        "urls": [],
        "mentions": [],
        "channels": [],
    }


async def prepare(url: str, count: int) -> None:
    """Fill the collection and write down where its history begins."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.drop_database(DATABASE)
        database = client[DATABASE]
        await database.create_collection(COLLECTION)
        async with await database.watch(max_await_time_ms=10) as stream:
            await stream.try_next()
            token = stream.resume_token
        for first in range(0, count, 1000):
            batch = [message(number) for number in range(first, min(first + 1000, count))]
            await database[COLLECTION].insert_many(batch)
        await database.positions.replace_one({"_id": "start"}, {"token": token}, upsert=True)


async def read_with_pymongo(url: str, count: int) -> dict[str, float]:
    """Read `count` changes with PyMongo's asyncio API."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        return await _read(client[DATABASE], count, awaited=True)


async def read_with_motor(url: str, count: int) -> dict[str, float]:
    """Read `count` changes with motor, which runs the synchronous driver in threads."""
    from motor.motor_asyncio import AsyncIOMotorClient

    client: Any = AsyncIOMotorClient(url)
    try:
        return await _read(client[DATABASE], count, awaited=False)
    finally:
        client.close()


async def _read(database: Any, count: int, *, awaited: bool) -> dict[str, float]:
    start = await database.positions.find_one({"_id": "start"})
    pipeline = [{"$match": {"ns.coll": COLLECTION}}]
    watching = database.watch(pipeline, resume_after=start["token"], max_await_time_ms=500)
    stream = await watching if awaited else watching
    began, used = time.perf_counter(), time.process_time()
    async with stream:
        for _ in range(count):
            await stream.next()
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    return {"events_per_second": count / wall, "cpu_us_per_event": cpu / count * 1e6}


async def run(options: argparse.Namespace) -> Outcome:
    """Prepare, then let each driver read in turn in a fresh process."""
    outcome = Outcome()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in DRIVERS}
    async with AsyncExitStack() as stack:
        url = options.mongo_url
        if not url:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
            url = (await stack.enter_async_context(servers.mongo(folder))).url
        await prepare(url, options.events)
        for _ in range(options.rounds):
            for name in DRIVERS:
                reading = [sys.executable, "-m", "benchmarks.change_stream_drivers"]
                reading += ["--read", name, url, str(options.events)]
                done = await asyncio.to_thread(
                    subprocess.run, reading, check=True, capture_output=True, text=True
                )
                found[name].append(json.loads(done.stdout))
    for name, rounds in found.items():
        rates = [one["events_per_second"] for one in rounds]
        outcome.put(f"drivers.{name}.rate", rates, "per s")
        outcome.put(f"drivers.{name}.cpu", [one["cpu_us_per_event"] for one in rounds], "µs")
    outcome.ratio("drivers.cpu_pymongo_to_motor", "drivers.pymongo.cpu", "drivers.motor.cpu")
    return outcome


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    return asyncio.run(run(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mongo-url", default="", help="a replica set to use instead")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        driver, url, count = sys.argv[2:]
        read = read_with_pymongo if driver == "pymongo" else read_with_motor
        print(json.dumps(asyncio.run(read(url, int(count)))))
    else:
        command(__doc__, measure, arguments)
