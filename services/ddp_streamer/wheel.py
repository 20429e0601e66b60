"""One timer for all connections.

A timer per connection and purpose costs memory and a heap operation per frame. Here each
connection stands in the bucket of the moment at which it next wants to be looked at; when that
moment comes it does what is due and says when it wants to be looked at again.
"""

from __future__ import annotations

import math
from typing import Protocol

NEVER = math.inf


class Waking(Protocol):
    """Something that wants to be woken."""

    wake_at: float
    """Set by the wheel: the moment of the entry that counts."""

    def wake(self, now: float) -> float:
        """Do what is due at `now`; return the next moment of interest, or `NEVER`."""
        ...


class TimerWheel:
    """Buckets of `tick` seconds. Nobody is woken early; at most one tick late."""

    def __init__(self, now: float, tick: float = 0.5) -> None:
        self.tick = tick
        self._buckets: dict[int, list[Waking]] = {}
        self._done = self._bucket(now) - 1  # the last bucket that was emptied

    def schedule(self, who: Waking, at: float) -> None:
        """Wake `who` at `at`, unless it is to be woken earlier anyway."""
        if at >= who.wake_at:
            return
        who.wake_at = at
        bucket = max(self._bucket(at), self._done + 1)
        self._buckets.setdefault(bucket, []).append(who)

    def advance(self, now: float) -> None:
        """Wake everybody whose moment has come."""
        last = self._bucket(now)
        while self._done < last - 1:
            self._done += 1
            for who in self._buckets.pop(self._done, ()):
                # An entry that a nearer one has replaced finds a later `wake_at`: not its turn.
                if who.wake_at <= now:
                    who.wake_at = NEVER
                    next_at = who.wake(now)
                    if next_at < NEVER:
                        self.schedule(who, next_at)

    def _bucket(self, at: float) -> int:
        return int(at / self.tick)
