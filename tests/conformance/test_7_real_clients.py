"""Conformance: clients nobody here wrote, in a process of their own each."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Running
from tests.conformance.processes import children_running
from tests.conformance.rest import PASSWORD, Rest

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

HERE = Path(__file__).parent / "clients"


def test_080_the_official_ddp_client(hubbub: Running, clients: Path) -> None:
    """npm `@rocket.chat/ddp-client`."""
    _talk(hubbub, clients, "ddpclient")


def test_081_the_sdk_of_the_load_tester(hubbub: Running, clients: Path) -> None:
    """npm `@rocket.chat/sdk` 1.0.0-alpha.42."""
    _talk(hubbub, clients, "sdk1")


@pytest.mark.parametrize("client", ["simpleddp", "ddp"])
def test_084_generic_ddp_clients(hubbub: Running, clients: Path, client: str) -> None:
    """npm `simpleddp` and `ddp`."""
    _talk(hubbub, clients, client)


def test_085_the_sdk_that_npm_installs(hubbub: Running, clients: Path) -> None:
    """npm `@rocket.chat/sdk` 0.2.9, under most bots."""
    _talk(hubbub, clients, "sdk0")


def _talk(hubbub: Running, clients: Path, client: str) -> None:
    """Sign in, talk, edit, delete, type, be refused; come back after kill -9 of the streamers."""
    with subprocess.Popen(
        ["node", "run.mjs", client, hubbub.url],
        cwd=clients,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        told = []
        for line in node.stdout:
            told.append(line)
            if line.startswith("KILL STREAMERS"):
                for pid in children_running(hubbub, "ddp-streamer"):
                    os.kill(pid, signal.SIGKILL)
                node.stdin.write("done\n")
                node.stdin.flush()
        text = "".join(told)

    assert node.returncode == 0, text
    assert "FAIL" not in text, text
    assert text.strip().endswith("0 failed"), text


@pytest.fixture(scope="session")
def async_client() -> Path:
    """A folder with PyPI `rocketchat-async`, which wants older libraries than this project."""
    wanted = "rocketchat-async==4.3.0"
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = root / "hubbub" / wanted.replace("==", "-")
    if not (folder / "installed").exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), wanted],
            check=True,
            timeout=120,
        )
        (folder / "installed").touch()
    return folder


async def test_rocketchat_async_talks(hubbub: Running, rest: Rest, async_client: Path) -> None:
    """Bots of a Python client: rooms, messages, reactions, threads, a wrong password."""
    ana = await rest.register(f"ana-{random_id(8).lower()}")
    bo = await rest.register(f"bo-{random_id(8).lower()}")
    room = await rest.post("groups.create", ana, name=f"room-{random_id(8)}", members=[bo.username])
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, str(HERE / "async_bot.py"), hubbub.websocket),
            *(ana.username, bo.username, PASSWORD, room["group"]["_id"]),
        ],
        env={**os.environ, "PYTHONPATH": str(async_client)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout
    assert "refused: User not found or incorrect password" in done.stdout
    assert done.stdout.strip().endswith("done")
