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


def milliseconds(seconds: float) -> int:
    """How long a caller still waits, as a request says it; at least 1, since 0 says nothing."""
    return max(1, int(seconds * 1000))


def work_deadline(now: float, received: float, patience_ms: int, timeout: float) -> float | None:
    """When work on a request must stop, in the clock of `now`; None: too late to start.

    Both the caller's patience and our own `timeout` are counted from `received`, on our own clock
    alone: whether the machines' clocks agree does not matter. What a request spent on its way is
    not known and not counted. Nothing on the way keeps one for long: NATS stores no calls, and
    both sides end a connection that stands still.

    Args:
        patience_ms: how long the caller still waited when it sent; 0: not said.
    """
    deadline = received + timeout
    if patience_ms:
        deadline = min(deadline, received + patience_ms / 1000)
    return deadline if deadline > now else None
