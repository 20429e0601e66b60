"""A whole Hubbub per module, the people who talk in it, and the table of what faults cost."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from hubbub.local.programs import free_port
from tests.conformance.rest import Rest
from tests.e2e.launched import MARK, ROOT, marked
from tests.e2e.resilience.conversation import People
from tests.e2e.resilience.hearers import ADMIN_PASSWORD
from tests.e2e.resilience.measures import Costs, table
from tests.e2e.resilience.processes import Hubbub

SETTINGS = {
    "HUBBUB_ADMIN_PASSWORD": ADMIN_PASSWORD,
    "HUBBUB_APPS_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
}
START = 90.0  # seconds
STOP = 20.0  # seconds
ROWS = pytest.StashKey[list[Costs]]()


@pytest.fixture(scope="module")
def hubbub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubbub]:
    """All services, two streamers, and servers of their own."""
    folder = tmp_path_factory.mktemp("resilience")
    port, mark = free_port(), secrets.token_hex(8)
    running = Hubbub(f"http://127.0.0.1:{port}", mark, folder / "data")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hubbub.cli.main", "up", "--streamers", "2"),
                *("--port", str(port), "--data", str(running.data)),
            ],
            cwd=ROOT,
            env={**kept, **SETTINGS, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, folder / "output.txt")
        yield running
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP) == 0
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        if b"Hubbub is ready" in output.read_bytes():
            return
        time.sleep(0.1)
    raise AssertionError(f"it did not start:\n{output.read_text(errors='replace')[-6000:]}")


@pytest.fixture(scope="module")
def people(hubbub: Hubbub) -> People:
    """Fresh users, signed in."""

    async def register() -> People:
        async with aiohttp.ClientSession() as session:
            rest, tail = Rest(session, hubbub.url), secrets.token_hex(3)
            names = ("ana", "bo", "cy", "dan", "bot", "late")
            ana, bo, cy, dan, bot, late = [await rest.register(f"{name}-{tail}") for name in names]
        return People(talkers=(ana, bo), listeners=(cy, dan), bot=bot, newcomer=late)

    return asyncio.run(register())


@pytest.fixture
def rows(pytestconfig: pytest.Config) -> list[Costs]:
    """Lines of the table at the end of the run."""
    return pytestconfig.stash.setdefault(ROWS, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What each fault cost those who were talking."""
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("resilience: what each fault cost those who were talking")
        for line in table(rows):
            terminalreporter.write_line(line)
