"""The primary of the database steps down while everybody talks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure

from tests.e2e.resilience.conversation import PROMISE, People, conversation
from tests.e2e.resilience.measures import Costs
from tests.e2e.resilience.processes import Hubbub
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LINGER = 3.0  # seconds


async def test_087_the_primary_steps_down(
    hubbub: Hubbub, people: People, rows: list[Costs]
) -> None:
    """Three times while everybody talks: all that was acknowledged arrives."""
    async with conversation(hubbub, people) as talk:
        for _ in range(3):
            await _step_down(hubbub)
            await talk.goes_on()
        await talk.lasts(LINGER)
        cost = await talk.end("the primary steps down three times")
    rows.append(cost)
    assert cost.longest <= PROMISE


async def _step_down(hubbub: Hubbub) -> None:
    """Make the primary resign for two seconds, and wait until there is one again."""
    async with AsyncMongoClient[dict[str, object]](hubbub.mongo_url) as client:
        with suppress(ConnectionFailure):  # it may cut its connections
            await client.admin.command(
                {"replSetStepDown": 2, "secondaryCatchUpPeriodSecs": 0, "force": True}
            )

        async def leads() -> bool:
            hello = await client.admin.command("hello")
            return bool(hello.get("isWritablePrimary"))

        await asyncio.sleep(0.5)
        await eventually(leads, within=20.0, what="there is a primary again")
