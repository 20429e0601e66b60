"""The app of docs/howto/write-an-app.md in a running Hubbub, with the commands of the page."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from hubbub.ids import random_id
from tests.conformance.app_live import running
from tests.conformance.conftest import ADMIN_PASSWORD, Running, SignIn
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "write-an-app.md"
_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HELD = 30.0  # seconds
_LONGEST = 120.0  # seconds, for one command


async def typed(line: str, hubbub: Running, folder: Path) -> str:
    """A line of the page with the address of this Hubbub; what it printed."""
    words = shlex.split(line.replace("http://127.0.0.1:3000", hubbub.url))[1:]
    if words[:2] == ["app", "install"]:
        words.append("--yes")  # nobody is here to be asked
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub.cli.main", *words),
        cwd=folder,
        env={**os.environ, "HUBBUB_ADMIN_PASSWORD": ADMIN_PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_LONGEST):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def tried(line: str, hubbub: Running, folder: Path) -> str:
    """A line of the page that goes on until Ctrl-C, and gets it once it waits; what it printed."""
    words = shlex.split(line.replace("http://127.0.0.1:3000", hubbub.url))[1:]
    async with running([*words, "--yes"], folder) as live:
        await live.says("Ctrl-C ends this")
        return await live.ended()


async def test_the_app_of_the_page(
    hubbub: Running, rest: Rest, admin: User, ana: User, sign_in: SignIn, tmp_path: Path
) -> None:
    blocks = _BLOCK.findall(PAGE.read_text())
    for _, name, text in blocks:
        if name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    await typed("hubbub app pack tea-timer", hubbub, tmp_path)
    lines = [line for language, _, text in blocks if language == "sh" for line in text.splitlines()]
    live, install, listing, logs, remove = lines

    assert "tea-timer 0.2.0: enabled" in await tried(live, hubbub, tmp_path)
    assert (await rest.ask("GET", "/api/apps/tea-timer", user=admin)).status == 400
    assert await typed(install, hubbub, tmp_path) == "tea-timer 0.2.0: enabled\n"
    try:
        assert "@tea-timer.bot" in await typed(listing, hubbub, tmp_path)
        made = await rest.post("channels.create", ana, name=f"tea-{random_id(8).lower()}")
        room = made["channel"]["_id"]
        socket = await sign_in(ana)
        mine = f"{ana.id}/message"
        await socket.wait_ready(await socket.subscribe("stream-notify-user", mine, False))

        async def known() -> bool:
            commands = (await rest.get("commands.list", ana, count=0))["commands"]
            return any(command["command"] == "tea" for command in commands)

        await eventually(known, within=_HELD)
        for params, answer in (
            ("soon", "How many minutes? Try `/tea 4`."),
            ("4", "I keep an eye on it."),
        ):
            await rest.post("commands.run", ana, command="tea", params=params, roomId=room)

            def answered(expected: str = answer) -> bool:
                events = socket.events("notify-user", mine)
                return any(event[0]["msg"] == expected for event in events)

            await eventually(answered, within=_HELD)
        assert "Traceback" not in await typed(logs, hubbub, tmp_path)
        assert await typed(remove, hubbub, tmp_path) == "tea-timer 0.2.0: removed\n"
    finally:
        await rest.ask("DELETE", "/api/apps/tea-timer", user=admin)
