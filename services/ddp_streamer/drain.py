"""Closing sockets: each at a moment of its own, with its answers, and not too many at once.

The spread is the server's work, because clients come back after constant delays. A socket with
an unanswered login or logout stays as long as it can: some clients would wait for that answer
for ever, on every later connection too.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from hubbub.clock import Clock
from services.ddp_streamer.closing import REASON, SERVICE_RESTART
from services.ddp_streamer.common import Cause

TICK: Final = 0.05  # seconds between two looks at who is due
SETTLING: Final = 1.0
"""Seconds that a new socket gets to send the login that is surely on its way."""
HURRIED: Final = 2.0
"""Seconds that are left for everything after whoever asked for the drain insists."""
_ANSWERS: Final = 0.5  # of those: for the answers of the last ones


class Leaving(Protocol):
    """A session that is to go."""

    @property
    def busy(self) -> bool:
        """Something was asked that is not answered yet."""
        ...

    @property
    def closed(self) -> bool: ...

    @property
    def in_login(self) -> bool:
        """A login or logout is unanswered."""
        ...

    @property
    def age(self) -> float:
        """Seconds since its socket was opened."""
        ...

    def finish(self) -> None:
        """Begin nothing new but a login; what was asked before is answered."""
        ...

    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How sessions are to be closed. Moments are seconds of the clock."""

    window: float
    """Seconds over which their turns are spread."""
    patience: float
    """Seconds that one whose turn has come may wait for its answers."""
    forced_at: float = float("inf")
    """When all are closed that have no login or logout unanswered."""
    given_up_at: float = float("inf")
    """When those are closed as well: the process has no more time."""


class Drain:
    """Closes sessions with 1012 by a plan.

    At most `rate()` of them per second have their turn: so many logins the others can bear.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        rate: Callable[[], float],
        clock: Clock,
        hurried: asyncio.Event | None = None,
        cause: Cause | None = None,
        on_remaining: Callable[[int], None] = lambda count: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            rate: sessions per second; asked again and again.
            hurried: when it is set, `HURRIED` seconds are left and the rate counts no more.
            cause: what the closes are counted under, if they are no drain of the process.
            on_remaining: told how many sessions are left, whenever that was counted.
            draw: between 0 and 1, for the moments.
        """
        self._plan = plan
        self._rate = rate
        self._clock = clock
        self._hurried = hurried or asyncio.Event()
        self._cause = cause
        self._on_remaining = on_remaining
        self._draw = draw
        self._forced_at = plan.forced_at
        self._patience = plan.patience
        self._in_hurry = False
        self._waiting: deque[tuple[float, Leaving]] = deque()  # by the moment of their turn
        self._settling: list[tuple[float, int, Leaving]] = []  # too new to be closed; a heap
        self._taken: dict[Leaving, float] = {}  # had their turn → until when they may stay
        self._budget = 0.0
        self._forced = 0

    async def run(self, sessions: Iterable[Leaving]) -> int:
        """Close `sessions` and return when the last close was sent, or is no longer needed.

        Returns: how many were closed before their turn or before their answers.
        """
        now = refilled = self._clock.monotonic()
        self._waiting.extend(
            sorted(
                ((now + self._draw() * self._plan.window, session) for session in sessions),
                key=lambda entry: entry[0],
            )
        )
        self._budget = 1.0
        while True:
            now = self._clock.monotonic()
            if self._hurried.is_set() and not self._in_hurry:
                self._hurry(now)
            self._refill(now - refilled)
            refilled = now
            self._take_turns(now)
            self._close_answered(now)
            if now >= self._forced_at:
                self._force(logins=now >= self._plan.given_up_at)
            left = len(self._waiting) + len(self._settling) + len(self._taken)
            self._on_remaining(left)
            if not left:
                return self._forced
            await self._clock.sleep(TICK)

    def _hurry(self, now: float) -> None:
        """Bring all turns forward, so that the answers of the last ones still have some time."""
        self._in_hurry = True
        last = max((moment - now for moment, _ in self._waiting), default=0.0)
        if last > (room := HURRIED - _ANSWERS):
            self._waiting = deque(
                (now + max(0.0, moment - now) * room / last, session)
                for moment, session in self._waiting
            )
        self._forced_at = min(self._forced_at, now + HURRIED)

    def _refill(self, seconds: float) -> None:
        rate = self._rate()
        # What was not used does not pile up: nobody can bear more because nobody came before.
        self._budget = min(self._budget + seconds * rate, max(1.0, 2 * TICK * rate))

    def _take_turns(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            if not self._may_take():
                return
            _, session = self._waiting.popleft()
            if session.closed:
                continue
            if session.age < SETTLING and not session.in_login:
                settled_at = now + SETTLING - session.age
                heapq.heappush(self._settling, (settled_at, id(session), session))
            else:
                self._take(session, now)
        while self._settling and self._settling[0][0] <= now and self._may_take():
            self._take(heapq.heappop(self._settling)[2], now)

    def _may_take(self) -> bool:
        return self._in_hurry or self._budget >= 1.0

    def _take(self, session: Leaving, now: float) -> None:
        if not session.closed:
            self._budget -= 1.0
            session.finish()
            self._taken[session] = now + self._patience

    def _close_answered(self, now: float) -> None:
        for session, until in list(self._taken.items()):
            if session.closed:
                del self._taken[session]
            elif not session.busy and not session.in_login:
                self._close(session)
            elif now >= until and not session.in_login:
                self._forced += 1
                self._close(session)

    def _force(self, *, logins: bool) -> None:
        """Close all that are left, but those with an unanswered login only if `logins`."""
        untaken = [session for _, session in self._waiting]
        untaken += [session for _, _, session in self._settling]
        self._waiting.clear()
        self._settling.clear()
        for session in untaken:
            if not session.closed:
                session.finish()
                self._taken[session] = self._forced_at
        for session in list(self._taken):
            if logins or not session.in_login:
                self._forced += not session.closed
                self._close(session)

    def _close(self, session: Leaving) -> None:
        del self._taken[session]
        session.close(SERVICE_RESTART, REASON, cause=self._cause)
