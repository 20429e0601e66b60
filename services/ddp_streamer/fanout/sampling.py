"""Which events are timed: all of them while there are few, one in sixteen while there are many.

Timing costs 2 µs per event, as much as half a delivery. The share is chosen anew every second
by the rate of the second before, so that within a second each event is as likely as any other.
"""

from __future__ import annotations

from typing import Final

MANY: Final = 200.0
"""Events per second above which not all are timed."""
_ONE_IN: Final = 16
_PERIOD: Final = 1.0  # seconds


class Sampling:
    """Decides for each event."""

    __slots__ = ("_count", "_one_in", "_since")

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0
        self._one_in = 1

    def takes(self, now: float) -> bool:
        """Whether the event that arrives at `now` (monotonic seconds) is timed."""
        self._count += 1
        passed = now - self._since
        if passed >= _PERIOD:
            self._one_in = _ONE_IN if self._count > MANY * passed else 1
            self._since, self._count = now, 0
        return self._count % self._one_in == 0
