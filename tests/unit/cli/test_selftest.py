"""`hubbub selftest` tells which step went wrong; that it goes well is tested on a whole Hubbub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from hubbub.cli import selftest
from hubbub.cli.main import main
from hubbub.local.programs import free_port


class Pretender:
    """A server that answers every step; only what it is told to withhold does not come."""

    def __init__(self) -> None:
        self.url = ""
        self.withheld: set[str] = set()
        self.refused: dict[str, str] = {}
        """Endpoint → errorType of its answer."""
        self.asked: list[str] = []
        self._text = ""
        self._listeners: set[web.WebSocketResponse] = set()

    async def rest(self, request: web.Request) -> web.Response:
        endpoint = request.match_info["endpoint"]
        self.asked.append(endpoint)
        if endpoint in self.refused:
            body = {"success": False, "error": "no", "errorType": self.refused[endpoint]}
            return web.json_response(body, status=400)
        if endpoint == "chat.search":
            return web.json_response({"messages": [{"msg": self._text}]})
        return web.json_response({"data": {"authToken": "token", "userId": "user"}})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, json.loads(message.data))
        self._listeners.discard(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        kind, name = frame["msg"], frame.get("method", "")
        self.asked.append(name or kind)
        if kind == "connect":
            await socket.send_json({"msg": "connected", "session": "1"})
        elif kind == "sub":
            self._listeners.add(socket)
            await socket.send_json({"msg": "ready", "subs": [frame["id"]]})
        elif kind == "method":
            if name == "sendMessage":
                self._text = frame["params"][0]["msg"]
                await self._deliver(frame["params"][0]["rid"])
            result = {"rid": "room"} if name == "createPrivateGroup" else True
            await socket.send_json({"msg": "result", "id": frame["id"], "result": result})

    async def _deliver(self, room: str) -> None:
        if "message" in self.withheld:
            return
        fields = {"eventName": room, "args": [{"msg": self._text}]}
        for listener in self._listeners:
            await listener.send_json({"msg": "ping"})
            await listener.send_json(
                {"msg": "changed", "collection": "stream-room-messages", "fields": fields}
            )


@pytest.fixture
async def pretender() -> AsyncIterator[Pretender]:
    server = Pretender()
    application = web.Application()
    application.router.add_get("/websocket", server.socket)
    application.router.add_route("*", "/api/v1/{endpoint}", server.rest)
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def _run(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["selftest", *arguments])


def _steps(output: str) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines()]
    return {line["step"]: line for line in lines}


async def test_all_goes_well(pretender: Pretender, capsys: pytest.CaptureFixture[str]) -> None:
    assert await _run("--url", pretender.url) == 0

    steps = _steps(capsys.readouterr().out)
    assert list(steps)[-1] == "all"
    assert {"register", "receive", "search", "erase room", "remove account"} <= set(steps)
    assert "kept" not in steps["all"]


async def test_a_message_that_does_not_arrive_fails_it(
    pretender: Pretender,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what was made is removed nevertheless."""
    monkeypatch.setattr(selftest, "_ARRIVES_WITHIN", 0.2)
    pretender.withheld.add("message")

    assert await _run("--url", pretender.url) == 1

    said = capsys.readouterr()
    steps = _steps(said.out)
    assert not steps["receive"]["ok"]
    assert "all" not in steps
    assert "receive: not within 0.2 seconds" in said.err
    assert {"eraseRoom", "users.deleteOwnAccount"} <= set(pretender.asked)


async def test_an_account_that_must_stay_is_named(
    pretender: Pretender, capsys: pytest.CaptureFixture[str]
) -> None:
    pretender.refused["users.deleteOwnAccount"] = "error-not-allowed"

    assert await _run("--url", pretender.url) == 0

    assert _steps(capsys.readouterr().out)["all"]["kept"].startswith("selftest-")
    assert pretender.asked[-1] == "logout"


async def test_a_given_user_is_neither_made_nor_removed(
    pretender: Pretender, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    given = ["--username", "admin", "--password-file", str(password)]

    assert await _run("--url", pretender.url, *given) == 0

    assert not {"users.register", "users.deleteOwnAccount"} & set(pretender.asked)
    assert pretender.asked[-1] == "logout"


async def test_registration_that_is_refused_is_told(
    pretender: Pretender, capsys: pytest.CaptureFixture[str]
) -> None:
    pretender.refused["users.register"] = "error-registration-disabled"

    assert await _run("--url", pretender.url) == 1

    assert "register: users.register: 400 no" in capsys.readouterr().err


def test_nobody_there_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--url", f"http://127.0.0.1:{free_port('127.0.0.1')}"]) == 1

    assert not _steps(capsys.readouterr().out)["register"]["ok"]


def test_a_user_without_a_password_is_wrong_use() -> None:
    assert main(["selftest", "--username", "admin"]) == 2
    assert main(["selftest", "--username", "admin", "--password-file", "/nowhere/at/all"]) == 2
