"""Closing sockets whose clients have to load anew, so that they do not all come in one moment.

A socket with an unanswered login or logout is never closed: some clients would wait for that
answer for ever, on every later connection too.
"""

from __future__ import annotations

import asyncio
import random
from heapq import heappop, heappush
from itertools import count
from typing import Final, Protocol

from services.ddp_streamer.common import Cause

SERVICE_RESTART: Final = 1012
REASON: Final = "SERVICE_RESTART"
_MAX_PER_SECOND = 200
_EACH = 0.3  # seconds of the window for each socket, when there are too few to fill it
_LOOK_AGAIN = 0.05  # seconds


class Closable(Protocol):
    """A session that can be closed."""

    @property
    def closed(self) -> bool: ...
    @property
    def in_login(self) -> bool: ...
    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None: ...


class ResyncCloser:
    """Closes sockets whose clients have to load anew, at a bearable pace.

    Each has its own random moment within the window; not more than 200 go in a second.
    """

    def __init__(self, *, window: float) -> None:
        """
        Args:
            window: seconds.
        """
        self._window = window
        self._waiting: list[tuple[float, int, Closable]] = []  # by moment; a heap
        self._numbers = count()
        self._some = asyncio.Event()

    def add(self, session: Closable) -> None:
        """Close this one when its turn comes."""
        window = min(self._window, _EACH * (len(self._waiting) + 1))
        self._put(session, random.uniform(0, window))  # noqa: S311

    async def run(self) -> None:
        """Close what was added, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                pause = self._waiting[0][0] - loop.time()
                if pause > 0:
                    await asyncio.sleep(min(pause, _LOOK_AGAIN))  # another may come before it
                    continue
                _, _, session = heappop(self._waiting)
                if session.closed:  # also one whose login never came to its turn
                    continue
                if session.in_login:
                    self._put(session, _LOOK_AGAIN)
                    continue
                session.close(SERVICE_RESTART, REASON, cause="error")
                await asyncio.sleep(1 / _MAX_PER_SECOND)

    def _put(self, session: Closable, seconds: float) -> None:
        moment = asyncio.get_running_loop().time() + seconds
        heappush(self._waiting, (moment, next(self._numbers), session))
        self._some.set()
