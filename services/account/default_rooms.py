"""New users join the default rooms, however often it takes.

Whoever has to join is marked in the database, so that neither a restart of this service nor an
absence of the messaging service can lose it. Any replica does it; joining twice is no harm.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from hubbub.errors import HubbubError
from hubbub.ids import UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.account.metrics import AccountMetrics

log = get_logger(__name__)

AT_ONCE = 2.0
"""Seconds that a registration waits for the rooms before it leaves them to the background."""

_LOOK_PAUSE = 30.0  # seconds between two looks for users that others left behind
_RETRY_PAUSE = 2.0  # seconds after a failure, doubled up to the pause between looks
_BATCH = 100  # users


class Rooms(Protocol):
    """The part of the messaging service that is needed here."""

    async def join_default_rooms(self, user_id: UserId) -> None:
        """Make the user a member of every default room. Repeatable."""
        ...


class PendingStore(Protocol):
    """The part of the user store that is needed here."""

    async def pending_default_rooms(self, limit: int) -> list[UserId]:
        """Users that still have to join the default rooms."""
        ...

    async def default_rooms_joined(self, user_id: UserId) -> None:
        """Remove the mark."""
        ...


class DefaultRooms:
    """Joins the marked users; `run` is its background task."""

    def __init__(self, store: PendingStore, rooms: Rooms, metrics: AccountMetrics) -> None:
        self._store = store
        self._rooms = rooms
        self._metrics = metrics
        self._wanted = asyncio.Event()

    def look(self) -> None:
        """There is somebody to join, or there may be."""
        self._wanted.set()

    async def join_soon(self, user_id: UserId) -> None:
        """Join one user now if that works within moments, else in the background."""
        try:
            async with asyncio.timeout(AT_ONCE):
                await self._join(user_id)
        except (HubbubError, TimeoutError) as error:
            log.info("default_rooms_later", reason=type(error).__name__)
            self.look()

    async def run(self) -> None:
        """Join whoever is marked, until cancelled."""
        retry = _RETRY_PAUSE
        while True:
            self._wanted.clear()
            all_joined = await self.join_pending()
            heed_cancellation()
            if all_joined:
                retry = _RETRY_PAUSE
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_PAUSE):
                        await self._wanted.wait()
            else:
                await asyncio.sleep(retry)
                retry = min(2 * retry, _LOOK_PAUSE)

    async def join_pending(self) -> bool:
        """Join the users that are marked now. False: some could not."""
        try:
            pending = await self._store.pending_default_rooms(_BATCH)
        except HubbubError as error:
            log.warning("default_rooms_unknown", reason=type(error).__name__)
            return False
        self._metrics.default_rooms_pending.set(len(pending))
        all_joined = len(pending) < _BATCH
        for user_id in pending:
            try:
                await self._join(user_id)
            except HubbubError as error:
                log.warning("default_rooms_not_joined", reason=type(error).__name__)
                all_joined = False
        return all_joined

    async def _join(self, user_id: UserId) -> None:
        await self._rooms.join_default_rooms(user_id)
        await self._store.default_rooms_joined(user_id)
