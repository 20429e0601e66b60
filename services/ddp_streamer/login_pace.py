"""How many logins a streamer begins per second: as many as the services behind it bear.

After a restart thousands of clients sign in at once. All sockets stay open; their logins wait
here in the order they came, and one that has to be tried again keeps its place among them. The
pace follows what logins cost, as TCP's congestion control does (RFC 5681, 3.1): while they are
quick and somebody waits it doubles several times a second; it is halved when they are slow, so
that the messages of those who are signed in already keep flowing; and from where it was halved
it grows carefully.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, NewType

from hubbub.bus.caller import CircuitOpen
from hubbub.clock import Clock, SystemClock
from hubbub.errors import HubbubError, Timeout, Unavailable

STEP: Final = 10.0
"""Logins per second by which the pace grows each second where it was too much before; beyond
a hundred of them, a tenth of itself."""
EFFORTLESS: Final = 0.25
"""Seconds: while the 95th percentile is below it the pace may double."""
QUICK: Final = 0.5
"""Seconds: while the 95th percentile is below it the pace may grow."""
SLOW: Final = 2.0
"""Seconds: above it the pace is halved."""
SLOWEST: Final = 20.0
"""Logins per second that are begun however long they take."""
FASTEST: Final = 5_000.0
"""Logins per second beyond which growing means nothing."""
_BURST = 1.0  # seconds' worth of logins that may begin at once after a calm
_JUDGED_AFTER = 1.0  # seconds
_SOONEST = 0.25  # seconds between two judgements, if
_ENOUGH = 20  # logins were seen: the fewest of which one is beyond the 95th percentile
_TOGETHER = 0.02  # seconds; what begins together costs the services less than one by one

Place = NewType("Place", int)
"""Who came before whom."""


class LoginPace:
    """Lets logins begin; `run` is its task.

    place = pace.place()
    async with pace.turn(place): ...     a login; waits for its turn first
    """

    def __init__(
        self, *, start: float = 100.0, most: int = 50_000, clock: Clock | None = None
    ) -> None:
        """
        Args:
            start: logins per second at first.
            most: logins that may wait in line.
        """
        self._clock = clock or SystemClock()
        self._most = most
        self._places = 0
        self._line: list[tuple[Place, int, asyncio.Future[None]]] = []  # a heap
        self._entered = 0  # times that somebody got into the line
        self._wanted = asyncio.Event()
        self._running: dict[object, float] = {}  # logins under way → when they began
        self._took: list[float] = []  # seconds, of those that ended since the last judgement
        self._was_wanted = False
        self._filled_at = self._judged_at = self._clock.monotonic()
        self._halved_at = -math.inf
        self._careful_from = math.inf  # logins per second; less has been borne before
        self._allowance = start * _BURST
        self.waiting = 0
        """Logins in line."""
        self.rate = start
        """Logins that may begin per second."""

    def place(self) -> Place:
        """A place behind all who have one."""
        self._places += 1
        return Place(self._places)

    @asynccontextmanager
    async def turn(
        self, place: Place, *, within: float = 120.0, measured: bool = True
    ) -> AsyncIterator[None]:
        """Wait in line, then count what is done inside as a login.

        Args:
            place: comes before all that were given later, and may be used again.
            within: seconds that it may wait in line.
            measured: how long it takes says something about the load. Computing a password's
                hash takes long by design and has a queue of its own.

        Raises: Unavailable: too many wait, or for too long; nothing was done.
        """
        await self._wait(place, within)
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
            if self._line:
                await self._clock.sleep(min(0.05, max(_TOGETHER, 1.0 / self.rate)))
            else:
                self._wanted.clear()

    async def _wait(self, place: Place, within: float) -> None:
        self._fill()
        if not self._line and self._allowance >= 1.0:
            self._allowance -= 1.0
            return
        self._was_wanted = True
        if self.waiting >= self._most:
            raise _busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._entered += 1
        heapq.heappush(self._line, (place, self._entered, turn))
        self.waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(within):
                await turn
        except TimeoutError:
            raise _busy() from None
        finally:
            self.waiting -= 1

    def _note(self, login: object, *, least: float = 0.0) -> None:
        begun = self._running.get(login)
        if begun is not None and begun >= self._halved_at:  # else it tells what is known
            self._took.append(max(least, self._clock.monotonic() - begun))

    def _admit(self) -> None:
        self._fill()
        while self._line and (self._allowance >= 1.0 or self._line[0][2].done()):
            _, _, turn = heapq.heappop(self._line)
            if not turn.done():  # else it gave up
                turn.set_result(None)
                self._allowance -= 1.0

    def _fill(self) -> None:
        now = self._clock.monotonic()
        since = now - self._judged_at
        if since >= _JUDGED_AFTER or (since >= _SOONEST and len(self._took) >= _ENOUGH):
            self._judge(now, since)
        grown = self._allowance + (now - self._filled_at) * self.rate
        self._allowance = min(grown, max(1.0, self.rate * _BURST))
        self._filled_at = now

    def _judge(self, now: float, since: float) -> None:
        """Change the pace by what was seen since the last judgement, `since` seconds ago."""
        ages = (now - max(begun, self._halved_at) for begun in self._running.values())
        seen, self._took = [*self._took, *(age for age in ages if age > EFFORTLESS)], []
        was_wanted, self._was_wanted = self._was_wanted or self.waiting > 0, False
        self._judged_at = now
        if not seen:
            return
        typical = percentile95(seen)
        if typical >= SLOW:
            self.rate = self._careful_from = max(SLOWEST, self.rate / 2)
            self._halved_at = now
        elif typical < QUICK and was_wanted:
            self.rate = min(FASTEST, self._grown(typical, min(since, _JUDGED_AFTER)))

    def _grown(self, typical: float, seconds: float) -> float:
        if typical < EFFORTLESS and self.rate < self._careful_from:
            return min(2 * self.rate, self._careful_from)
        return self.rate + max(STEP, self.rate / 10) * seconds


def percentile95(values: Iterable[float]) -> float:
    """The smallest value that is not exceeded by 95 of 100."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 95 // 100) - 1]


def _busy() -> Unavailable:
    return Unavailable("too many logins wait")
