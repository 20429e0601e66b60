"""Time as an argument, so that rules about time can be tested without waiting."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What code that waits or measures needs from time."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def time(self) -> float:
        """Seconds since 1970; may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeClock:
    """A clock that moves only when a test moves it, or when somebody sleeps on it.

    `sleep` returns at once after moving the time and remembering the pause in `pauses`, so a
    retry loop of minutes runs in microseconds and its pauses can be compared.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self._elapsed

    def time(self) -> float:
        return self._start + self._elapsed

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._elapsed += seconds
        await asyncio.sleep(0)


def utc_now() -> datetime:
    """The present moment with its zone, in whole milliseconds as MongoDB and EJSON keep it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
