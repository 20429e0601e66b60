"""How many logins a streamer begins per second: as many as the services behind it bear.

After a restart thousands of clients sign in at once. All sockets stay open; their logins wait
here in the order they came. The pace follows what logins cost (additive increase, multiplicative
decrease, as TCP's congestion control, RFC 5681): it grows while they are quick and somebody
waits, and is halved when they are slow, so that the messages of those who are signed in already
keep flowing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from hubbub.bus.caller import CircuitOpen
from hubbub.clock import Clock, SystemClock
from hubbub.errors import HubbubError, Timeout, Unavailable

STEP: Final = 10.0
"""Logins per second by which the pace grows, each second."""
QUICK: Final = 0.5
"""Seconds: while the 95th percentile is below it the pace may grow."""
SLOW: Final = 2.0
"""Seconds: above it the pace is halved."""
SLOWEST: Final = 20.0
"""Logins per second that are begun however long they take."""
FASTEST: Final = 5_000.0
"""Logins per second beyond which growing means nothing."""
_BURST = 1.0  # seconds' worth of logins that may begin at once after a calm


class LoginPace:
    """Lets logins begin; `run` is its task.

    async with pace.turn(): ...     a login; waits for its turn first
    """

    def __init__(
        self, *, start: float = 100.0, patience: float = 10.0, clock: Clock | None = None
    ) -> None:
        """
        Args:
            start: logins per second at first.
            patience: seconds that a login may wait in line.
        """
        self._clock = clock or SystemClock()
        self._patience = patience
        self._queue: deque[asyncio.Future[None]] = deque()
        self._wanted = asyncio.Event()
        self._running: dict[object, float] = {}  # logins under way → when they began
        self._took: list[float] = []  # seconds, of those that ended since the last judgement
        self._was_wanted = False
        self._filled_at = self._judged_at = self._clock.monotonic()
        self._allowance = start * _BURST
        self.rate = start
        """Logins that may begin per second."""

    @property
    def waiting(self) -> int:
        """Logins in line."""
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, *, measured: bool = True) -> AsyncIterator[None]:
        """Wait in line, then count what is done inside as a login.

        Args:
            measured: how long it takes says something about the load. Computing a password's
                hash takes long by design and has a queue of its own.

        Raises: Unavailable: too many wait; nothing was done.
        """
        await self._wait()
        login = object()
        if measured:
            self._running[login] = self._clock.monotonic()
        try:
            yield
        except CircuitOpen:  # nobody was asked, so it says nothing of the load
            raise
        except (Unavailable, Timeout):
            self._note(login, least=SLOW)
            raise
        except HubbubError:  # refused, which is an answer
            self._note(login)
            raise
        else:
            self._note(login)
        finally:
            self._running.pop(login, None)

    async def run(self) -> None:
        """Let those in line begin, until cancelled."""
        while True:
            await self._wanted.wait()
            self._admit()
            if self._queue:
                await self._clock.sleep(min(0.05, max(0.001, 1.0 / self.rate)))
            else:
                self._wanted.clear()

    async def _wait(self) -> None:
        self._fill()
        if not self._queue and self._allowance >= 1.0:
            self._allowance -= 1.0
            return
        self._was_wanted = True
        if len(self._queue) >= self.rate * self._patience:
            raise _busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._wanted.set()
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            raise _busy() from None

    def _note(self, login: object, *, least: float = 0.0) -> None:
        begun = self._running.get(login)
        if begun is not None:
            self._took.append(max(least, self._clock.monotonic() - begun))

    def _admit(self) -> None:
        self._fill()
        while self._queue and self._allowance >= 1.0:
            turn = self._queue.popleft()
            if not turn.done():  # else it gave up
                turn.set_result(None)
                self._allowance -= 1.0

    def _fill(self) -> None:
        now = self._clock.monotonic()
        if now - self._judged_at >= 1.0:
            self._judge(now)
        grown = self._allowance + (now - self._filled_at) * self.rate
        self._allowance = min(grown, max(1.0, self.rate * _BURST))
        self._filled_at = now

    def _judge(self, now: float) -> None:
        """Change the pace by what was seen since the last judgement, a second or more ago."""
        stuck = [now - begun for begun in self._running.values() if now - begun > SLOW]
        seen, self._took = [*self._took, *stuck], []
        was_wanted, self._was_wanted = self._was_wanted or bool(self._queue), False
        self._judged_at = now
        if not seen:
            return
        typical = percentile95(seen)
        if typical >= SLOW:
            self.rate = max(SLOWEST, self.rate / 2)
        elif typical < QUICK and was_wanted:
            self.rate = min(FASTEST, self.rate + STEP)


def percentile95(values: Iterable[float]) -> float:
    """The smallest value that is not exceeded by 95 of 100."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 95 // 100) - 1]


def _busy() -> Unavailable:
    return Unavailable("too many logins wait")
