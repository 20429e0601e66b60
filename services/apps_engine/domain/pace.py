"""How often something may happen: calls of an app, its lines of output, its restarts.

Every moment is an argument, in seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """Allows `rate` per second on average and `burst` at once."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Whether `amount` may happen now; if not, nothing is taken."""
        self._fill(now)
        if amount > self._tokens:
            return False
        self._tokens -= amount
        return True

    def charge(self, now: float, amount: float) -> float:
        """Count `amount` that happened already; returns the seconds until there is room again."""
        self._fill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self.rate)

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now


@dataclass(slots=True)
class Window:
    """Counts what happened in the last `span` seconds, up to `most`."""

    most: int
    span: float
    _moments: deque[float] = field(init=False, default_factory=deque)

    def add(self, now: float) -> int:
        """One more; returns how many there are, itself included."""
        self._moments.append(now)
        if len(self._moments) > self.most:
            self._moments.popleft()
        return self.count(now)

    def count(self, now: float) -> int:
        while self._moments and now - self._moments[0] > self.span:
            self._moments.popleft()
        return len(self._moments)

    def is_full(self, now: float) -> bool:
        """Whether `most` of them happened within `span`."""
        return self.count(now) >= self.most

    def clear(self) -> None:
        self._moments.clear()


def pause_before_restart(failures: int, *, first: float, most: float) -> float:
    """Seconds to wait after so many failures in a row: `first`, doubled each time, up to `most`."""
    if failures <= 0:
        return 0.0
    # The exponent is bounded, as a float is.
    return min(most, first * 2.0 ** min(failures - 1, 64))
