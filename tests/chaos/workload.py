"""The load of one run: its people and rooms, its processes of clients, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.chaos.checker import Database, Room, Stored
from tests.chaos.load import Load
from tests.chaos.programs import ROOT
from tests.chaos.stage import GATEWAY, Stage
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

ANSWERED_WITHIN = 60.0  # seconds after the end of the talk
SETTLED_WITHIN = 15.0  # seconds
STATUSES_WITHIN = 30.0  # seconds after everybody was shown everything
ORDER_WITHIN = 90.0  # seconds
_AT_ONCE = 4  # accounts made at the same time; each costs a core for a while


@dataclass(frozen=True, slots=True)
class Meeting:
    """One room and who is in it, by username. The first of the writers owns it."""

    id: str
    writers: tuple[str, ...]
    guests: tuple[str, ...]
    quiet: bool = False
    """Nobody talks there by himself."""


class People:
    """Everybody who takes part in the runs on one stage."""

    def __init__(self) -> None:
        self.users: list[User] = []

    async def gather(self, stage: Stage, count: int) -> list[User]:
        """So many users, made when they are not there yet."""
        (gateway, *_) = stage.of(GATEWAY)
        missing = range(len(self.users), count)
        async with aiohttp.ClientSession() as session:
            rest, turns = Rest(session, gateway.url), asyncio.Semaphore(_AT_ONCE)

            async def make(number: int) -> User:
                async with turns:
                    return await rest.register(f"u{number:03}")

            self.users += await asyncio.gather(*(make(number) for number in missing))
        return self.users[:count]


async def meetings(stage: Stage, users: Sequence[User], load: Load, name: str) -> list[Meeting]:
    """New rooms for these users, each user in one; the last room is a quiet one."""
    (gateway, *_) = stage.of(GATEWAY)
    made = []
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, gateway.url)
        for number in range(load.rooms):
            members = users[number :: load.rooms]
            owner, names = members[0], tuple(user.username for user in members)
            title = f"{name}-{number}"
            group = await rest.post("groups.create", owner, name=title, members=list(names[1:]))
            last = number == load.rooms - 1
            split = len(names) if last else max(1, len(names) - load.guests_per_room)
            room = group["group"]["_id"]
            made.append(Meeting(room, names[:split], names[split:], quiet=last))
    return made


class Workload:
    """Runs the processes of clients of one run."""

    def __init__(self, folder: Path, rooms: Sequence[Meeting], history: Path, mark: str) -> None:
        """
        Args:
            mark: what no other run on the stage has; it begins the ids of its messages.
        """
        self.rooms = rooms
        self._mark = mark
        self.history = history
        self._folder = folder
        self._crowds: list[asyncio.subprocess.Process] = []

    @asynccontextmanager
    async def running(
        self, stage: Stage, users: Sequence[User], load: Load, seed: int, since: int
    ) -> AsyncIterator[None]:
        """All clients are there, and gone at the end. Raises: RuntimeError: one failed."""
        by_name = {user.username: user for user in users}
        try:
            for number in range(load.processes):
                rooms = self.rooms[number :: load.processes]
                share = sum(not room.quiet for room in rooms) / (len(self.rooms) - 1)
                names = [name for room in rooms for name in room.writers + room.guests]
                await self._start(
                    {
                        "seed": f"{seed}-{number}",
                        "mark": self._mark,
                        "proc": f"crowd-{number + 1}",
                        "history": str(self.history),
                        "urls": [streamer.web_socket for streamer in stage.streamers],
                        "since": since,
                        "people": [
                            {"id": by_name[name].id, "name": name, "token": by_name[name].token}
                            for name in names
                        ],
                        "rooms": {
                            room.id: {
                                "writers": room.writers,
                                "guests": room.guests,
                                "quiet": room.quiet,
                            }
                            for room in rooms
                        },
                        "rates": {
                            "sends": load.sends * share,
                            "edits": load.edits * share,
                            "removals": load.removals * share,
                        },
                    }
                )
            yield
        finally:
            for crowd in self._crowds:
                if crowd.returncode is None:
                    crowd.kill()
                await crowd.wait()

    async def begin(self) -> None:
        """Return when everybody is online; from then on they talk."""
        await self._all(do="begin")

    async def stop(self) -> None:
        """Nobody begins anything new; return when all that was begun is answered."""
        await self._all(do="stop", within=ANSWERED_WITHIN)

    async def settle(self, database: Database) -> bool:
        """Wait a while until everybody was shown everything; whether that came about. What is
        missing then, the checker names."""
        shown = {
            room: [one.id for one in content.messages if one.kind is None]
            for room, content in database.rooms.items()
        }
        answers = await self._all(do="settle", shown=shown, within=SETTLED_WITHIN)
        return all(answers)

    async def end(self) -> None:
        """Everybody goes. Raises: RuntimeError: a process of clients failed."""
        for crowd in self._crowds:
            self._tell(crowd, {"do": "end"})
        for number, crowd in enumerate(self._crowds, start=1):
            async with asyncio.timeout(ORDER_WITHIN):
                status = await crowd.wait()
            if status != 0 or self._said(number).strip():
                raise RuntimeError(f"crowd-{number} failed ({status}):\n{self._said(number)}")

    async def _start(self, given: dict[str, Any]) -> None:
        specification = self._folder / f"{given['proc']}.json"
        specification.write_bytes(orjson.dumps(given))
        with (self._folder / f"{given['proc']}.log").open("wb") as errors:
            self._crowds.append(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.chaos.crowd", str(specification)),
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            )

    async def _all(self, **order: Any) -> list[Any]:
        """Give all processes an order and wait for their answers."""
        for crowd in self._crowds:
            self._tell(crowd, order)
        answers = []
        for number, crowd in enumerate(self._crowds, start=1):
            assert crowd.stdout is not None
            async with asyncio.timeout(ORDER_WITHIN):
                line = await crowd.stdout.readline()
            if not line:
                raise RuntimeError(f"crowd-{number} failed:\n{self._said(number)}")
            answers.append(json.loads(line))
        return answers

    def _tell(self, crowd: asyncio.subprocess.Process, order: dict[str, Any]) -> None:
        assert crowd.stdin is not None
        crowd.stdin.write(orjson.dumps(order) + b"\n")

    def _said(self, number: int) -> str:
        return (self._folder / f"crowd-{number}.log").read_text(errors="replace")[-4000:]


async def contents(stage: Stage, rooms: Sequence[Meeting]) -> Database:
    """What the database holds of these rooms."""
    found = {}
    async with stage.database.database() as database:
        for room in rooms:
            messages = await database["rocketchat_message"].find({"rid": room.id}).to_list()
            members = database["rocketchat_subscription"].find({"rid": room.id})
            found[room.id] = Room(
                messages=tuple(
                    Stored(
                        id=one["_id"],
                        body=one["msg"],
                        ts=round(one["ts"].timestamp() * 1000),
                        seq=one.get("seq"),
                        kind=one.get("t"),
                    )
                    for one in messages
                ),
                members=frozenset([one["u"]["username"] async for one in members]),
            )
    return Database(found)


async def statuses(stage: Stage, users: Sequence[User], *, expected: str) -> dict[str, str]:
    """Username → the status that others see. Waits a while until it is as expected for all; who
    still has another one then, the checker names."""
    by_id = {user.id: user.username for user in users}
    found: dict[str, str] = {}

    async def settled() -> bool:
        async with stage.database.database() as database:
            known = database["users"].find({"_id": {"$in": list(by_id)}}, {"status": 1})
            found.update({by_id[one["_id"]]: one.get("status", "offline") async for one in known})
        return all(status == expected for status in found.values())

    with suppress(AssertionError):
        await eventually(settled, within=STATUSES_WITHIN, what=f"all are {expected}")
    return found


def milliseconds() -> int:
    """Now, since 1970."""
    return round(time.time() * 1000)
