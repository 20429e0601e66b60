"""Closing many sockets so that their clients do not all come back in one moment.

A socket with an unanswered login or logout is never closed: some clients would wait for that
answer for ever, on every later connection too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Final, Protocol

SERVICE_RESTART: Final = 1012
_REASON: Final = "SERVICE_RESTART"
_MAX_PER_SECOND = 200
_LONGEST_PAUSE = 0.3  # seconds between two sockets when there are few
_LOOK_AGAIN = 0.05  # seconds


class Closable(Protocol):
    """A session that can be closed."""

    @property
    def busy(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def in_login(self) -> bool: ...
    def close(self, code: int, reason: str) -> None: ...


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
                    session.close(SERVICE_RESTART, _REASON)
                await asyncio.sleep(max(1 / _MAX_PER_SECOND, pause))


async def drain(sessions: Iterable[Closable], *, window: float, patience: float) -> int:
    """Close all sessions over `window` seconds in random order, each when it has its answers.

    Returns: how many still had an unanswered call `patience` seconds after the window and were
    closed nevertheless.
    """
    waiting = list(sessions)
    random.shuffle(waiting)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    moments = sorted(random.uniform(0, window) for _ in waiting)  # noqa: S311
    late: list[Closable] = []
    for moment, session in zip(moments, waiting, strict=True):
        if (pause := begun + moment - loop.time()) > 0:
            await asyncio.sleep(pause)
        if not _closed_now(session):
            late.append(session)
    end = begun + window + patience
    while late and loop.time() < end:
        await asyncio.sleep(_LOOK_AGAIN)
        late = [session for session in late if not _closed_now(session)]
    for session in late:
        session.close(SERVICE_RESTART, _REASON)
    return len(late)


def _closed_now(session: Closable) -> bool:
    """Close it if nothing is unanswered; whether it is closed."""
    if not session.closed and not session.busy:
        session.close(SERVICE_RESTART, _REASON)
    return session.closed
