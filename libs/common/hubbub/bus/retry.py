"""When and after which pause a call is tried again. Pure arithmetic; the caller sleeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

FIRST_PAUSE = 0.1  # seconds, upper bound of the first pause
LONGEST_PAUSE = 1.0  # seconds
FACTOR = 2.0
NOBODY_WINDOW = 2.0
"""Seconds for which a call that nobody received is offered again: the order in which services
start does not matter."""


def pause_before(attempt: int, random: Callable[[], float], *, first: float = FIRST_PAUSE) -> float:
    """Seconds to wait before try number `attempt` (the first repetition is 2).

    Full jitter: anything between nothing and the bound, so that callers that failed together do
    not come back together.
    """
    bound = min(LONGEST_PAUSE, first * FACTOR ** (attempt - 2))
    return bound * random()


class SilenceBudget:
    """How often silence may be answered by sending again, as a share of all calls.

    An idempotent call that hears nothing for a third of its time is sent a second time, because
    its callee may be gone. A callee that is merely slow must not get twice the work for it, so
    such repetitions stay below a tenth of the calls, beyond a small reserve.
    """

    __slots__ = ("_ratio", "_reserve", "_tokens")

    def __init__(self, *, ratio: float = 0.1, reserve: float = 20.0) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._tokens = reserve

    def earn(self) -> None:
        """A call was made."""
        if self._tokens < self._reserve:
            self._tokens += self._ratio

    def spend(self) -> bool:
        """Whether one more repetition is allowed; it then counts."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def refund(self) -> None:
        """A repetition reached nobody."""
        self._tokens += 1.0


class RetryBudget:
    """How many calls a process may repeat because they failed.

    Over the last ten seconds a tenth of its calls, and ten per second besides: a few failures are
    hidden from callers, but services that fail because they have too much to do do not get
    several times as much. Not counted are repetitions of calls that reached nobody.
    """

    RATIO: Final = 0.1
    RESERVE: Final = 10.0  # per second
    WINDOW: Final = 10  # seconds

    __slots__ = ("_calls", "_repeated", "_seconds")

    def __init__(self) -> None:
        self._seconds: deque[list[float]] = deque()  # [which, calls, repetitions], oldest first
        self._calls = 0.0
        self._repeated = 0.0

    def earn(self, now: float) -> None:
        """A call was made at `now` (monotonic seconds)."""
        self._second(now)[1] += 1
        self._calls += 1

    def spend(self, now: float) -> bool:
        """Whether one more may be repeated; it then counts."""
        second = self._second(now)
        if self._repeated + 1 > self._calls * self.RATIO + self.RESERVE * self.WINDOW:
            return False
        second[2] += 1
        self._repeated += 1
        return True

    def _second(self, now: float) -> list[float]:
        seconds, which = self._seconds, now // 1
        if seconds and seconds[-1][0] == which:
            return seconds[-1]
        while seconds and seconds[0][0] <= which - self.WINDOW:
            _, calls, repeated = seconds.popleft()
            self._calls -= calls
            self._repeated -= repeated
        seconds.append([which, 0.0, 0.0])
        return seconds[-1]
