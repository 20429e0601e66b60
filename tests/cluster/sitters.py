"""Clients that only sit there, signed in: how many sit where, and who has to move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from websockets.exceptions import InvalidHandshake, InvalidMessage

from tests.conformance.rest import User
from tests.e2e.resilience.line import Broken, Document, Failed, Unanswered, opened
from tests.waiting import eventually

COMES_BACK_AFTER = 0.3  # seconds
SEATED_WITHIN = 60.0  # seconds
_AT_ONCE = 10  # sockets that are opened beside each other


@dataclass
class Sitter:
    """One client: its first socket goes to `first`, every later one through the Service."""

    user: User
    first: str
    service: str
    moves: list[tuple[float, int | None]] = field(default_factory=list)
    """(when, close code) of every socket that a server closed."""
    failed: int = 0
    """Attempts to come back that failed."""
    seated: bool = False

    async def live(self, places: asyncio.Semaphore) -> None:
        address = self.first
        while True:
            try:
                await self._one_socket(address, places)
            except (OSError, InvalidHandshake, InvalidMessage, Failed, Unanswered, Broken):
                self.failed += 1
            address = self.service
            await asyncio.sleep(COMES_BACK_AFTER)

    async def _one_socket(self, address: str, places: asyncio.Semaphore) -> None:
        async with AsyncExitStack() as stack:
            async with places:
                line, reading, socket = await stack.enter_async_context(
                    opened(address.replace("http", "ws", 1) + "/websocket", _ignore)
                )
                await line.connect()
                await line.call("login", {"resume": self.user.token})
            self.seated = True
            try:
                await reading
                self.moves.append((time.monotonic(), socket.close_code))
            finally:
                self.seated = False


@dataclass
class Sitters:
    """All of them; they may come and go in groups."""

    service: str
    users: Sequence[User]
    here: list[Sitter] = field(default_factory=list)
    _living: list[asyncio.Task[None]] = field(default_factory=list)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _paths: AsyncExitStack = field(default_factory=AsyncExitStack)

    def keep(self, path: AsyncExitStack) -> None:
        """Close it when everybody has left: what sockets pass through."""
        self._paths.push_async_exit(path)

    async def come(self, count: int, *, to: str = "") -> None:
        """So many more, all of them to one address if it is given; returns when they sit."""
        new = [
            Sitter(self.users[number % len(self.users)], to or self.service, self.service)
            for number in range(count)
        ]
        self.here += new
        self._living += [asyncio.create_task(one.live(self._places), name="sitter") for one in new]
        await self.all_sit()

    async def all_sit(self) -> None:
        """Wait until everybody has a socket."""

        async def seated() -> bool:
            await asyncio.sleep(0.1)
            return all(one.seated for one in self.here)

        await eventually(seated, within=SEATED_WITHIN, what="everybody has a socket")

    async def go(self, count: int) -> None:
        """So many leave, those who came last."""
        stay = len(self.here) - count
        leaving, self._living = self._living[stay:], self._living[:stay]
        self.here = self.here[:stay]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    async def leave(self) -> None:
        """All go, and what their sockets passed through is closed."""
        await self.go(len(self.here))
        await self._paths.aclose()

    def moved(self, since: float) -> int:
        """How many were sent elsewhere after a moment of the monotonic clock."""
        return sum(any(when >= since for when, _ in one.moves) for one in self.here)


def _ignore(_: str, __: Document) -> None:
    """Events are nothing to somebody who only sits there."""


@asynccontextmanager
async def sitters(service: str, users: Sequence[User]) -> AsyncIterator[Sitters]:
    """Nobody yet; whoever comes leaves with the context."""
    everybody = Sitters(service, users)
    try:
        yield everybody
    finally:
        await everybody.leave()
