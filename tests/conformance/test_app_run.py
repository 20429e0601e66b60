"""Conformance: somebody writes an app that runs in Hubbub meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubbub.ids import random_id
from tests.conformance.app_live import running
from tests.conformance.conftest import Running, SignIn
from tests.conformance.rest import Rest, User
from tests.conformance.small_app import small_app
from tests.conformance.test_apps import run, whispered
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

CODE = """
from hubbub.apps import App

app = App()


@app.command("{command}")
async def answer(command):
    app.log.info("was asked")
    await command.reply("{answer}")
"""


async def test_what_is_saved_runs(
    hubbub: Running, rest: Rest, admin: User, ana: User, sign_in: SignIn, tmp_path: Path
) -> None:
    app_id, command = f"live-{random_id(6).lower()}", f"c{random_id(8).lower()}"
    room = (await rest.post("channels.create", ana, name=f"r-{app_id}"))["channel"]["_id"]
    socket = await sign_in(ana)
    await socket.subscribe("stream-notify-user", f"{ana.id}/message", False)

    def save(answer: str, *, permissions: tuple[str, ...] = ("command", "notify")) -> None:
        more = f'[commands.{command}]\ndescription = "{answer}"'
        code = CODE.format(command=command, answer=answer)
        small_app(tmp_path / "app", app_id, code, permissions=permissions, more=more)

    async def answers(text: str) -> None:
        async def listed() -> bool:
            found = (await rest.get("commands.list", ana, count=0))["commands"]
            return any((one["command"], one["description"]) == (command, text) for one in found)

        await eventually(listed, within=30)
        await rest.post("commands.run", ana, command=command, roomId=room)
        await whispered(socket, ana, text)

    save("first")
    words = ["app", "run", "app", "--url", hubbub.url, "--yes"]
    try:
        async with running(words, tmp_path) as live:
            await live.says(f"{app_id} 1.0.0: enabled")
            await answers("first")
            await live.says("info    was asked")

            save("second")
            await live.says("1.0.0: enabled", times=2)
            await answers("second")

            (tmp_path / "app" / app_id.replace("-", "_") / "__init__.py").write_text("import :")
            await live.says("__init__.py:1: invalid syntax")
            await live.says("the version before runs on")
            await rest.post("commands.run", ana, command=command, roomId=room)
            await live.says("info    was asked", times=3)

            save("greedy", permissions=("command", "notify", "message.read", "message.hook"))
            await live.says("it asks for more: message.hook, message.read")
            save("third")
            await live.says("1.0.0: enabled", times=3)
            await answers("third")
            printed = await live.ended()
        assert printed.endswith(f"{app_id}: removed\n")
        answer = await rest.ask("GET", f"/api/apps/{app_id}", user=admin)
        assert (answer.status, answer.body["errorType"]) == (400, "error-app-not-found")

        async with running([*words, "--keep"], tmp_path) as live:
            await live.says("Ctrl-C ends this")
            assert (await live.ended()).endswith(f"{app_id} stays installed\n")
        async with running(words, tmp_path) as live:  # it was there before: it is not ours
            await live.says("Ctrl-C ends this")
            assert (await live.ended()).endswith(f"{app_id} stays installed\n")
    finally:
        await rest.ask("DELETE", f"/api/apps/{app_id}", user=admin)


async def test_a_token_signs_in_and_outlives_the_command(
    hubbub: Running, rest: Rest, admin: User, tmp_path: Path
) -> None:
    made = await rest.post("users.generatePersonalAccessToken", admin, tokenName=random_id(8))
    token = tmp_path / "token"
    token.write_text(f"{made['token']}\n")
    token.chmod(0o600)
    for _ in range(2):
        status, said = await run(hubbub, "apps", "--token-file", str(token))
        assert status == 0, said
    status, said = await run(hubbub, "apps", "--token-file", os.devnull)
    assert status == 1
    assert "cannot sign in as the token's user" in said
