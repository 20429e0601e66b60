"""How often one address may call one endpoint.

A window opens with the first call and ends a fixed time later; calls inside it are counted, by
all gateways in one place. What each of them knows of a window it remembers: an address that is
over its limit is refused without asking again, so somebody who hammers costs nothing. While the
place does not answer, each gateway counts alone.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing

log = get_logger(__name__)
_alone = Sparing(log, "rates_counted_alone", per_second=0.1, burst=1)

RETRY = 1.0
"""Seconds until the common place is asked again after it did not answer."""


class Counters(Protocol):
    """Where all gateways count together."""

    async def count(self, address: str, endpoint: str, window: float) -> tuple[int, float]:
        """Count one call; the calls in its window with this one, and the seconds until it ends.

        Raises: Unavailable: nobody knows.
        """
        ...


@dataclass(frozen=True, slots=True)
class RateRule:
    """What is allowed: so many calls in so many seconds."""

    calls: int
    window: float


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
        self, *, entries: int, counters: Counters | None = None, clock: Clock | None = None
    ) -> None:
        """
        Args:
            entries: windows that are remembered here; the oldest are forgotten first.
            counters: where all gateways count; None: this one counts alone.
        """
        self._entries = entries
        self._counters = counters
        self._clock = clock or SystemClock()
        self._alone_until = 0.0  # monotonic seconds
        # (address, endpoint) → window, in the order in which they were opened
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    async def count(self, address: str, endpoint: str, rule: RateRule) -> Verdict:
        """Count one call and say whether it may go on. Refused calls count no further, and the
        first call of a window is never refused."""
        window = self._open((address, endpoint), rule.window)
        refused = window.calls >= rule.calls
        if not refused:
            refused = await self._count(window, address, endpoint, rule)
        wait = max(0.0, window.ends - self._clock.monotonic())
        return Verdict(
            limit=rule.calls,
            remaining=max(0, rule.calls - window.calls),
            resets_at=math.ceil((self._clock.time() + wait) * 1000),
            wait=wait,
            refused=refused,
        )

    async def _count(self, window: _Window, address: str, endpoint: str, rule: RateRule) -> bool:
        """Count one call in `window`; whether it is one too many."""
        window.calls += 1  # before waiting: calls beside this one see it
        asked_at = self._clock.monotonic()
        if self._counters is None or asked_at < self._alone_until:
            return False
        try:
            calls, left = await self._counters.count(address, endpoint, rule.window)
        except Unavailable as error:
            self._alone_until = self._clock.monotonic() + RETRY
            _alone(reason=error.reason)
            return False
        # One call: the others' window is a new one, and so is ours.
        window.calls = max(calls, window.calls) if calls > 1 else calls
        # From when we asked: ours must not outlast theirs, or it would refuse a first call.
        window.ends = asked_at + min(left, rule.window)
        return calls > rule.calls

    def _open(self, key: tuple[str, str], seconds: float) -> _Window:
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
        window = self._windows[key] = _Window(ends=now + seconds)
        return window
