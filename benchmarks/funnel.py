"""How fast messages are stored: one hot room, many rooms, one huge room.

    python -m benchmarks.funnel [--seconds 5]

Every send goes through the messaging service's own door, with real transactions (majority and
journal) and all effects; only authorization is answered from memory. Without `--mongo-url` it
starts the embedded server. The database it works in is dropped at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import uvloop
from pydantic import SecretStr

from benchmarks.figures import Outcome, command
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import Event
from hubbub.contracts.messages import NewMessage
from hubbub.ids import UserId, random_id
from hubbub.local import servers
from hubbub.mongo import Database, MongoSettings, connect
from services.messaging.service import MessagingService, assemble
from services.messaging.settings import MessagingSettings


class Generous:
    """Grants everything."""

    async def held_permissions(
        self, user_id: str | None, permissions: list[str], room_id: str | None = None
    ) -> list[str]:
        return permissions


class Silent:
    """Tells nobody."""

    async def tell(self, user_id: str, what: str, content: Any) -> None:
        return

    async def publish(self, event: Event) -> None:
        return

    async def set_status(self, user_id: UserId, *, text: str) -> None:
        return


@dataclass(frozen=True)
class Result:
    """One run."""

    name: str
    sends: int
    seconds: float
    cpu: float
    times: Sequence[float]

    def put(self, outcome: Outcome) -> None:
        """Add its figures."""
        ordered = sorted(self.times)
        prefix = f"funnel.{self.name}"
        outcome.put(f"{prefix}.rate", self.sends / self.seconds, "per s")
        outcome.put(f"{prefix}.p50", ordered[len(ordered) // 2] * 1000, "ms")
        outcome.put(f"{prefix}.p99", ordered[int(len(ordered) * 0.99)] * 1000, "ms")
        outcome.put(f"{prefix}.cpu", self.cpu / self.sends * 1e6, "µs")


async def send(
    name: str,
    service: MessagingService,
    places: Sequence[tuple[str, str]],
    *,
    senders: int,
    seconds: float,
    text: str = "hello there",
    pause: float = 0.0,
) -> Result:
    """Send from `senders` tasks for `seconds`; each takes the next (user, room) in turn."""
    times: list[float] = []
    turns = count()
    end = time.perf_counter() + seconds

    async def talk() -> None:
        while (begin := time.perf_counter()) < end:
            user, room = places[next(turns) % len(places)]
            message = NewMessage.model_validate({"_id": random_id(), "rid": room, "msg": text})
            await service.send_message(UserId(user), message)
            times.append(time.perf_counter() - begin)
            if pause:
                await asyncio.sleep(pause)

    used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(talk() for _ in range(senders)))
    spent, now = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    cpu = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    return Result(name, len(times), now - began, cpu, times)


async def furnish(database: Database, rooms: Sequence[str], members: Sequence[str]) -> None:
    """Rooms with the same members in each."""
    await database.rocketchat_room.insert_many(
        [
            {"_id": room, "t": "c", "name": room, "usersCount": len(members), "msgs": 0}
            for room in rooms
        ]
    )
    memberships = [
        {
            "_id": random_id(),
            "rid": room,
            "t": "c",
            "name": room,
            "u": {"_id": user, "username": user},
            "open": True,
            "alert": False,
            "unread": 0,
            "userMentions": 0,
            "groupMentions": 0,
        }
        for room in rooms
        for user in members
    ]
    for start in range(0, len(memberships), 5000):
        await database.rocketchat_subscription.insert_many(memberships[start : start + 5000])


async def run(url: str, seconds: float) -> Outcome:
    outcome = Outcome()
    client = connect(MongoSettings(url=SecretStr(url)), app_name="benchmark")
    name = f"benchmark_{random_id(8)}"
    database = client[name]
    try:
        settings = MessagingSettings()
        authorization = cast(Authorization, Generous())
        silent = Silent()
        service = assemble(
            database, authorization, silent, silent.publish, statuses=silent, settings=settings
        )
        await service.prepare()
        users = [f"user{number}" for number in range(5000)]
        await database.users.insert_many(
            [{"_id": user, "username": user, "active": True, "status": "online"} for user in users]
        )
        await database.users.create_index("username", unique=True)
        crowd = users[:32]
        rooms = [f"room{number}" for number in range(200)]
        await furnish(database, ["hot", *rooms], crowd)
        await furnish(database, ["huge"], users)
        effects = asyncio.create_task(service.run())
        everywhere = [(user, room) for room in rooms for user in crowd[:4]]
        hot = [(user, "hot") for user in crowd]
        huge = [(user, "huge") for user in users[:100]]
        await send("warm-up", service, everywhere, senders=8, seconds=1)
        for name, places, senders in (
            ("one_room_32_senders", hot, 32),
            ("one_room_128_senders", hot, 128),
            ("200_rooms_32_senders", everywhere, 32),
            ("200_rooms_4_senders", everywhere, 4),
        ):
            found = await send(name, service, places, senders=senders, seconds=seconds)
            found.put(outcome)
        for name, text, pause in (
            ("5000_members_plain", "hello there", 0.1),
            ("5000_members_all", "@all hello", 1.0),
        ):
            found = await send(
                name, service, huge, senders=1, seconds=seconds, text=text, pause=pause
            )
            found.put(outcome)
        begin = time.perf_counter()
        await service.close()
        outcome.put("funnel.effects_finished_after", time.perf_counter() - begin, "s")
        effects.cancel()
        await asyncio.wait([effects])
    finally:
        await client.drop_database(name)
        await client.close()
    return outcome


async def start(options: argparse.Namespace) -> Outcome:
    """Run on the named server, or on one of its own."""
    async with AsyncExitStack() as stack:
        url = options.mongo_url
        if not url:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
            url = (await stack.enter_async_context(servers.mongo(folder))).url
        return await run(url, options.seconds)


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    return uvloop.run(start(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mongo-url", default="", help="a replica set to use instead of the embedded one"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run")


if __name__ == "__main__":
    command(__doc__, measure, arguments)
