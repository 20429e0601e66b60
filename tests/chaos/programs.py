"""One program of the stage: started, hit by signals, started again on the same ports."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hubbub.local import guard
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

GONE_WITHIN = 20.0  # seconds
_LOWEST, _HIGHEST = 18_000, 31_000
"""Below the ports that a system gives to outgoing connections: nobody takes the port of a
program while it is dead."""


@dataclass(slots=True)
class Program:
    """A program with its own log file. It ends with the process that started it."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    """Where it runs."""
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _frozen: bool = False

    def start(self) -> None:
        """Start it; what an earlier one wrote stays in the log."""
        if self.lives:
            raise RuntimeError(f"{self.name} runs already")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(guard.__file__), str(os.getpid())),
                    *(str(int(signal.SIGKILL)), *self.command),
                ],
                cwd=self.folder,
                env={**kept, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1
        self._frozen = False

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it was stopped and not continued."""
        return self._frozen and self.lives

    @property
    def pid(self) -> int:
        if self._process is None or not self.lives:
            raise RuntimeError(f"{self.name} does not run; see {self.log}")
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it to the program."""
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """As by kill -9; return when it is gone."""
        self.signal(signal.SIGKILL)
        await self.gone()

    async def terminate(self, *, within: float = GONE_WITHIN) -> None:
        """Ask it to end; return when it has."""
        self.signal(signal.SIGTERM)
        await self.gone(within=within)

    async def gone(self, *, within: float = GONE_WITHIN) -> None:
        """Wait for its end."""
        await eventually(lambda: not self.lives, within=within, what=f"{self.name} has ended")

    def freeze(self) -> None:
        """Stop it as a paused machine would: its sockets stay open and nobody answers."""
        self.signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)
        self._frozen = False

    def end(self) -> None:
        """End it for good, at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()


async def stop(programs: Sequence[Program], *, within: float) -> None:
    """End them together: by asking, and after `within` seconds by force."""
    for program in programs:
        if program.frozen:
            program.thaw()
        if program.lives:
            program.signal(signal.SIGTERM)
    with suppress(AssertionError):
        await asyncio.gather(*(program.gone(within=within) for program in programs))
    for program in programs:
        program.end()


def ports() -> Iterator[int]:
    """Ports of this machine that are free now, none of them twice.

    Raises:
        RuntimeError: there are no more.
    """
    start = random.SystemRandom().randrange(_LOWEST, _HIGHEST)
    for offset in range(_HIGHEST - _LOWEST):
        port = _LOWEST + (start - _LOWEST + offset) % (_HIGHEST - _LOWEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise RuntimeError("there is no free port")
