"""`hubbub app run --url …` as somebody runs it in a terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from hubbub.tasks import owned
from tests.conformance.conftest import ADMIN_PASSWORD
from tests.waiting import eventually

_HELD = 60.0  # seconds


class Live:
    """A command that goes on, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.printed = ""

    async def read(self) -> None:
        """Collect what it prints, until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.printed += line.decode()

    async def says(self, text: str, *, times: int = 1) -> None:
        """Wait until it has printed this so often."""
        await eventually(
            lambda: self.printed.count(text) >= times or self._process.returncode is not None,
            within=_HELD,
            what=text,
        )
        assert self.printed.count(text) >= times, self.printed

    async def ended(self) -> str:
        """Press Ctrl-C; all that it printed."""
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_HELD):
            status = await self._process.wait()
        assert self._process.stdout is not None
        await eventually(self._process.stdout.at_eof, within=_HELD)
        assert status == 0, self.printed
        return self.printed


@asynccontextmanager
async def running(words: Sequence[str], folder: Path) -> AsyncIterator[Live]:
    """A command of `hubbub` in a folder; it is killed if it is still there at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub.cli.main", *words),
        cwd=folder,
        env={**os.environ, "HUBBUB_ADMIN_PASSWORD": ADMIN_PASSWORD},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    live = Live(process)
    try:
        async with owned(live.read()):
            yield live
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
