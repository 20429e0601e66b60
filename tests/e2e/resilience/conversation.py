"""A conversation that goes on while something is broken, and its judgement."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from tests.conformance.rest import Rest, User
from tests.e2e.resilience.checker import violations
from tests.e2e.resilience.clients import Reader, RestWriter, Room, SocketWriter
from tests.e2e.resilience.history import Acked, Event, History, Sent, message_of
from tests.e2e.resilience.measures import Costs, costs
from tests.e2e.resilience.processes import Hubbub
from tests.waiting import eventually

E = TypeVar("E", bound=Event)

PROMISE = 30.0
"""Seconds until everybody talks again, on the busiest machine that runs these tests; how long it
takes is measured, not judged here."""
AGAIN = 60.0  # seconds after which we give up; the promise is judged by what was measured
PAUSE = 0.08  # seconds between two messages of one writer
REST_PAUSE = 0.15  # seconds
ENOUGH = 8  # messages of each writer before anything is broken


@dataclass(frozen=True, slots=True)
class People:
    """Two who talk, two who listen, one who talks by REST, one who comes late."""

    talkers: Sequence[User]
    listeners: Sequence[User]
    bot: User
    newcomer: User

    @property
    def all(self) -> list[User]:
        return [*self.talkers, *self.listeners, self.bot, self.newcomer]


@dataclass(slots=True)
class Conversation:
    """Everybody who takes part, and everything that happened."""

    room: Room
    people: People
    rest: Rest
    history: History
    readers: list[Reader] = field(default_factory=list)
    _talking: list[SocketWriter | RestWriter] = field(default_factory=list)
    _sayings: list[asyncio.Task[None]] = field(default_factory=list)
    _living: list[asyncio.Task[None]] = field(default_factory=list)
    _began: float = 0.0

    async def begin(self) -> None:
        """Return when everybody hears everybody."""
        for user in [*self.people.talkers, *self.people.listeners]:
            self.join(user)
        for reader in self.readers:
            await asyncio.wait_for(reader.online(), PROMISE)
        for reader in self.readers[: len(self.people.talkers)]:
            self._say(SocketWriter(reader, self.room, self.history, PAUSE))
        self._say(RestWriter(self.people.bot, self.room, self.history, REST_PAUSE))
        await eventually(self._everybody_talks, within=PROMISE, what="everybody talks")
        self._began = time.monotonic()

    def join(self, user: User) -> Reader:
        """Somebody comes in and reads from now on."""
        reader = Reader(user, self.room, self.history)
        self.readers.append(reader)
        self._living.append(asyncio.create_task(reader.live(), name=reader.name))
        return reader

    async def goes_on(self) -> None:
        """Return when everybody was shown what every writer began to say after this call."""
        now = time.monotonic()

        def heard() -> bool:
            self._raise_failures()
            fresh = {
                writer: {e.id for e in self._events(Sent) if e.client == writer and e.at > now}
                for writer in self._names
            }
            return all(reader.shown & ids for ids in fresh.values() for reader in self.readers)

        await eventually(heard, within=AGAIN, what="everybody hears everybody again")

    async def lasts(self, seconds: float) -> None:
        """Let them talk for a while, so that late repetitions and holes show."""
        await asyncio.sleep(seconds)
        await self.goes_on()

    async def end(self, fault: str) -> Costs:
        """Stop, wait until everybody has everything, and judge.

        Raises:
            AssertionError: a promise was broken; the text lists how.
        """
        ended = time.monotonic()
        for talking in self._talking:
            talking.writer.stop()
        await asyncio.wait_for(asyncio.gather(*self._sayings), AGAIN)
        await self._all_shown({event.id for event in self._events(Acked)})
        await self.leave()
        await self._read_room()
        found = violations(self.history)
        assert not found, "\n".join(found)
        return costs(self.history, fault, self._began, ended)

    async def leave(self) -> None:
        """Everybody goes, at once."""
        tasks = [*self._sayings, *self._living]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _all_shown(self, acked: set[str]) -> None:
        """Wait for the last messages to arrive; whatever is missing then, the checker names."""
        deadline = time.monotonic() + PROMISE
        while time.monotonic() < deadline:
            if all(acked <= reader.shown for reader in self.readers):
                return
            await asyncio.sleep(0.02)

    async def _read_room(self) -> None:
        user, offset = self.people.listeners[0], 0
        documents: list[dict[str, Any]] = []
        while True:
            page = await self.rest.get(
                "groups.history", user, roomId=self.room.id, count=100, offset=offset
            )
            documents += page["messages"]
            if len(page["messages"]) < 100:
                break
            offset += 100
        self.history.stored = [message_of(document) for document in reversed(documents)]
        counters = await self.rest.get("groups.counters", user, roomId=self.room.id)
        self.history.counted = counters["msgs"]

    def _say(self, talking: SocketWriter | RestWriter) -> None:
        self._talking.append(talking)
        name = f"talk {talking.writer.name}"
        self._sayings.append(asyncio.create_task(talking.talk(), name=name))

    @property
    def _names(self) -> list[str]:
        return [talking.writer.name for talking in self._talking]

    def _events(self, kind: type[E]) -> list[E]:
        return [event for event in self.history.events if isinstance(event, kind)]

    def _raise_failures(self) -> None:
        """A client that fell over is a mistake of the test; it must not look like silence."""
        for task in [*self._sayings, *self._living]:
            if task.done() and not task.cancelled():
                task.result()

    def _everybody_talks(self) -> bool:
        self._raise_failures()
        acked = [event.client for event in self._events(Acked)]
        return all(acked.count(name) >= ENOUGH for name in self._names)


@asynccontextmanager
async def conversation(hubbub: Hubbub, people: People) -> AsyncIterator[Conversation]:
    """A conversation in a fresh group, in which everybody hears everybody."""
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, hubbub.url)
        since = int(time.time() * 1000)
        owner, *others = people.all
        body = await rest.post(
            "groups.create",
            owner,
            name=f"talk-{secrets.token_hex(6)}",
            members=[user.username for user in others],
        )
        room = Room(hubbub.url, body["group"]["_id"], since)
        talk = Conversation(room, people, rest, History())
        try:
            await talk.begin()
            yield talk
        finally:
            await talk.leave()
