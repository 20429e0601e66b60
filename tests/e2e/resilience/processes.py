"""The processes of a running Hubbub: found by their command lines, hit by signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.e2e.launched import marked
from tests.waiting import eventually

DOOR = "hubbub.local.door.service"
SERVERS = frozenset({"mongod", "nats-server"})
BACK_WITHIN = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class Hubbub:
    """A Hubbub that the tests started."""

    url: str
    mark: str
    """In the environment of all its processes."""
    data: Path

    @property
    def mongo_url(self) -> str:
        """Where its database is."""
        found: str = json.loads((self.data / "running.json").read_text())["mongo_url"]
        return found

    def pids(self, name: str) -> list[int]:
        """Living processes of a service or server."""
        return sorted(
            pid
            for pid, command in marked(self.mark).items()
            if _is(name, command.split()) and _lives(pid)
        )

    def signal(self, pid: int, number: signal.Signals) -> float:
        """Send it to a process of this Hubbub; the moment."""
        os.kill(pid, number)
        return time.monotonic()

    async def replaced(self, name: str, old: int, *, copies: int = 1) -> None:
        """Wait until another process has taken the place of `old` and is ready."""
        what = f"{name} is back after {old} ended; see {self.data}/log"
        await eventually(
            lambda: old not in self.pids(name) and len(self.pids(name)) == copies,
            within=BACK_WITHIN,
            what=what,
        )
        async with aiohttp.ClientSession() as session:
            for pid in self.pids(name):
                await eventually(
                    lambda pid=pid: _is_ready(session, name, pid),  # type: ignore[misc]
                    within=BACK_WITHIN,
                    what=what,
                )

    async def freeze(self, pid: int, seconds: float) -> None:
        """Stop a process for a while and let it go on."""
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)


def _is(name: str, command: list[str]) -> bool:
    if name == "front-door":
        return command[-1:] == [DOOR]
    if name in SERVERS:
        return Path(command[0]).name == name if command else False
    return command[-2:] == ["run", name]


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def _is_ready(session: aiohttp.ClientSession, name: str, pid: int) -> bool:
    if name in SERVERS:
        command = _command(pid)
        return await _listens(int(command[command.index("--port") + 1]))
    port = _variables(pid)["HUBBUB_OPS_PORT"]
    try:
        async with session.get(
            f"http://127.0.0.1:{port}/readyz", timeout=aiohttp.ClientTimeout(total=2)
        ) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _variables(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)
