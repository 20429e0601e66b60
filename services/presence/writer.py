"""Gathers changes of connections into batches.

While one batch is being written the next one fills: alone, a change is written at once; in a
storm of reconnects, hundreds share one round trip. Whoever brings a change waits until it is
stored, so nothing that was acknowledged is lost when this process dies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime

from hubbub.errors import HubbubError, Unavailable
from hubbub.tasks import heed_cancellation
from services.presence.store.pipelines import Change
from services.presence.store.sessions import MongoSessionStore


class Writer:
    """Writes changes of connections; `run` is its task."""

    def __init__(
        self,
        store: MongoSessionStore,
        *,
        now: Callable[[], datetime],
        batch: int,
        limit: int,
        on_written: Callable[[], None],
    ) -> None:
        """
        Args:
            limit: changes that may wait.
            on_written: called after each batch.
        """
        self._store = store
        self._now = now
        self._batch = batch
        self._limit = limit
        self._on_written = on_written
        self._waiting: deque[tuple[Change, asyncio.Future[None]]] = deque()
        self._filled = asyncio.Event()
        self._stopped = False

    async def write(self, changes: Iterable[Change]) -> None:
        """Store changes. Cancelling loses the wait, not the changes.

        Raises: Unavailable: too many wait, or the database is away; repeating is right.
        """
        if self._stopped:
            raise Unavailable("presence is stopping")
        wanted = list(changes)
        if len(self._waiting) + len(wanted) > self._limit:
            raise Unavailable("too many changes of connections wait")
        loop = asyncio.get_running_loop()
        stored = [loop.create_future() for _ in wanted]
        self._waiting.extend(zip(wanted, stored, strict=True))
        self._filled.set()
        for future in stored:
            await future

    async def run(self) -> None:
        """Write, until cancelled; what then waits is refused as unavailable."""
        try:
            while True:
                heed_cancellation()
                await self._filled.wait()
                await self._write_batch()
                if not self._waiting:
                    self._filled.clear()
        finally:
            self._stopped = True
            self._refuse(self._waiting, Unavailable("presence is stopping"))
            self._waiting.clear()

    async def _write_batch(self) -> None:
        count = min(self._batch, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(count)]
        try:
            await self._store.write((change for change, _ in batch), self._now())
        except HubbubError as error:
            self._refuse(batch, error)
        except BaseException:
            self._refuse(batch, Unavailable("presence is stopping"))
            raise
        else:
            for _, future in batch:
                if not future.done():
                    future.set_result(None)
            self._on_written()

    @staticmethod
    def _refuse(batch: Iterable[tuple[Change, asyncio.Future[None]]], error: HubbubError) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited may be gone
