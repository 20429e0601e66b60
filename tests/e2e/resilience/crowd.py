"""Many sockets that behave as existing clients do: signed in, idle, and back after each close."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from websockets.exceptions import InvalidHandshake, InvalidMessage

from tests.conformance.rest import User
from tests.conformance.spare import Streamer
from tests.e2e.resilience.line import Broken, Document, Failed, Line, Unanswered, opened

RECONNECT = 0.1  # seconds, as the quickest clients wait
LOOK = 0.2  # seconds between two looks of the balancer
LAG = 0.3  # seconds until what it saw has an effect
_AT_ONCE = 40  # sockets that are opened beside each other


class Balancer:
    """Chooses among those that were ready a moment ago, as the parts of a cluster do."""

    def __init__(self, streamers: Sequence[Streamer]) -> None:
        self._streamers = list(streamers)
        self.ready = list(streamers)

    def choose(self) -> Streamer:
        return random.choice(self.ready)

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                seen = [one for one in self._streamers if await _is_ready(session, one)]
                await asyncio.sleep(LAG)
                self.ready = seen
                await asyncio.sleep(LOOK)


async def _is_ready(session: aiohttp.ClientSession, streamer: Streamer) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{streamer.ops_port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@dataclass
class Crowd:
    """What its members saw."""

    members: list[Member] = field(default_factory=list)
    closes: list[tuple[float, int | None]] = field(default_factory=list)
    """(when, code) of every socket that the server closed."""
    refused: list[str] = field(default_factory=list)
    """Handshakes and logins that failed."""

    def on(self, streamer: Streamer) -> list[Member]:
        """Who is signed in there."""
        return [one for one in self.members if one.line is not None and one.at is streamer]


class Member:
    """One client."""

    def __init__(self, user: User, crowd: Crowd, balancer: Balancer) -> None:
        self.user = user
        self.at: Streamer | None = None
        self.line: Line | None = None
        """The present socket, once it is signed in."""
        self._crowd = crowd
        self._balancer = balancer

    async def live(self, limit: asyncio.Semaphore) -> None:
        while True:
            try:
                await self._one_socket(limit)
            except (OSError, InvalidHandshake, InvalidMessage, Failed, Unanswered, Broken) as error:
                self._crowd.refused.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(RECONNECT)

    async def _one_socket(self, limit: asyncio.Semaphore) -> None:
        async with AsyncExitStack() as stack:
            async with limit:
                self.at = self._balancer.choose()
                line, reading, socket = await stack.enter_async_context(
                    opened(self.at.websocket, _ignore)
                )
                await line.connect()
                await line.call("login", {"resume": self.user.token})
            self.line = line
            try:
                await reading
                self._crowd.closes.append((time.monotonic(), socket.close_code))
            finally:
                self.line = None


def _ignore(_: str, __: Document) -> None:
    """Events are nothing to somebody who only sits there."""


@asynccontextmanager
async def gathered(users: Sequence[User], balancer: Balancer) -> AsyncIterator[Crowd]:
    """One member per entry of `users`, living as long as the context; yields when all are in."""
    crowd = Crowd()
    crowd.members = [Member(user, crowd, balancer) for user in users]
    limit = asyncio.Semaphore(_AT_ONCE)
    tasks = [asyncio.create_task(balancer.run(), name="balancer")]
    tasks += [asyncio.create_task(member.live(limit), name="member") for member in crowd.members]
    try:
        async with asyncio.timeout(60):
            while not all(member.line for member in crowd.members):
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)
        yield crowd
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
