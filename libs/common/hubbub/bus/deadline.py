"""How long a call may take, hop by hop."""

from __future__ import annotations

import time
from collections.abc import Callable

from hubbub.clock import Clock, SystemClock
from hubbub.errors import Timeout

HOP = 0.01
"""Seconds that a caller keeps for itself of what it was given: to hear of a failure below and
still answer above."""


def readers_of(clock: Clock) -> tuple[Callable[[], float], Callable[[], float]]:
    """`monotonic` and `time` of a clock, for a path on which every function call counts."""
    if type(clock) is SystemClock:
        return time.monotonic, time.time
    return clock.monotonic, clock.time


def call_deadline(now: float, timeout: float, inherited: float | None, label: str) -> float:
    """When a call that starts now must be over, in the clock of `now`.

    Raises: Timeout: the request that we work for has no time left; nothing was sent.
    """
    deadline = now + timeout
    if inherited is not None and inherited - HOP < deadline:
        deadline = inherited - HOP
        if deadline <= now:
            raise Timeout(f"{label}: no time left to call it")
    return deadline


def work_deadline(now: float, wall_ms: float, deadline_ms: int, timeout: float) -> float | None:
    """When work on a received request must stop, in the clock of `now`; None: too late to start.

    The caller's deadline is a wall clock time of another machine. Keeping the smaller of it and
    our own timeout bounds the work even when that clock runs ahead.
    """
    if deadline_ms == 0:
        return now + timeout
    left = (deadline_ms - wall_ms) / 1000
    if left <= 0:
        return None
    return now + min(left, timeout)
