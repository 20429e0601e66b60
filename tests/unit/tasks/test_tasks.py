"""Tasks that live as long as a block."""

from __future__ import annotations

import asyncio

import pytest

from hubbub.tasks import heed_cancellation, owned


async def test_work_ends_with_its_block() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async with owned(work()):
        await asyncio.sleep(0)
    assert ended == ["work"]


async def test_failing_work_ends_its_block() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(ExceptionGroup) as caught:
        async with owned(work()):
            await asyncio.Event().wait()
    assert caught.group_contains(LookupError)


async def test_a_cancellation_that_a_library_swallowed_is_heeded() -> None:
    turns = 0

    async def deaf() -> None:
        nonlocal turns
        while True:
            heed_cancellation()
            turns += 1
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue  # what `wait_for` does when its work is done in the same turn

    async with asyncio.timeout(5), owned(deaf()):
        await asyncio.sleep(0.01)
    assert turns
