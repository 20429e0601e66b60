"""Closing sockets whose clients have to load anew, so that they do not all come in one moment.

A socket with an unanswered login or logout is never closed: some clients would wait for that
answer for ever, on every later connection too.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final, Protocol

from services.ddp_streamer.common import Cause

SERVICE_RESTART: Final = 1012
REASON: Final = "SERVICE_RESTART"
_MAX_PER_SECOND = 200
_LONGEST_PAUSE = 0.3  # seconds between two sockets when there are few
_LOOK_AGAIN = 0.05  # seconds


class Closable(Protocol):
    """A session that can be closed."""

    @property
    def closed(self) -> bool: ...
    @property
    def in_login(self) -> bool: ...
    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None: ...


class ResyncCloser:
    """Closes sockets whose clients have to load anew, at a bearable pace."""

    def __init__(self, *, window: float) -> None:
        self._window = window
        self._waiting: list[Closable] = []
        self._some = asyncio.Event()

    def add(self, session: Closable) -> None:
        """Close this one when its turn comes."""
        self._waiting.append(session)
        self._some.set()

    async def run(self) -> None:
        """Close what was added, in random order, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                pause = min(_LONGEST_PAUSE, self._window / len(self._waiting))
                index = random.randrange(len(self._waiting))  # noqa: S311
                session = self._waiting[index]
                self._waiting[index] = self._waiting[-1]
                self._waiting.pop()
                if session.in_login:
                    self._waiting.append(session)
                    pause = max(pause, _LOOK_AGAIN)
                else:
                    session.close(SERVICE_RESTART, REASON, cause="error")
                await asyncio.sleep(max(1 / _MAX_PER_SECOND, pause))
