"""Tasks that live as long as a block, and whose end ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def owned(*work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run `work` beside the block. When the block ends they are cancelled and awaited; when one
    of them fails, the block is cancelled and the failure comes out, in a group."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(coroutine) for coroutine in work]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def heed_cancellation() -> None:
    """Raise what a library swallowed.

    PyMongo writes inside `asyncio.wait_for`, and up to Python 3.11 that forgets a cancellation
    which arrives in the turn in which the write completes. A loop that only ends by cancellation
    would then never end; so each turn of such a loop calls this.

    Raises:
        asyncio.CancelledError: somebody asked this task to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
