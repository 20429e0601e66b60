"""The service as a process runs it, on real NATS."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.messages import NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.runtime import Process
from services.messaging.service import run
from tests.integration.messaging.house import FakeAuthorization
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def test_a_process_serves_and_drains(
    monkeypatch: pytest.MonkeyPatch, mongo_url: str, nats_url: str, database: Database
) -> None:
    """It answers over NATS, whispers to one user, and finishes what it began."""
    named = urlsplit(mongo_url)._replace(path=f"/{database.name}").geturl()
    monkeypatch.setenv("HUBBUB_MONGO_URL", named)
    monkeypatch.setenv("HUBBUB_NATS_URL", nats_url)
    bus = NatsBus(BusSettings(), service="tests", instance="tests-1")
    await bus.connect()
    try:
        await bus.serve(FakeAuthorization(database))
        await database.users.create_index("username", unique=True)
        await database.users.insert_many(
            [{"_id": f"u-{name}", "username": name, "active": True} for name in ("ada", "bob")]
        )
        heard: list[bytes] = []

        async def hear(message: object) -> None:
            heard.append(getattr(message, "data", b""))

        await bus.client.subscribe("hubbub.v1.ephemeral.user.u-bob", cb=hear)
        process = Process("messaging")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run(process))
            await eventually(lambda: process.health.is_ready or running.done(), within=20)
            messaging = bus.proxy(Messaging)
            ada, bob = UserId("u-ada"), UserId("u-bob")
            await messaging.join_default_rooms(ada)
            message = NewMessage.model_validate({"_id": "m", "rid": "GENERAL", "msg": "hello"})

            sent = await messaging.send_message(ada, message)
            with pytest.raises(NotAllowed):
                await messaging.send_message(bob, message.model_copy(update={"id": "n"}))

            await eventually(lambda: heard)
            assert sent["_id"] == "m"
            assert b'"u-bob/message"' in heard[0]
            process.stopping.set()
        room = await database.rocketchat_room.find_one({"_id": "GENERAL"})
        assert room is not None
        assert "uncounted" not in room
        assert room["countedSeq"] == room["seq"] == 2
    finally:
        await bus.close()
