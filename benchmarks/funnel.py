"""How fast messages are stored: one hot room, many rooms, one huge room.

    python -m benchmarks.funnel --mongo-url mongodb://127.0.0.1:27017/?replicaSet=rs0

Every send goes through the messaging service's own door, with real transactions (majority and
journal) and all effects; only authorization is answered from memory. Without `--mongo-url` it
starts the embedded server. The database it works in is dropped at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import uvloop
from pydantic import SecretStr

from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messages import NewMessage
from hubbub.ids import UserId, random_id
from hubbub.mongo import Database, MongoSettings, connect
from services.messaging.service import MessagingService, assemble
from services.messaging.settings import MessagingSettings
from tests import servers


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


@dataclass(frozen=True)
class Result:
    """One run."""

    name: str
    sends: int
    seconds: float
    cpu: float
    times: Sequence[float]

    def line(self) -> str:
        ordered = sorted(self.times)
        half, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        return (
            f"{self.name:<34} {self.sends / self.seconds:8.0f} sends/s"
            f"  p50 {half * 1000:6.1f} ms  p99 {late * 1000:6.1f} ms"
            f"  max {ordered[-1] * 1000:6.1f} ms"
            f"  {self.cpu / self.sends * 1e6:6.0f} us CPU per send"
        )


async def measure(
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


async def run(url: str, seconds: float) -> None:
    client = connect(MongoSettings(url=SecretStr(url)), app_name="benchmark")
    name = f"benchmark_{random_id(8)}"
    database = client[name]
    try:
        settings = MessagingSettings()
        authorization = cast(Authorization, Generous())
        service = assemble(database, authorization, Silent(), settings=settings)
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
        await measure("warm-up", service, everywhere, senders=8, seconds=1)
        for result in (
            await measure("one room, 32 senders", service, hot, senders=32, seconds=seconds),
            await measure("one room, 128 senders", service, hot, senders=128, seconds=seconds),
            await measure(
                "200 rooms, 32 senders", service, everywhere, senders=32, seconds=seconds
            ),
            await measure("200 rooms, 4 senders", service, everywhere, senders=4, seconds=seconds),
            await measure(
                "5000 members, 10/s, plain", service, huge, senders=1, seconds=seconds, pause=0.1
            ),
            await measure(
                "5000 members, 1/s, @all",
                service,
                huge,
                senders=1,
                seconds=seconds,
                text="@all hello",
                pause=1.0,
            ),
        ):
            print(result.line(), flush=True)
        begin = time.perf_counter()
        await service.close()
        print(f"effects finished {time.perf_counter() - begin:.2f} s after the last send")
        effects.cancel()
        await asyncio.wait([effects])
    finally:
        await client.drop_database(name)
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mongo-url", help="a replica set to use instead of the embedded one")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run")
    arguments = parser.parse_args()
    with nullcontext(arguments.mongo_url) if arguments.mongo_url else servers.mongo() as url:
        uvloop.run(run(url, arguments.seconds))


if __name__ == "__main__":
    main()
