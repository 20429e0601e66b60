"""`hubbub up` as a person runs it: the real services, from a fresh folder."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hubbub.local.programs import free_port
from tests.e2e.launched import Launched, launched
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

PASSWORD = "correct horse battery staple"
LIMIT = 10.0  # seconds that an end may take


@pytest.fixture
async def hubbub(tmp_path: Path) -> AsyncIterator[Launched]:
    port = free_port()
    data = tmp_path / "data"
    command = [
        sys.executable, "-m", "hubbub.cli.main", "up",
        "--port", str(port), "--data", str(data), "--streamers", "2",
    ]  # fmt: skip
    environment = {"HUBBUB_ADMIN_PASSWORD": PASSWORD}
    async with launched(command, tmp_path, port=port, data=data, environment=environment) as up:
        await up.ready()
        yield up


async def test_the_administrator_signs_in_everywhere(hubbub: Launched) -> None:
    """REST and WebSocket answer at one address; the end leaves nothing behind."""
    async with aiohttp.ClientSession() as session:
        body = {"user": "admin", "password": PASSWORD}
        async with session.post(f"{hubbub.url}/api/v1/login", json=body) as answer:
            assert answer.status == 200
            login = await answer.json()
        assert login["status"] == "success"

        async with asyncio.timeout(20), session.ws_connect(f"{hubbub.url}/websocket") as socket:
            await socket.send_json({"msg": "connect", "version": "1", "support": ["1"]})
            await _until(socket, "connected")
            await socket.send_json(
                {
                    "msg": "method",
                    "method": "login",
                    "id": "1",
                    "params": [{"resume": login["data"]["authToken"]}],
                }
            )
            result = await _until(socket, "result")
            assert result["result"]["id"] == login["data"]["userId"]

            hubbub.process.send_signal(signal.SIGINT)
            async for _ in socket:
                pass  # whatever is still said before the close
            assert socket.close_code == 1012

    assert await hubbub.ended(within=LIMIT) == 0
    assert hubbub.processes() == {}
    assert PASSWORD not in hubbub.said


async def test_nothing_outlives_the_kill_of_all_of_it(hubbub: Launched) -> None:
    """The real services and servers end by themselves after kill -9 of the supervisor."""
    assert len(hubbub.processes()) > 8
    hubbub.process.kill()
    await hubbub.process.wait()

    await eventually(lambda: not hubbub.processes(), within=LIMIT)


async def test_other_commands_find_it(hubbub: Launched) -> None:
    """`hubbub services` in the same folder needs no address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hubbub.cli.main", "services", "--json",
        env={"HUBBUB_DATA": str(hubbub.data)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()

    names = {one["name"] for one in json.loads(output)}
    assert {"account", "authorization", "messaging", "presence", "push"} <= names


async def _until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    while True:
        message = json.loads(await socket.receive_str())
        if message.get("msg") == kind:
            return dict(message)
