"""A whole Hubbub started by a test, and everything that belongs to it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hubbub.ids import random_id
from hubbub.local.programs import free_port
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
MARK = "HUBBUB_TEST_MARK"
READY_WITHIN = 60.0  # seconds
NO_SERVERS = {
    # Addresses where nobody listens: the tiny services never ask, and nothing has to start.
    "HUBBUB_MONGO_URL": "mongodb://127.0.0.1:9/none",
    "HUBBUB_NATS_URL": "nats://127.0.0.1:9",
}


class Launched:
    """One running `hubbub up`."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: Path, data: Path, port: int, mark: str
    ) -> None:
        self.process = process
        self.data = data
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._output = output
        self._mark = mark

    @property
    def said(self) -> str:
        """All that it printed until now."""
        return self._output.read_text(errors="replace")

    async def says(self, text: str, *, within: float = 10.0) -> None:
        """Wait until it has printed `text`."""
        try:
            await eventually(lambda: text in self.said, within=within, what=f"it says {text!r}")
        except AssertionError as late:
            raise AssertionError(f"{late}; it said:\n{self.said}") from None

    async def ready(self) -> None:
        """Wait until everything is ready."""
        await self.says("Hubbub is ready", within=READY_WITHIN)

    async def ended(self, *, within: float) -> int:
        """Wait for its end; returns the exit status."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    def processes(self) -> dict[int, str]:
        """Every living process that it started, itself included: pid → command line."""
        return marked(self._mark)

    def pid_of(self, name: str) -> int:
        """The process of one service or server, by the summary it printed last."""
        found = re.findall(rf"^  {re.escape(name)} +(\d+)  ", self.said, re.MULTILINE)
        return int(found[-1])


def marked(mark: str) -> dict[int, str]:
    """Living processes whose environment carries `mark`."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = command
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


@asynccontextmanager
async def launched(
    command: Sequence[str],
    folder: Path,
    *,
    port: int,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> AsyncIterator[Launched]:
    """Start a Hubbub; whatever of it is still there at the end is killed."""
    mark = random_id()
    output = folder / f"output-{mark}.txt"
    with output.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**os.environ, **(environment or {}), MARK: mark},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=asyncio.subprocess.STDOUT,
        )
    running = Launched(process, output, data or folder / "data", port, mark)
    try:
        yield running
    finally:
        for pid in running.processes():
            with suppress(ProcessLookupError):  # it ended with the one before it
                os.kill(pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def small(
    folder: Path,
    *services: str,
    streamers: int = 1,
    port: int = 0,
    servers: bool = False,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Launched]:
    """A Hubbub of tiny services, with the real servers only when they matter."""
    chosen = port or free_port()
    data = folder / "data"
    command = [
        sys.executable, "-m", "tests.e2e.small.up", str(data), str(chosen), str(streamers),
        *services,
    ]  # fmt: skip
    extra = {**({} if servers else NO_SERVERS), **(environment or {})}
    async with launched(command, folder, port=chosen, data=data, environment=extra) as running:
        yield running
