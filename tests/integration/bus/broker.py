"""A NATS server that a test may kill and start again."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from hubbub.local.programs import find_nats_server, start_guarded
from tests.waiting import eventually


class Broker:
    """One nats-server with JetStream on one port, its data in one folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns when it answers."""
        command = [str(find_nats_server()), "-a", "127.0.0.1", "-p", str(self._port)]
        command += ["-js", "-sd", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = await start_guarded(command, output=log, death=signal.SIGKILL)
        await eventually(self._greets, within=20)

    async def kill(self) -> None:
        """End it without warning, if it runs."""
        await self._end(signal.SIGKILL)

    async def lame_duck(self) -> None:
        """Ask it to send its clients away."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR2)

    async def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()

    async def _greets(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        greeting = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return greeting.startswith(b"INFO ")
