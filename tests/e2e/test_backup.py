"""What docs/operations.md says about backing up and restoring, done with a whole Hubbub."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from hubbub.local.programs import free_port
from tests.conformance.ddp import Ddp, opened
from tests.conformance.rest import PASSWORD, Rest, User
from tests.e2e.launched import ROOT, Launched, launched
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

HUBBUB = [sys.executable, "-m", "hubbub.cli.main"]
FILE = os.urandom(700_000)  # of three pieces
TOOK = 150.0  # seconds
PAGE = (ROOT / "docs" / "operations.md").read_text()
_SECTION = re.compile(r"^## Backing up and restoring$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented() -> list[list[list[str]]]:
    """The commands of each block that says `hubbub` alone; the others are illustrations."""
    section = _SECTION.search(PAGE)
    assert section is not None
    blocks = [block.splitlines() for block in _BLOCK.findall(section[1])]
    return [
        [shlex.split(line) for line in lines]
        for lines in blocks
        if all(line.startswith("hubbub ") for line in lines)
    ]


async def run(command: list[str], folder: Path, *, status: int = 0) -> str:
    """Run a command of the page in `folder`; all that it says."""
    assert command[0] == "hubbub"
    process = await asyncio.create_subprocess_exec(
        *HUBBUB,
        *command[1:],
        cwd=folder,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == status, said.decode()
    return said.decode()


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}


@asynccontextmanager
async def up(command: list[str], folder: Path) -> AsyncIterator[Launched]:
    """A Hubbub that runs, on a free port."""
    port = free_port()
    line = [*HUBBUB, *command[1:], "--port", str(port)]
    async with launched(line, folder, port=port, cwd=folder) as hubbub:
        await hubbub.ready()
        yield hubbub


async def stop(hubbub: Launched) -> None:
    hubbub.process.send_signal(signal.SIGTERM)
    assert await hubbub.ended(within=15) == 0


@asynccontextmanager
async def signed_in(hubbub: Launched, user: User) -> AsyncIterator[Ddp]:
    async with opened(f"{hubbub.url.replace('http', 'ws', 1)}/websocket") as client:
        await client.login(user.username, PASSWORD)
        await client.subscribe("stream-room-messages", "GENERAL", False)
        yield client


async def say(client: Ddp, text: str) -> None:
    """Send a message and see it come back."""
    await client.call("sendMessage", {"rid": "GENERAL", "msg": text})
    await client.event("room-messages", "GENERAL", lambda message: message["msg"] == text)


async def upload(rest: Rest, session: aiohttp.ClientSession, user: User) -> str:
    """Send a file to the room; its path."""
    form = aiohttp.FormData()
    form.add_field("file", FILE, filename="report.bin", content_type="application/octet-stream")
    address = f"{rest.url}/api/v1/rooms.media/GENERAL"
    async with session.post(address, data=form, headers=user.headers) as answer:
        assert answer.status == 200
        file = (await answer.json())["file"]
    await rest.post(f"rooms.mediaConfirm/GENERAL/{file['_id']}", user)
    return str(file["url"])


async def texts(rest: Rest, user: User) -> list[str]:
    """The texts of the room's messages, oldest first."""
    history = await rest.get("channels.history", user, roomId="GENERAL", count=50)
    return [message["msg"] for message in reversed(history["messages"]) if not message.get("t")]


def test_the_page_has_the_commands() -> None:
    (copying, restoring) = documented()
    assert [command[:3] for command in copying] == [
        ["hubbub", "backup", "create"],
        ["hubbub", "backup", "verify"],
    ]
    assert [command[:3] for command in restoring] == [
        ["hubbub", "backup", "restore"],
        ["hubbub", "up", "--data"],
    ]


@pytest.mark.timeout(TOOK)
async def test_a_copy_made_while_people_talk_is_a_hubbub_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new folder: who was there signs in, history and file are there, messages flow."""
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    copying, (restore, start) = documented()
    async with aiohttp.ClientSession() as session:
        async with up(["hubbub", "up"], tmp_path) as hubbub:
            rest = Rest(session, hubbub.url)
            ana = await rest.register("ana")
            async with signed_in(hubbub, ana) as client:
                for text in ("one", "two", "three"):
                    await say(client, text)
                path = await upload(rest, session, ana)
                _, verified = [await run(command, tmp_path) for command in copying]
                await say(client, "after the copy")
            refused = await run([*restore[:-2], "--force"], tmp_path, status=1)
            await stop(hubbub)
        assert "documents, indexes and options are the same" in verified
        assert refused.startswith("hubbub: Hubbub is running on the database hubbub: stop all")
        assert len(refused.splitlines()) == 1

        told = await run(restore, tmp_path)
        assert "people sign in with the passwords that they had at that time" in told
        async with up(start, tmp_path) as hubbub:
            rest = Rest(session, hubbub.url)
            assert await rest.get("me", ana)  # the token is good, too
            assert await texts(rest, await rest.login("ana", PASSWORD)) == [
                "one",
                "two",
                "three",
                "",  # the file
            ]
            async with session.get(hubbub.url + path, headers=ana.headers) as answer:
                assert await answer.read() == FILE
            await eventually(
                lambda: _is_offline(rest, ana), within=20, what="nobody is shown as present"
            )
            async with signed_in(hubbub, ana) as client:
                await say(client, "four")
            assert (await texts(rest, ana))[-1] == "four"
            await stop(hubbub)


async def _is_offline(rest: Rest, user: User) -> bool:
    found = await rest.get("users.getPresence", user, userId=user.id)
    return bool(found["presence"] == "offline")
