"""What passed lately, and what cannot be true of a log that is still the same log. Pure.

A log that lost its end, or was set back to an older copy of itself, gives its sequences to other
events. A chain takes those for repetitions of what it has: they stand at places that it has
passed. So it is remembered which event was at which place.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_PASSED: Final = 8_192
"""Places that are remembered, of all audiences together (about 0.3 KB each)."""


class Passed:
    """The last events that passed, by their places in the log."""

    __slots__ = ("_floor", "_ids", "_limit", "_order")

    def __init__(self, limit: int = MAX_PASSED) -> None:
        self._limit = limit
        self._ids: dict[int, str] = {}
        self._order: deque[int] = deque()
        self._floor = 0  # up to here something was forgotten

    def note(self, sequence: int, identity: str) -> bool:
        """The event `identity` at `sequence` passes; False when another one, of whatever
        audience, has passed there before."""
        known = self._ids.get(sequence)
        if known is None:
            self._ids[sequence] = identity
            self._order.append(sequence)
            if len(self._order) > self._limit:
                forgotten = self._order.popleft()
                del self._ids[forgotten]
                self._floor = max(self._floor, forgotten)
        return known is None or known == identity

    def contradicts(self, sequence: int, identity: str, *, base: int) -> bool:
        """Whether `identity` cannot be what stood at `sequence` when that place was passed.

        Args:
            base: where the audience was opened; of what lies up to there nothing passed.
        """
        known = self._ids.get(sequence)
        if known is None:
            # An audience passes each of its events: there was none at this place.
            return sequence > max(base, self._floor)
        return known != identity

    def clear(self) -> None:
        """Another log: its places mean something else."""
        self._ids.clear()
        self._order.clear()
        self._floor = 0
