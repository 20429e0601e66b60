"""Tasks that end when they are asked to."""

from __future__ import annotations

import asyncio


def stop_if_cancelled() -> None:
    """Raise `CancelledError` in a task that was cancelled and did not notice.

    A loop that talks to the database calls it once per round: PyMongo 4.20 swallows about one in
    a hundred cancellations that arrive while it reads an answer, and a task goes on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
