"""Whether an event is kept is asked of the server, but nobody waits long for what he knows."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from nats.aio.client import Client

from hubbub.bus.durable import DurableEvents
from hubbub.bus.metrics import BusMetrics
from hubbub.bus.settings import BusSettings
from hubbub.clock import SystemClock
from hubbub.telemetry.metrics import new_registry


class Server:
    """Answers who asks, until it is silent."""

    is_connected = True

    def __init__(self) -> None:
        self.silent = False
        self.asked = 0

    def jetstream(self) -> Server:
        return self

    async def find_stream_name_by_subject(self, subject: str) -> str:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        return "SOME"


def durable(server: Server) -> DurableEvents:
    metrics = BusMetrics(new_registry())
    client = cast(Client, cast(Any, server))
    return DurableEvents(client, BusSettings(), metrics, SystemClock(), random=lambda: 0.5)


async def test_what_was_known_stays_true_while_nobody_answers() -> None:
    server = Server()
    events = durable(server)
    assert await events.is_kept("a.happened")
    events._kept["a.happened"].until = 0.0
    server.silent = True

    async with asyncio.timeout(20.0):  # without a limit of its own it would wait for ever
        assert await events.is_kept("a.happened")
    assert server.asked == 2


async def test_one_silence_is_enough_for_all_names() -> None:
    server = Server()
    events = durable(server)
    names = [f"a.happened-{number}" for number in range(5)]
    for name in names:
        assert await events.is_kept(name)
        events._kept[name].until = 0.0
    server.silent = True

    async with asyncio.timeout(20.0):
        for name in names:
            assert await events.is_kept(name)
    assert server.asked == len(names) + 1
