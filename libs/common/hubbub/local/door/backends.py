"""Which processes are behind the door, and which of them takes the next one."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Role = Literal["streamer", "gateway"]

RETRY_PAUSE = 0.1  # seconds until a backend that could not be reached is tried again


@dataclass(frozen=True, slots=True)
class Backend:
    """One process that takes connections."""

    name: str
    host: str
    port: int


class NobodyThere(Exception):
    """No backend could be reached before the deadline."""


def role_of(path: str) -> Role:
    """Which kind of process answers at `path`."""
    is_socket = path == "/websocket" or path == "/sockjs" or path.startswith("/sockjs/")
    return "streamer" if is_socket else "gateway"


class Backends:
    """The backends of one role, as the supervisor last told them."""

    def __init__(self) -> None:
        self._known: tuple[Backend, ...] = ()
        self._taken: Counter[Backend] = Counter()  # open connections
        self._changed = asyncio.Event()

    def replace(self, backends: list[Backend]) -> None:
        """Use these from now on; open connections stay where they are."""
        self._known = tuple(backends)
        self._changed.set()
        self._changed = asyncio.Event()

    @contextmanager
    def counted(self, backend: Backend) -> Iterator[None]:
        """Count one connection while the context lasts."""
        self._taken[backend] += 1
        try:
            yield
        finally:
            self._taken[backend] -= 1
            if not self._taken[backend]:
                del self._taken[backend]

    async def candidates(self, *, within: float, sticky: str = "") -> AsyncGenerator[Backend, None]:
        """Backends to try, best first, again and again until `within` seconds have passed.

        Best is the one with the fewest connections; with `sticky`, the one that every
        request of that key goes to as long as the same backends are there.

        Raises:
            NobodyThere: the time is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            for backend in self._in_order(sticky):
                yield backend
            left = deadline - loop.time()
            if left <= 0:
                raise NobodyThere
            await self._change_or(min(left, RETRY_PAUSE if self._known else left))

    def _in_order(self, sticky: str) -> list[Backend]:
        if sticky:
            return sorted(self._known, key=lambda backend: _weight(sticky, backend), reverse=True)
        return sorted(self._known, key=lambda backend: self._taken[backend])

    async def _change_or(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


def _weight(key: str, backend: Backend) -> bytes:
    """Rendezvous hashing: a backend that leaves moves only its own keys."""
    return hashlib.sha256(f"{key}\0{backend.name}".encode()).digest()
