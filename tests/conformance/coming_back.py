"""Thousands come back at once while others talk: what that costs both.

    python -m tests.conformance.coming_back [--users 4000] [--streamers 3]

starts a Hubbub of its own, lets all of them sign in with their tokens and subscribe within some
seconds, and shows how long it took until everybody was served, how long messages of people who
were there before took meanwhile, and what each process computed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from pymongo import AsyncMongoClient

from hubbub.ids import random_id
from tests.conformance.conftest import Running, started
from tests.conformance.crowd import Account, storm
from tests.conformance.ddp import Ddp, opened
from tests.conformance.processes import children_running, servers_running
from tests.conformance.rest import Rest
from tests.conformance.spare import own_streamers
from tests.waiting import eventually

SERVICES = (
    *("account", "authorization", "ddp-streamer", "gateway", "messaging", "presence"),
    "stream-hub",
)
_TALKERS = 4
_BETWEEN = 1.25  # seconds between two messages of one; they may send one per second
_CALM = 3.0  # seconds of talk before the others come
_PATIENCE = 60.0  # seconds that a message may take


@dataclass
class Talk:
    """What those said and heard who were there before."""

    sent: dict[str, float] = field(default_factory=dict)  # text → when
    heard: dict[str, list[float]] = field(default_factory=dict)  # text → when, by all
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def latencies(self, since: float, until: float) -> list[float]:
        """Seconds from each send in that time to its last arrival, in ascending order."""
        return sorted(
            max(self.heard[text]) - at for text, at in self.sent.items() if since <= at < until
        )


@dataclass(frozen=True)
class Report:
    """Seconds and counts."""

    users: int
    within: float
    """In which they came."""
    served_median: float
    served_p95: float
    served_last: float
    messages: int
    calm_median: float
    calm_worst: float
    storm_median: float
    storm_worst: float
    computed: dict[str, float]
    """CPU seconds by program, while they came."""


async def come_back(hubbub: Running, users: int, *, within: float, patience: float) -> Report:
    """Let everybody come and look at what happens.

    Raises: ConnectionError: somebody was refused; TimeoutError: somebody was not served in
    `patience` s; AssertionError: a message did not arrive everywhere, once.
    """
    accounts = await accounts_of(hubbub, users)
    topics = [
        [
            ("stream-notify-user", f"{account.user_id}/notification"),
            ("stream-room-messages", "GENERAL"),
        ]
        for account in accounts
    ]
    streamers = await own_streamers(hubbub)
    async with _talking(hubbub, streamers) as talk:
        await asyncio.sleep(_CALM)
        before, began = _computed(hubbub), time.monotonic()
        members, served = await storm(streamers, accounts, topics, within=within, patience=patience)
        ended = time.monotonic()
        after = _computed(hubbub)
    for member in members:
        member.close()
    served.sort()
    calm, stormy = talk.latencies(0, began), talk.latencies(began, ended)
    return Report(
        users=users,
        within=within,
        served_median=statistics.median(served),
        served_p95=served[-(-95 * len(served) // 100) - 1],
        served_last=served[-1],
        messages=len(talk.sent),
        calm_median=statistics.median(calm),
        calm_worst=calm[-1],
        storm_median=statistics.median(stormy),
        storm_worst=stormy[-1],
        computed={name: round(after[name] - before[name], 2) for name in sorted(after)},
    )


@asynccontextmanager
async def _talking(hubbub: Running, streamers: Sequence[str]) -> AsyncIterator[Talk]:
    """Some people on different streamers, in a room of their own. In the end all have heard
    everything once."""
    talk = Talk()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        rest = Rest(session, hubbub.url)
        people = [await rest.register(f"talker-{random_id(8).lower()}") for _ in range(_TALKERS)]
        others = [one.username for one in people[1:]]
        made = await rest.post("groups.create", people[0], name=random_id(), members=others)
        room_id = made["group"]["_id"]
        clients = []
        for index, person in enumerate(people):
            url = streamers[index % len(streamers)]
            client = await stack.enter_async_context(opened(url))
            await client.call("login", {"resume": person.token})
            await client.subscribe("stream-room-messages", room_id, False)
            clients.append(client)
        tasks = [
            asyncio.create_task(_talk(client, room_id, index, talk))
            for index, client in enumerate(clients)
        ]
        try:
            yield talk
            talk.over.set()
            await eventually(
                lambda: (
                    all(len(times) == _TALKERS for times in talk.heard.values())
                    and len(talk.heard) == len(talk.sent)
                ),
                within=_PATIENCE,
                what="everybody has heard everything",
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            assert sorted(_heard(client)) == sorted(talk.sent)


async def _talk(client: Ddp, room_id: str, index: int, talk: Talk) -> None:
    """Say something now and then until it is over; note what came and when, until cancelled."""
    await asyncio.sleep(index * _BETWEEN / _TALKERS)
    seen = 0
    due = time.monotonic()
    while True:
        now = time.monotonic()
        for frame in client.frames[seen:]:
            seen += 1
            if frame.get("collection") == "stream-room-messages":
                text = frame["fields"]["args"][0]["msg"]
                talk.heard.setdefault(text, []).append(now)
        if now >= due and not talk.over.is_set():
            due = now + _BETWEEN
            text = random_id()
            talk.sent[text] = now
            message = {"_id": random_id(), "rid": room_id, "msg": text}
            await client.send(
                {
                    "msg": "method",
                    "id": client.next_id(),
                    "method": "sendMessage",
                    "params": [message],
                }
            )
        await asyncio.sleep(0.005)


def _heard(client: Ddp) -> list[str]:
    return [
        frame["fields"]["args"][0]["msg"]
        for frame in client.all(msg="changed", collection="stream-room-messages")
    ]


async def accounts_of(hubbub: Running, count: int) -> list[Account]:
    """Users with a token each, as another program writes them."""
    made = [Account(f"storm{random_id(12)}", random_id(43)) for _ in range(count)]
    now = datetime.now(UTC)
    async with AsyncMongoClient[dict[str, object]](hubbub.address("mongo_url")) as client:
        await client.get_default_database()["users"].insert_many(
            {
                "_id": one.user_id,
                "username": one.user_id.lower(),
                "type": "user",
                "active": True,
                "roles": ["user"],
                "createdAt": now,
                "_updatedAt": now,
                "services": {
                    "resume": {"loginTokens": [{"when": now, "hashedToken": _hashed(one.token)}]}
                },
            }
            for one in made
        )
    return made


def _hashed(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def _computed(hubbub: Running) -> Mapping[str, float]:
    """CPU seconds so far, by program."""
    found: defaultdict[str, float] = defaultdict(float)
    pids = {service: children_running(hubbub, service) for service in SERVICES}
    pids |= {name: servers_running(hubbub, name) for name in ("mongod", "nats-server")}
    for name, running in pids.items():
        for pid in running:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[name] += (int(fields[11]) + int(fields[12])) / 100
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Thousands come back at once while others talk.")
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--streamers", type=int, default=3)
    parser.add_argument("--within", type=float, default=5.0, help="seconds in which they come")
    wanted = parser.parse_args()
    with started(streamers=wanted.streamers) as hubbub:
        report = asyncio.run(come_back(hubbub, wanted.users, within=wanted.within, patience=300.0))
    print(json.dumps(asdict(report), indent=2))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
