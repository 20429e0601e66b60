"""Background work with an owner: whoever starts a task is the one who ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hubbub.telemetry.log import get_logger

log = get_logger(__name__)


class Tasks:
    """Tasks that live no longer than their owner. A failure is logged, never lost.

    async with Tasks() as tasks:
        tasks.spawn(work(), "work")
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Tasks:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start `work`. After `close` it is cancelled before its first step."""
        _ = self.start(work, name)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """`spawn`, for those who want to wait for the end or to cancel it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._on_done)
        if self._closed:
            task.cancel()
        return task

    async def close(self) -> None:
        """Cancel everything and wait for its end."""
        self._closed = True
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)
