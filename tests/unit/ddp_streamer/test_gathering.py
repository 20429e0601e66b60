"""Questions that share a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hubbub.errors import Internal, Unavailable
from services.ddp_streamer.gathering import Gathering
from services.ddp_streamer.tasks import Tasks
from tests.waiting import eventually

MOST = 10


class Oracle:
    """Doubles numbers; can be held up or fail."""

    def __init__(self, tasks: Tasks) -> None:
        self.asked: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.forgets_one = False
        self.gathering = Gathering(self.double, "double", tasks=tasks, most=MOST)

    async def double(self, numbers: list[int]) -> list[int]:
        self.asked.append(numbers)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return [2 * number for number in numbers[int(self.forgets_one) :]]


@pytest.fixture
async def oracle() -> AsyncIterator[Oracle]:
    async with Tasks() as tasks:
        yield Oracle(tasks)


async def test_alone_it_is_asked_at_once(oracle: Oracle) -> None:
    assert await oracle.gathering.ask(3) == 6
    assert oracle.asked == [[3]]


async def test_those_of_one_turn_share_a_call(oracle: Oracle) -> None:
    answers = await asyncio.gather(*map(oracle.gathering.ask, range(MOST)))
    assert answers == [2 * number for number in range(MOST)]
    assert oracle.asked == [list(range(MOST))]


async def test_while_calls_are_under_way_the_next_one_gathers(oracle: Oracle) -> None:
    oracle.open.clear()
    asking = []
    for number in range(25):
        asking.append(asyncio.create_task(oracle.gathering.ask(number)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert oracle.asked == [[0], [1]]
    oracle.open.set()
    assert await asyncio.gather(*asking) == [2 * number for number in range(25)]
    assert [len(numbers) for numbers in oracle.asked] == [1, 1, MOST, MOST, 3]


async def test_a_failure_is_everybodys_and_the_next_call_is_another(oracle: Oracle) -> None:
    oracle.error = Unavailable("away")
    outcomes = await asyncio.gather(*map(oracle.gathering.ask, range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    oracle.error = None
    assert await oracle.gathering.ask(1) == 2


async def test_an_answer_that_is_not_whole_is_none(oracle: Oracle) -> None:
    """Nobody gets what was meant for somebody else."""
    oracle.forgets_one = True
    outcomes = await asyncio.gather(*map(oracle.gathering.ask, range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Internal] * 3


async def test_who_has_gone_is_not_asked_for(oracle: Oracle) -> None:
    oracle.open.clear()
    first = [asyncio.create_task(oracle.gathering.ask(number)) for number in (1, 2)]
    await eventually(lambda: bool(oracle.asked), within=10)
    second = asyncio.create_task(oracle.gathering.ask(3))
    await eventually(lambda: len(oracle.asked) == 2, within=10)
    gone, stays = (asyncio.create_task(oracle.gathering.ask(number)) for number in (4, 5))
    await asyncio.sleep(0)
    gone.cancel()
    oracle.open.set()
    assert await asyncio.gather(*first, second, stays) == [2, 4, 6, 10]
    assert oracle.asked == [[1, 2], [3], [5]]
    assert gone.cancelled() or gone.cancelling()


async def test_who_waits_when_all_ends_is_told() -> None:
    async with Tasks() as tasks:
        oracle = Oracle(tasks)
        oracle.open.clear()
        asking = asyncio.create_task(oracle.gathering.ask(1))
        await eventually(lambda: bool(oracle.asked), within=10)
    with pytest.raises(Unavailable):
        await asking
