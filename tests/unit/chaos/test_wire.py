"""The drill's client takes what it is told, however close together it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

from websockets.asyncio.client import ClientConnection

from tests.chaos.wire import Wire


class Socket:
    """Answers a `sub` with `ready` and, in the same moment, `nosub`."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, text: str) -> None:
        self._asked.put_nowait(json.loads(text)["id"])

    async def __aiter__(self) -> AsyncIterator[str]:
        key = await self._asked.get()
        yield json.dumps({"msg": "ready", "subs": [key]})
        yield json.dumps({"msg": "nosub", "id": key, "error": {"error": "not-allowed"}})


async def test_a_subscription_that_ends_with_its_beginning_has_ended() -> None:
    """Nobody has taken the first answer yet when the second comes."""
    told: list[tuple[str, str]] = []

    def ready(message: dict[str, Any]) -> None:
        told.append(("ready", message["subs"][0]))

    wire = Wire(
        cast("ClientConnection", Socket()),
        on_event=lambda _: None,
        on_end=lambda key: told.append(("ended", key)),
    )
    living = asyncio.create_task(wire.live())
    key = await wire.subscribe("stream-room-messages", "R", note=ready)
    await living

    assert told == [("ready", key), ("ended", key)]
