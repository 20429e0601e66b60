from __future__ import annotations
import asyncio
import pytest
from tests.integration.account.conftest import *
from tests.integration.account.test_users import ADMINISTRATOR
from tests.waiting import eventually


@pytest.mark.parametrize("n", range(60))
async def test_it(server, n):
    server.messaging.away = True
    service = await server.replica(ADMINISTRATOR)
    server.messaging.away = False
    task = asyncio.create_task(service.default_rooms.run())
    try:
        await eventually(lambda: server.messaging.joined)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
