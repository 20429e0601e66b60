"""Conformance: an app from its installation to its removal, with a client watching."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import ADMIN_PASSWORD, Running, SignIn
from tests.conformance.ddp import Ddp
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

HELD = 30.0  # seconds

MANIFEST = """
id = "assistant"
name = "Assistant"
version = "{version}"
permissions = [
    "command", "endpoint", "message.hook", "message.read", "message.send", "notify", "schedule",
    "store", "user.read",
]

[commands.assist]
description = "Counts how often it was asked"
params = "the room"

[commands.govern]
permission = "manage-apps"

[endpoints.inbox]
path = "/inbox"

[settings.word]
type = "string"
required = true
"""

CODE = """
from datetime import timedelta

from hubbub.apps import App, Response, change, refuse

app = App()


@app.command("assist")
async def assist(command):
    count = (await app.store.get("count") or 0) + 1
    await app.store.set("count", count)
    await app.schedule("later", after=timedelta(seconds=1), data=command.room.id)
    await command.reply(f"asked {count} times")


@app.command("govern")
async def govern(command):
    await command.reply("governed")


@app.job("later")
async def later(job):
    await app.send_message("it is time", room=job.data)


@app.before_message
def judge(message):
    word = app.settings["word"]
    if message.text == f"{word}, refuse this":
        return refuse("not with me")
    if message.text.startswith(word):
        return change(text=message.text.replace(word, "changed"))
    return None


@app.on("message_sent")
async def heard(event):
    if event.message.text.endswith("please answer"):
        await app.send_message("heard: " + event.message.text, room=event.message.room)


@app.endpoint("inbox")
async def inbox(request):
    secret = request.headers.get("x-auth-token", "none")
    return Response(f"{request.body.decode()} {secret}", headers={"set-cookie": "a=b", "etag": "1"})
"""


def written(folder: Path, version: str) -> Path:
    """The app in a folder."""
    package = folder / "assistant"
    package.mkdir(parents=True, exist_ok=True)
    (folder / "app.toml").write_text(MANIFEST.format(version=version))
    (package / "__init__.py").write_text(CODE)
    return folder


async def run(hubbub: Running, *words: str) -> tuple[int, str]:
    """A command of `hubbub`; its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub.cli.main", *words, "--url", hubbub.url),
        env={**os.environ, "HUBBUB_ADMIN_PASSWORD": ADMIN_PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.fixture
async def word(hubbub: Running, rest: Rest, admin: User, tmp_path: Path) -> AsyncIterator[str]:
    """The app is installed and takes messages that begin with this word."""
    word = random_id(12)
    folder = written(tmp_path / "app", "1.0.0")
    status, said = await run(
        hubbub, "app", "install", str(folder), "--yes", "--set", f"word={word}"
    )
    try:
        assert (status, said) == (0, "assistant 1.0.0: enabled\n")

        async def known() -> bool:
            commands = (await rest.get("commands.list", admin))["commands"]
            return any(command["command"] == "assist" for command in commands)

        await eventually(known, within=HELD)
        yield word
    finally:
        await rest.ask("DELETE", "/api/apps/assistant", user=admin)


async def test_from_its_installation_to_its_removal(
    hubbub: Running,
    rest: Rest,
    admin: User,
    ana: User,
    sign_in: SignIn,
    word: str,
    tmp_path: Path,
) -> None:
    room = (await rest.post("groups.create", ana, name=f"with-{word}".lower()))["group"]["_id"]
    await rest.post("groups.invite", ana, roomId=room, username="assistant.bot")
    socket = await sign_in(ana)
    await socket.wait_ready(await socket.subscribe("stream-room-messages", room, False))
    await socket.wait_ready(
        await socket.subscribe("stream-notify-user", f"{ana.id}/message", False)
    )

    await rest.post("commands.run", ana, command="assist", roomId=room)
    await whispered(socket, ana, "asked 1 times")
    await shown(socket, room, "it is time")
    await refusals_of_commands(rest, ana, room)

    sent = await send(rest, ana, room, f"{word}! please answer")
    assert sent["msg"] == "changed! please answer"
    await shown(socket, room, "heard: changed! please answer")
    answer = await rest.ask(
        "POST",
        "/api/v1/chat.sendMessage",
        user=ana,
        body={"message": {"rid": room, "msg": f"{word}, refuse this"}},
    )
    assert (answer.status, answer.body["errorType"]) == (400, "error-app-prevented-sending")
    await whispered(socket, ana, "not with me")
    await repeated(rest, ana, room, word)

    await requests(hubbub)

    status, said = await run(
        hubbub, "app", "install", str(written(tmp_path / "app", "1.1.0")), "--yes"
    )
    assert (status, said) == (0, "assistant 1.1.0: enabled\n")
    await rest.post("commands.run", ana, command="assist", roomId=room)
    await whispered(socket, ana, "asked 2 times")  # what it keeps outlives a version

    assert (await run(hubbub, "app", "disable", "assistant"))[0] == 0

    async def passed_by() -> bool:
        return bool((await send(rest, ana, room, f"{word}?"))["msg"] == f"{word}?")

    await eventually(passed_by, within=HELD)
    assert (await run(hubbub, "app", "remove", "assistant"))[0] == 0
    assert "assistant" not in (await run(hubbub, "apps"))[1]
    answer = await rest.ask("GET", "/api/apps/assistant", user=admin)
    assert (answer.status, answer.body["errorType"]) == (400, "error-app-not-found")
    info = (await rest.get("users.info", admin, username="assistant.bot"))["user"]
    assert info["active"] is False


async def refusals_of_commands(rest: Rest, ana: User, room: str) -> None:
    """What a command takes is checked before the app hears of it."""
    listed = (await rest.get("commands.list", ana, count=0))["commands"]
    assert "govern" not in [command["command"] for command in listed]
    body = {"command": "govern", "roomId": room}
    answer = await rest.ask("POST", "/api/v1/commands.run", user=ana, body=body)
    assert answer.status in (400, 403)


async def repeated(rest: Rest, ana: User, room: str, word: str) -> None:
    """A message that is sent again is the one that was stored, and no app is asked again."""
    message_id = random_id()
    texts = [(await send(rest, ana, room, f"{word} once", _id=message_id))["msg"] for _ in range(2)]
    assert texts == ["changed once"] * 2


async def requests(hubbub: Running) -> None:
    """An app hears what was meant for it, and answers no more than is harmless."""
    url = f"{hubbub.url}/api/apps/public/assistant"
    async with aiohttp.ClientSession() as session:
        token = {"X-Auth-Token": "a-token-of-ours"}
        async with session.post(f"{url}/inbox", data="hello", headers=token) as answer:
            assert (answer.status, await answer.text()) == (200, "hello none")
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["ETag"] == "1"
            assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        for method, path in (("GET", "/inbox"), ("POST", "/other"), ("POST", "")):
            async with session.request(method, url + path) as answer:
                assert answer.status == 404, (method, path)


async def send(rest: Rest, user: User, room: str, text: str, **more: Any) -> dict[str, Any]:
    message = {"rid": room, "msg": text, **more}
    sent: dict[str, Any] = (await rest.post("chat.sendMessage", user, message=message))["message"]
    return sent


async def shown(socket: Ddp, room: str, text: str) -> None:
    """The socket sees the app say this."""

    def is_there() -> bool:
        return any(
            event[0]["msg"] == text and event[0]["u"]["username"] == "assistant.bot"
            for event in socket.events("room-messages", room)
        )

    await eventually(is_there, within=HELD)


async def whispered(socket: Ddp, user: User, text: str) -> None:
    """The user alone is shown this."""

    def is_there() -> bool:
        events = socket.events("notify-user", f"{user.id}/message")
        return any(event[0]["msg"] == text for event in events)

    await eventually(is_there, within=HELD)
