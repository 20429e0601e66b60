"""How fast two asyncio drivers read a change stream: PyMongo's own API against motor.

    python -m benchmarks.change_stream_drivers --mongo-url mongodb://127.0.0.1:27017/?replicaSet=rs0

The documents are inserted beforehand, so that only reading is measured. Each driver reads the
same change stream from the same position; each in a process of its own, in turns. Prints events
per second and microseconds of CPU per event of the reading process (its threads included).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

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


def main() -> None:
    """Prepare, let each driver read in turn in a fresh process, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--mongo-url", default=os.environ.get("HUBBUB_MONGO_URL", "mongodb://127.0.0.1:27017")
    )
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver", choices=DRIVERS, help="only read, with this driver")
    options = parser.parse_args()
    if options.driver is not None:
        read = read_with_pymongo if options.driver == "pymongo" else read_with_motor
        print(json.dumps(asyncio.run(read(options.mongo_url, options.events))))
        return
    asyncio.run(prepare(options.mongo_url, options.events))
    results: dict[str, list[dict[str, float]]] = {name: [] for name in DRIVERS}
    for _ in range(options.rounds):
        for name in DRIVERS:
            command = [sys.executable, "-m", "benchmarks.change_stream_drivers", "--driver", name]
            command += ["--mongo-url", options.mongo_url, "--events", str(options.events)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[name].append(json.loads(output))
    for name, rounds in results.items():
        rate = statistics.median(found["events_per_second"] for found in rounds)
        cost = statistics.median(found["cpu_us_per_event"] for found in rounds)
        print(f"{name:8} {rate:8.0f} events/s {cost:6.1f} us CPU per event (median of rounds)")


if __name__ == "__main__":
    main()
