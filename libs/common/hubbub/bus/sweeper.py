"""One coarse timer for thousands of deadlines.

A timer per call costs more than the call's other bookkeeping. Here one loop timer looks every
20 ms, and only while something waits, at everything that has a deadline. A look at a thousand
deadlines costs 50 µs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

TICK = 0.02  # seconds: a deadline is noticed up to this much late, never early


class Swept(Protocol):
    """Something that holds deadlines."""

    def sweep(self, now: float) -> bool:
        """Expire what is due at `now` (monotonic seconds). Whether anything is left.

        Must not raise.
        """
        ...


class Sweeper:
    """Calls `sweep` of what was added, every tick, while anything is left anywhere.

    Time is the clock's; only the looking is driven by the event loop, so a test that moves a
    fake clock sees deadlines pass within a tick of real time.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._swept: list[Swept] = []
        self._timer: asyncio.TimerHandle | None = None
        self.armed = False

    def add(self, swept: Swept) -> None:
        """Look after `swept` from now on."""
        self._swept.append(swept)

    def arm(self) -> None:
        """Start looking; whoever gains a deadline says so, unless `armed` already."""
        self.armed = True
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.armed = False

    def _look(self) -> None:
        self.armed = False
        now = self._monotonic()
        left = False
        for swept in self._swept:
            left = swept.sweep(now) or left
        if left and not self.armed:
            self.arm()
