"""How often one address may call one endpoint.

A window opens with the first call and ends a fixed time later; calls inside it are counted.
Counts of other gateways come as events, so the limit holds for the installation and not per
process: each tells what it counted since it last told, twice per second and only when there is
something to tell.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from pydantic import Field

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import Event, listen

TELL_INTERVAL = 0.5  # seconds between two events about what was counted


class CallsCounted(Event, name="gateway.calls-counted"):
    """One gateway tells the others what it counted."""

    instance: str
    calls: list[tuple[str, str, int]] = Field(max_length=10_000)
    """(address, endpoint, calls) since the last event of this instance."""


@dataclass(slots=True)
class _Window:
    ends: float  # monotonic seconds
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one call."""

    limit: int
    remaining: int
    resets_at: int
    """Milliseconds since 1970."""
    wait: float
    """Seconds until the window ends."""
    refused: bool

    @property
    def headers(self) -> dict[str, str]:
        """What a counted answer says about it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.resets_at),
        }


class RateLimit:
    """Counters of calls per address and endpoint."""

    def __init__(
        self,
        *,
        calls: int,
        window: float,
        entries: int,
        instance: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._calls = calls
        self._window = window  # seconds
        self._entries = entries
        self._instance = instance
        self._clock = clock or SystemClock()
        # (address, endpoint) → window, in the order in which they were opened
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._untold: dict[tuple[str, str], int] = {}

    def count(self, address: str, endpoint: str, limit: int | None = None) -> Verdict:
        """Count one call and say whether it may go on. Refused calls count no further."""
        key = (address, endpoint)
        most = self._calls if limit is None else limit
        window = self._open(key)
        refused = window.calls >= most
        if not refused:
            window.calls += 1
            self._untold[key] = self._untold.get(key, 0) + 1
        wait = max(0.0, window.ends - self._clock.monotonic())
        return Verdict(
            limit=most,
            remaining=max(0, most - window.calls),
            resets_at=math.ceil((self._clock.time() + wait) * 1000),
            wait=wait,
            refused=refused,
        )

    def take_untold(self) -> CallsCounted | None:
        """The event about what was counted since the last time; None: nothing was."""
        if not self._untold:
            return None
        told = [(address, name, calls) for (address, name), calls in self._untold.items()]
        self._untold.clear()
        return CallsCounted(instance=self._instance, calls=told[:10_000])

    @listen(CallsCounted, to="all")
    async def on_calls_counted(self, event: CallsCounted) -> None:
        """Other gateways' calls count here too."""
        if event.instance == self._instance:
            return
        for address, name, calls in event.calls:
            self._open((address, name)).calls += max(0, calls)

    def _open(self, key: tuple[str, str]) -> _Window:
        now = self._clock.monotonic()
        window = self._windows.get(key)
        if window is not None and now < window.ends:
            return window
        if window is not None:
            del self._windows[key]
        while self._windows and (
            len(self._windows) >= self._entries or next(iter(self._windows.values())).ends <= now
        ):
            self._windows.popitem(last=False)
        window = self._windows[key] = _Window(ends=now + self._window)
        return window
