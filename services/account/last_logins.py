"""When users signed in last, written for many at once.

A login answers without waiting for it: it is a date for people to look at. After a restart of a
streamer thousands come back within seconds; one write for hundreds of them costs the database a
fraction of hundreds of writes, and no login waits until a majority has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.errors import HubbubError
from hubbub.ids import UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_GATHER: Final = 0.5  # seconds
_BATCH: Final = 500  # users in one write
_MOST: Final = 50_000  # users that are remembered; of further ones the date is not written


class LoginDates(Protocol):
    """Where the dates are kept."""

    async def note_logins(self, dates: Mapping[UserId, datetime]) -> None:
        """Remember when users signed in last. Raises: Unavailable."""
        ...


class LastLogins:
    """Gathers dates; `run` is its task."""

    def __init__(self, store: LoginDates, *, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._unwritten: dict[UserId, datetime] = {}
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(self, user_id: UserId, now: datetime) -> None:
        """The user signed in."""
        if user_id in self._unwritten or len(self._unwritten) < _MOST:
            self._unwritten[user_id] = now
            self._some.set()

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self._clock.sleep(_GATHER)
            try:
                await self.flush()
            except HubbubError as error:
                log.warning("last_logins_not_written", reason=type(error).__name__)
                if self._unwritten:
                    self._some.set()
            heed_cancellation()

    async def flush(self) -> None:
        """Write what is not written yet, and wait for what is being written.

        Raises: Unavailable: what was at hand is forgotten; the next login of these users says it
        again.
        """
        async with self._writing:
            while self._unwritten:
                users = list(self._unwritten)[:_BATCH]
                await self._store.note_logins({user: self._unwritten.pop(user) for user in users})
