"""Background work with an owner: whoever starts a task is the one who ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_CANCEL_AGAIN = 2.0  # seconds


class Tasks:
    """Tasks that live no longer than their owner. A failure is logged, never lost.

    async with Tasks() as tasks:
        tasks.spawn(work(), "work")
    """

    def __init__(
        self,
        on_death: Callable[[str], None] = lambda name: None,
        *,
        on_failure: Callable[[str], None] = lambda name: None,
    ) -> None:
        """
        Args:
            on_death: told the name of a vital task that failed: its owner is half alive.
            on_failure: told the name of every task that failed.
        """
        self._on_death = on_death
        self._on_failure = on_failure
        self._vital: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Tasks:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def spawn(self, work: Coroutine[Any, Any, None], name: str, *, vital: bool = False) -> None:
        """Start `work`. After `close` it is cancelled before its first step.

        Args:
            vital: the owner cannot go on for long without it.
        """
        task = self.start(work, name)
        if vital:
            self._vital.add(task)

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
            # Up to Python 3.11 `wait_for`, which the NATS client uses, may swallow one.
            await asyncio.wait(self._running, timeout=_CANCEL_AGAIN)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        vital = task in self._vital
        self._vital.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)
            self._on_failure(task.get_name())
            if vital:
                self._on_death(task.get_name())
