"""Many who read and some who write, in several rooms, while something happens to the servers.

Clients behave as existing ones do: see `tests.e2e.resilience.clients`. Each room has one writer
that numbers what it says; every other one writes by REST.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.cluster.verdict import Verdict, judge
from tests.conformance.rest import Rest, User
from tests.e2e.resilience.clients import Reader, RestWriter, Room, SocketWriter
from tests.e2e.resilience.history import Acked, History, Sent, message_of
from tests.waiting import eventually

ROOMS = 5
PEOPLE_IN_ROOM = 4
DEVICES = 3  # sockets of one person
PAUSE = 0.25  # seconds between two messages of a writer
AGAIN = 60.0  # seconds after which we give up; what it took is measured
ARRIVES_WITHIN = 15.0  # seconds for the last messages
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the two kinds of servers are reached, as `http://HOST:PORT`."""

    streamer: str
    gateway: str


@dataclass(slots=True)
class Talk:
    """One room and those in it."""

    room: Room
    people: Sequence[User]
    history: History = field(default_factory=History)
    readers: list[Reader] = field(default_factory=list)
    writer: SocketWriter | RestWriter | None = None


class Load:
    """The rooms, and everything that happened in them."""

    def __init__(self, talks: Sequence[Talk], rest: Rest) -> None:
        self._talks = talks
        self._rest = rest
        self._living: list[asyncio.Task[None]] = []
        self._sayings: list[asyncio.Task[None]] = []
        self.began = 0.0
        """When everybody was there and talked."""

    @property
    def readers(self) -> list[Reader]:
        return [reader for talk in self._talks for reader in talk.readers]

    async def begin(self, gateway: str) -> None:
        """Return when everybody hears the writer of his room."""
        for talk in self._talks:
            for reader in talk.readers:
                self._living.append(asyncio.create_task(reader.live(), name=reader.name))
                await asyncio.sleep(0.02)  # people do not come in one moment
        for reader in self.readers:
            await asyncio.wait_for(reader.online(), AGAIN)
        for number, talk in enumerate(self._talks):
            if number % 2:
                room = Room(gateway, talk.room.id, talk.room.since)
                talk.writer = RestWriter(talk.people[0], room, talk.history, PAUSE)
            else:
                talk.writer = SocketWriter(talk.readers[0], talk.room, talk.history, PAUSE)
            self._sayings.append(asyncio.create_task(talk.writer.talk(), name="writer"))
        await self.goes_on()
        self.began = time.monotonic()

    async def goes_on(self) -> None:
        """Return when every reader was shown something that was said after this call."""
        now = time.monotonic()

        def heard() -> bool:
            self._raise_failures()
            for talk in self._talks:
                fresh = {
                    event.id
                    for event in reversed(talk.history.events)
                    if isinstance(event, Sent) and event.at > now
                }
                if not all(reader.shown & fresh for reader in talk.readers):
                    return False
            return True

        async def look() -> bool:
            await asyncio.sleep(0.2)
            return heard()

        await eventually(look, within=AGAIN, what="everybody hears the writer of his room")

    async def lasts(self, seconds: float) -> None:
        """Let them talk for a while, so that holes and repetitions show."""
        await asyncio.sleep(seconds)
        await self.goes_on()

    async def end(self, what: str) -> Verdict:
        """Stop, wait until what was acknowledged has arrived everywhere, and judge."""
        ended = time.monotonic()
        for talk in self._talks:
            if talk.writer is not None:
                talk.writer.writer.stop()
        await asyncio.wait_for(asyncio.gather(*self._sayings), AGAIN)
        await self._all_shown()
        await self.leave()
        for talk in self._talks:
            await self._read(talk)
        return judge(what, [talk.history for talk in self._talks], began=self.began, ended=ended)

    async def leave(self) -> None:
        """Everybody goes, at once."""
        tasks = [*self._sayings, *self._living]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _all_shown(self) -> None:
        """Wait for the last messages; what is missing then, the verdict names."""

        async def shown() -> bool:
            await asyncio.sleep(0.1)
            return all(map(_is_shown, self._talks))

        with suppress(AssertionError):
            await eventually(shown, within=ARRIVES_WITHIN)

    async def _read(self, talk: Talk) -> None:
        """The room as the database has it."""
        user, documents = talk.people[0], list[dict[str, Any]]()
        while True:
            page = await self._rest.get(
                "groups.history", user, roomId=talk.room.id, count=_PAGE, offset=len(documents)
            )
            documents += page["messages"]
            if len(page["messages"]) < _PAGE:
                break
        talk.history.stored = [message_of(document) for document in reversed(documents)]
        counters = await self._rest.get("groups.counters", user, roomId=talk.room.id)
        talk.history.counted = counters["msgs"]

    def _raise_failures(self) -> None:
        """A client that fell over is a mistake of the test; it must not look like silence."""
        for task in [*self._sayings, *self._living]:
            if task.done() and not task.cancelled():
                task.result()


def _is_shown(talk: Talk) -> bool:
    acked = {event.id for event in talk.history.events if isinstance(event, Acked)}
    return all(acked <= reader.shown for reader in talk.readers)


@asynccontextmanager
async def load(doors: Doors, people: Sequence[User]) -> AsyncIterator[Load]:
    """Everybody talks, in rooms of this context's own."""
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, doors.gateway)
        talks = []
        for number in range(ROOMS):
            members = people[number * PEOPLE_IN_ROOM : (number + 1) * PEOPLE_IN_ROOM]
            talks.append(await _talk(rest, doors, members))
        running = Load(talks, rest)
        try:
            await running.begin(doors.gateway)
            yield running
        finally:
            await running.leave()


async def _talk(rest: Rest, doors: Doors, people: Sequence[User]) -> Talk:
    since = int(time.time() * 1000) - 60_000  # clocks of two machines
    body = await rest.post(
        "groups.create",
        people[0],
        name=f"talk-{secrets.token_hex(6)}",
        members=[user.username for user in people[1:]],
    )
    talk = Talk(Room(doors.streamer, body["group"]["_id"], since), people)
    for device in range(DEVICES):
        for user in people:
            reader = Reader(user, talk.room, talk.history)
            reader.name = f"{user.username}#{device}"
            talk.readers.append(reader)
    return talk


async def register(gateway: str, count: int = ROOMS * PEOPLE_IN_ROOM) -> list[User]:
    """Fresh users, signed in."""
    tail = secrets.token_hex(3)
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, gateway)
        return [await rest.register(f"p{number}-{tail}") for number in range(count)]
