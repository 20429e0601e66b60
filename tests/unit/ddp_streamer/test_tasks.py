"""Background work: nothing outlives its owner, no failure is lost, and some failures matter."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from services.ddp_streamer.tasks import Tasks
from tests.waiting import eventually


async def fails() -> None:
    raise ValueError("the reason")


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_the_failure_of_a_vital_task_is_told() -> None:
    """That of another one is only logged, and the end of the owner is no failure."""
    died: list[str] = []
    with capture_logs() as lines:
        async with Tasks(died.append) as tasks:
            tasks.spawn(for_ever(), "lives", vital=True)
            tasks.spawn(fails(), "brief")
            tasks.spawn(fails(), "vital", vital=True)
            await eventually(lambda: len(tasks) == 1)
    assert died == ["vital"]
    assert [line["task"] for line in lines if line["event"] == "task_failed"] == ["brief", "vital"]
