"""Collects what apps write down, and stores it in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

from hubbub.contracts.apps import LogLine
from hubbub.errors import Unavailable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.apps_engine.store.logs import MongoLogStore

log = get_logger(__name__)

Level = Literal["debug", "info", "warning", "error"]

_LONGEST: Final = 2_000  # characters of a line
_WAITING: Final = 1_000  # lines; older ones go when the database is away
_INTERVAL: Final = 0.5  # seconds


class Logbook:
    """Lines on their way into the database. `run` is its task."""

    def __init__(self, store: MongoLogStore, now: Callable[[], datetime], *, keep: float) -> None:
        self._store = store
        self._now = now
        self._keep = timedelta(seconds=keep)
        self._lines: deque[tuple[str, LogLine]] = deque(maxlen=_WAITING)
        self._come = asyncio.Event()

    def write(self, app_id: str, level: Level, text: str) -> None:
        """Note a line. What the database could not store of it stands in for what it cannot."""
        clean = text[:_LONGEST].encode("utf-8", "replace").decode()
        self._lines.append((app_id, LogLine(at=self._now(), level=level, text=clean)))
        self._come.set()

    async def run(self) -> None:
        """Store lines until cancelled."""
        while True:
            heed_cancellation()
            await self._come.wait()
            self._come.clear()
            try:
                await self.flush()
            except Unavailable:
                self._come.set()
            await asyncio.sleep(_INTERVAL)

    async def flush(self) -> None:
        """Store what waits. Raises: Unavailable: it still waits."""
        lines = [*self._lines]
        self._lines.clear()
        try:
            await self._store.add(lines, self._now() + self._keep)
        except Unavailable:
            self._lines.extendleft(reversed(lines))
            raise
