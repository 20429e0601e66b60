"""What stands between reading and deciding: a bounded hand-over that gives all it has."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from services.stream_hub.domain import Change


class Position(NamedTuple):
    """A place in the database's history."""

    token: str
    """Comparable text."""
    document: Mapping[str, Any]
    """What the database wants to see to resume behind it."""


class Read(NamedTuple):
    """One thing that was read."""

    position: Position
    change: Change | None = None
    """None when there was nothing: then only the position is new."""
    read_at: float = 0.0
    """Monotonic seconds."""
    gap: str = ""
    """Why changes up to here are missing, one word; empty when none are."""


class Feed:
    """Hands over what was read, in order. One writer, one reader."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Read] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether the writer has to wait."""
        return len(self._waiting) >= self._limit

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.full:
            self._emptied.clear()
            await self._emptied.wait()

    def put(self, item: Read) -> None:
        """Append `item`. Call `room` first when `full`."""
        self._waiting.append(item)
        self._filled.set()

    async def take(self, most: int) -> list[Read]:
        """Wait for something; what waits then, up to `most` items."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        if len(self._waiting) <= most:
            taken = list(self._waiting)
            self._waiting.clear()
        else:
            taken = [self._waiting.popleft() for _ in range(most)]
        self._emptied.set()
        return taken
