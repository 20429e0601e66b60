"""Commands that look at a running bus."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.base import Contract, Event, action
from hubbub.errors import NotFound

pytestmark = pytest.mark.integration


class Dish(BaseModel):
    name: str
    bowls: int


class Kitchen(Contract, Protocol, name="test-kitchen"):
    """Cooks for tests."""

    @action(idempotent=True)
    async def cook(self, name: str, bowls: int = 1) -> Dish:
        """A dish."""
        ...


class DishCooked(Event, name="test-dish.cooked"):
    dish: str


class Cook(Kitchen):
    """Knows soup."""

    async def cook(self, name: str, bowls: int = 1) -> Dish:
        if name != "soup":
            raise NotFound("no such dish", code="error-no-dish")
        return Dish(name=name, bowls=bowls)


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    bus = NatsBus(
        BusSettings(nats_url=nats_url),
        service="kitchen",
        instance="kitchen-1",
        registry=CollectorRegistry(),
    )
    await bus.connect()
    await bus.serve(Cook())
    yield bus
    await bus.drain()
    await bus.close()


class Command:
    """Runs `hubbub` against the bus of the test."""

    def __init__(self, nats_url: str) -> None:
        self._environment = {**os.environ, "HUBBUB_NATS_URL": nats_url}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hubbub.cli.main",
            *arguments,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        async with asyncio.timeout(30):
            output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()


@pytest.fixture
def hubbub(nats_url: str, bus: NatsBus) -> Command:
    return Command(nats_url)


async def test_services_lists_who_answers(hubbub: Command) -> None:
    """Name, instance, version and actions of every service."""
    status, output, _ = await hubbub("services", "--json")

    found = {one["name"]: one for one in json.loads(output)}
    assert status == 0
    assert found["test-kitchen"]["id"] == "kitchen-1"
    assert [one["name"] for one in found["test-kitchen"]["endpoints"]] == ["cook"]


async def test_services_shows_actions(hubbub: Command) -> None:
    """One service with the arguments of its actions, for a person."""
    status, output, _ = await hubbub("services", "test-kitchen")

    assert status == 0
    assert "kitchen-1" in output
    assert "bowls: int = 1" in output


async def test_services_says_when_nobody_is_there(hubbub: Command) -> None:
    """Status 1 and a line that names who was asked."""
    status, output, errors = await hubbub("services", "nobody")

    assert (status, output) == (1, "")
    assert errors == "hubbub: no instance of 'nobody' answered\n"


@pytest.mark.parametrize("to", [(), ("--to", "kitchen-1")], ids=["any", "one"])
async def test_call_prints_the_result(hubbub: Command, to: tuple[str, ...]) -> None:
    """A call goes the way of every call, and its result is JSON."""
    status, output, errors = await hubbub(
        "call", "test-kitchen.cook", '{"name": "soup", "bowls": 3}', *to
    )

    assert (status, errors) == (0, "")
    assert json.loads(output) == {"name": "soup", "bowls": 3}


@pytest.mark.parametrize(
    ("action_name", "arguments", "complaint"),
    [
        pytest.param(
            "test-kitchen.cook",
            '{"name": "stones"}',
            "NotFound: no such dish [error-no-dish]",
            id="refused",
        ),
        pytest.param("test-kitchen.cook", '{"nme": "soup"}', "Invalid: ", id="wrong arguments"),
        pytest.param("test-garage.park", "{}", "nobody offers that", id="nobody"),
    ],
)
async def test_call_says_what_went_wrong(
    hubbub: Command, action_name: str, arguments: str, complaint: str
) -> None:
    """Status 1 and one line with the error that the service gave."""
    status, output, errors = await hubbub("call", action_name, arguments)

    assert (status, output) == (1, "")
    assert errors.startswith(f"hubbub: {complaint}")
    assert len(errors.splitlines()) == 1


async def test_events_follow(hubbub: Command, bus: NatsBus) -> None:
    """What services tell each other is shown, filtered by name."""
    following = await hubbub.start("events", "--json", "--filter", "test-dish.*", "--count", "1")
    assert following.stdout is not None
    seen = asyncio.Event()

    async def telling() -> None:
        # Nobody says when the command listens, so the event is told until it was seen.
        while not seen.is_set():
            status, _, errors = await hubbub("emit", "test-other.thing", "{}")
            assert (status, errors) == (0, "")
            await bus.publish(DishCooked(dish="soup"))
            await asyncio.sleep(0.1)

    teller = asyncio.create_task(telling())
    try:
        async with asyncio.timeout(60):
            line = json.loads(await following.stdout.readline())
            await following.communicate()  # to the end, so that its pipes are closed
    finally:
        seen.set()
        await teller

    assert (line["event"], line["content"]) == ("test-dish.cooked", {"dish": "soup"})
    assert following.returncode == 0
