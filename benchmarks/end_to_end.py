"""A whole Hubbub on this machine: start-up, login storm, send to receive, CPU and memory.

    python -m benchmarks.end_to_end [--users 4000] [--members 50] [--rate 200] [--seconds 10]

Starts `hubbub up` in a folder of its own and puts users, rooms and memberships into its database
as an import would. Every user then opens a WebSocket through the front door, all at once, and
resumes with a token (the login storm); follows its rooms, its own events and everybody's
presence, 20 subscriptions in all; and members send at a fixed rate into rooms of 50. What counts
is the time from writing a `sendMessage` to reading the `changed` on each member's socket. Every
arrival is counted; a run in which one is missing is void. Nothing is pinned: the load generator
runs beside the services on the same cores, and its share is stated.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
import uvloop
from pydantic import SecretStr

from benchmarks.figures import Outcome, command
from benchmarks.load import Count, Generator, Step, Void
from benchmarks.machine import cpu_seconds, open_files
from benchmarks.running import Hubbub, hubbub
from hubbub.mongo import Database, MongoSettings, connect

MARK = "bench-"
_DATABASE = "hubbub"
_NOT_SERVICES = frozenset({"supervisor", "front-door", "door", "mongod", "nats-server"})
_BATCH = 1000  # documents
_OWN = (
    "message", "notification", "subscriptions-changed", "rooms-changed", "userData", "otr",
    "webrtc", "force_logout",
)  # fmt: skip
_SHARED = (
    "user-status", "updateAvatar", "roles-change", "Users:NameChanged", "Users:Deleted",
    "permissions-changed", "banner-changed", "updateEmojiCustom", "deleteEmojiCustom",
    "voip.statuschanged",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Population:
    """Users, each in one of the rooms that are spoken in."""

    users: int
    members: int

    def user(self, number: int) -> str:
        return f"benchuser{number:08d}"

    def token(self, number: int) -> str:
        return f"benchmark-token-of-user-number-{number:012d}"

    def room(self, number: int) -> str:
        return f"benchroom{number // self.members:08d}"

    @property
    def rooms(self) -> int:
        return -(-self.users // self.members)

    def size_of(self, room: int) -> int:
        """Members of a room; the last may have fewer."""
        return min(self.members, self.users - room * self.members)

    def senders(self) -> list[int]:
        """One member of each room that is full, so that every message has as many readers."""
        return [
            room * self.members for room in range(self.rooms) if self.size_of(room) == self.members
        ]

    def names(self) -> dict[str, list[str]]:
        """Each connection's own values."""
        everybody = range(self.users)
        return {
            "user": [self.user(number) for number in everybody],
            "token": [self.token(number) for number in everybody],
            "room": [self.room(number) for number in everybody],
        }


def hashed(token: str) -> str:
    """A login token as it is stored."""
    return base64.b64encode(sha256(token.encode()).digest()).decode()


async def furnish(database: Database, people: Population) -> None:
    """Put everybody into the database."""
    now = datetime.now(UTC)
    users = [
        {
            "_id": people.user(number),
            "username": people.user(number),
            "name": f"User {number}",
            "type": "user",
            "status": "offline",
            "active": True,
            "roles": ["user"],
            "emails": [{"address": f"{people.user(number)}@example.org", "verified": True}],
            "services": {
                "resume": {
                    "loginTokens": [{"when": now, "hashedToken": hashed(people.token(number))}]
                }
            },
            "createdAt": now,
            "_updatedAt": now,
        }
        for number in range(people.users)
    ]
    rooms = [
        {
            "_id": people.room(number * people.members),
            "t": "p",
            "name": people.room(number * people.members),
            "fname": people.room(number * people.members),
            "u": {"_id": people.user(number * people.members), "username": "bench"},
            "usersCount": people.size_of(number),
            "msgs": 0,
            "ts": now,
            "_updatedAt": now,
        }
        for number in range(people.rooms)
    ]
    memberships = [
        {
            "_id": f"membership{number:08d}",
            "rid": people.room(number),
            "t": "p",
            "name": people.room(number),
            "fname": people.room(number),
            "u": {"_id": people.user(number), "username": people.user(number)},
            "open": True,
            "alert": False,
            "unread": 0,
            "userMentions": 0,
            "groupMentions": 0,
            "ts": now,
            "ls": now,
            "_updatedAt": now,
        }
        for number in range(people.users)
    ]
    for collection, documents in (
        ("users", users),
        ("rocketchat_room", rooms),
        ("rocketchat_subscription", memberships),
    ):
        for start in range(0, len(documents), _BATCH):
            await database[collection].insert_many(documents[start : start + _BATCH])


def logging_in() -> list[Step]:
    """Connect and resume."""
    return [
        Step(['{"msg":"connect","version":"1","support":["1"]}'], '"msg":"connected"'),
        Step(
            ['{"msg":"method","method":"login","id":"l","params":[{"resume":"{token}"}]}'],
            '"msg":"result"',
        ),
    ]


def following() -> list[Step]:
    """The 20 subscriptions of a client."""
    wanted = [
        ("stream-room-messages", "{room}"),
        *(("stream-notify-user", f"{{user}}/{name}") for name in _OWN),
        *(("stream-notify-logged", name) for name in _SHARED),
        ("stream-user-presence", ""),
    ]
    subs = [
        orjson.dumps(
            {"msg": "sub", "id": f"s{index}", "name": stream, "params": [event, False]}
        ).decode()
        for index, (stream, event) in enumerate(wanted)
    ]
    return [Step(subs, '"msg":"ready"', len(subs))]


SENDING = (
    '{"msg":"method","method":"sendMessage","id":"{stamp}",'
    f'"params":[{{"rid":"{{room}}","msg":"{MARK}{{stamp}}"}}]}}'
)


async def talk(
    load: Generator, people: Population, rate: float, seconds: float, names: Mapping[str, Any]
) -> Count:
    """Send at `rate` for `seconds`; what arrived. Raises: Void: something is missing."""
    senders, count = people.senders(), round(rate * seconds)
    if not senders:
        raise Void("fewer users than a room has members")
    frames = count * people.members
    await load.reset(MARK)
    found = await load.talk(
        SENDING, senders=senders, names=names, rate=rate, count=count, frames=frames
    )
    if found.frames != frames or found.errors or found.closed:
        raise Void(
            f"{found.frames} of {frames} frames arrived, {found.errors} messages were refused, "
            f"{found.closed} connections were lost"
        )
    return found


async def storm(load: Generator, address: str, people: Population) -> float:
    """Everybody at once; the seconds until all are signed in."""
    return await load.open(
        address, people.users, logging_in(), names=people.names(), parallel=people.users,
        within=180.0,
    )  # fmt: skip


async def run(options: argparse.Namespace) -> Outcome:
    """One whole run."""
    outcome = Outcome()
    people = Population(options.users, options.members)
    async with hubbub() as house, Generator() as load:
        outcome.put("startup", house.started_in, "s")
        mongo = MongoSettings(url=SecretStr(house.mongo_url))
        async with connect(mongo, app_name="benchmark") as client:
            await furnish(client[_DATABASE], people)
        await asyncio.sleep(options.rest)
        address = f"127.0.0.1:{house.port}"
        names = people.names()

        before = house.cpu()
        took = await storm(load, address, people)
        outcome.put("storm.seconds", took, "s")
        outcome.put("storm.logins_per_second", people.users / took, "per s")
        _spent(outcome, "storm", before, house.cpu())
        took = await load.script(following(), names=names, parallel=100, within=180.0)
        outcome.put("subscribing.per_second", people.users * 20 / took, "per s")
        await asyncio.sleep(options.rest)

        await talk(load, people, options.rate, 2, names)  # warms caches
        await asyncio.sleep(1.0)
        rounds: list[Count] = []
        load_before = cpu_seconds(load.pid)
        spent: list[dict[str, float]] = []
        for _ in range(options.rounds):
            before = house.cpu()
            rounds.append(await talk(load, people, options.rate, options.seconds, names))
            after = house.cpu()
            spent.append(
                {name: (after[name] - before[name]) / rounds[-1].seconds for name in after}
            )
        for part in ("p50", "p99", "max"):
            name = f"send_to_receive.{part}"
            outcome.put(name, [one.latency_ms[part] for one in rounds], "ms")
        _headline(outcome, house, spent)
        frames = rounds[-1].frames
        used = [
            one["ddp-streamer"] * count.seconds for one, count in zip(spent, rounds, strict=True)
        ]
        outcome.put("streamer.cpu_per_frame", [one / frames * 1e6 for one in used], "µs")
        seconds = sum(one.seconds for one in rounds)
        load_cores = (cpu_seconds(load.pid) - load_before) / seconds
        outcome.put("load.cores", load_cores, "cores")
        outcome.put("load.latest_send", max(one.latest_ms for one in rounds), "ms")
        outcome.notes.append(
            f"end to end: {people.users} users, {people.rooms} rooms of {people.members}, "
            f"{options.rate:g} messages/s, {round(options.rate * options.members)} deliveries/s"
        )
        if options.relogin:
            await _storm_beside_talk(outcome, load, address, people, options)
    return outcome


async def _storm_beside_talk(
    outcome: Outcome,
    load: Generator,
    address: str,
    people: Population,
    options: argparse.Namespace,
) -> None:
    """What a login storm of as many again does to those who talk."""
    async with Generator() as others:
        talking = asyncio.create_task(
            talk(load, people, options.rate, options.seconds, people.names())
        )
        await asyncio.sleep(1.0)
        took = await storm(others, address, people)
        found = await talking
    outcome.put("storm.beside_seconds", took, "s")
    outcome.put("storm.beside_p99", found.latency_ms["p99"], "ms")
    outcome.ratio("storm.p99_growth", "storm.beside_p99", "send_to_receive.p99")


def _headline(outcome: Outcome, house: Hubbub, spent: Sequence[Mapping[str, float]]) -> None:
    """CPU and memory of the services, and of what is around them."""
    memory = house.rss()
    services = [name for name in house.pids if name not in _NOT_SERVICES]
    outcome.put("headline.cpu", [sum(one[name] for name in services) for one in spent], "cores")
    outcome.put("headline.memory", sum(memory[name] for name in services) / 2**20, "MiB")
    for name in sorted(house.pids):
        outcome.put(f"cpu.{name}", [one[name] for one in spent], "cores")
        outcome.put(f"memory.{name}", memory[name] / 2**20, "MiB")


def _spent(
    outcome: Outcome, name: str, before: Mapping[str, float], after: Mapping[str, float]
) -> None:
    services = [one for one in after if one not in _NOT_SERVICES]
    outcome.put(f"{name}.cpu", sum(after[one] - before[one] for one in services), "CPU s")


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    options.users = min(options.users, open_files() // 2 - 500)
    return uvloop.run(run(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--members", type=int, default=50, help="members of a room")
    parser.add_argument("--rate", type=float, default=200.0, help="messages per second")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=3.0, help="seconds between two parts")
    parser.add_argument(
        "--relogin", action="store_true", help="also measure a login storm beside the messages"
    )


if __name__ == "__main__":
    command(__doc__, measure, arguments)
