"""One service as a child process: started, heard, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp

from hubbub.local.logbook import MAX_LINE, LogFile, Screen
from hubbub.local.programs import free_port, stop
from hubbub.runtime.parent import VARIABLE as PARENT_VARIABLE

State = Literal["waiting", "starting", "ready", "not ready", "stopped"]

FIRST_PAUSE = 0.5  # seconds before a dead child is started again
LONGEST_PAUSE = 30.0  # seconds
LIVED_WELL = 30.0  # seconds after which a death counts as the first one
PROBE_INTERVAL = 0.25  # seconds
PROBE_TIMEOUT = 2.0  # seconds
LAST_WORDS = 1.0  # seconds to read what a dead child still said
WRONG_SETTINGS = 2  # exit status that starting again cannot cure


class Hopeless(Exception):
    """A child says that its settings are wrong; starting it again would not help."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port_variable: str = ""
    """Variable that tells the service which public port to use; "" when it has none."""
    stop_within: float = 2.0
    """Seconds from the request to stop to the kill."""
    pass_fds: Sequence[int] = ()
    pipe: bool = False
    """Whether it reads orders from its standard input."""


@dataclass(slots=True)
class Ports:
    """The ports of one start: chosen anew each time, lest somebody took them meanwhile."""

    ops: int = 0
    public: int = 0


@dataclass(slots=True)
class Child:
    """The running form of a plan."""

    plan: Plan
    log: LogFile
    screen: Screen
    on_change: Callable[[], None]
    state: State = "waiting"
    ports: Ports = field(default_factory=Ports)
    process: asyncio.subprocess.Process | None = None
    _stopping: bool = False

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def log_file(self) -> Path:
        return self.log.path

    async def live(self, session: aiohttp.ClientSession) -> None:
        """Run until stopped, starting again after each death, later and later.

        Raises:
            Hopeless: its settings are wrong.
        """
        pause = FIRST_PAUSE
        while not self._stopping:
            started = time.monotonic()
            status = await self._run_once(session)
            if self._stopping:
                return
            if status == WRONG_SETTINGS:
                raise Hopeless(self.name)
            if time.monotonic() - started > LIVED_WELL:
                pause = FIRST_PAUSE
            self._say(f"{_ending(status)}; it is started again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def stop(self) -> None:
        """Ask it to end, insist after its time, and wait until it is gone."""
        self._stopping = True
        process = self.process
        if process is not None:
            await stop(process, within=self.plan.stop_within)
        self._become("stopped")

    def kill(self) -> None:
        """End it at once."""
        self._stopping = True
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def order(self, line: bytes) -> None:
        """Write a line to its standard input; one that is away gets the next one."""
        pipe = self.process.stdin if self.process is not None else None
        if pipe is None or pipe.is_closing():
            return
        pipe.write(line)
        try:
            await pipe.drain()
        except OSError:
            return  # it has just ended; its next start is told anew

    async def _run_once(self, session: aiohttp.ClientSession) -> int:
        self.ports = Ports(free_port(), free_port() if self.plan.port_variable else 0)
        process = self.process = await self._spawn()
        self._become("starting")
        try:
            async with asyncio.TaskGroup() as tasks:
                probing = tasks.create_task(self._probe(session), name=f"probe-{self.name}")
                listening = tasks.create_task(self._listen(process), name=f"log-{self.name}")
                status = await process.wait()
                probing.cancel()
                # A program that it started may hold the output open for as long as it likes.
                await asyncio.wait({listening}, timeout=LAST_WORDS)
                listening.cancel()
        finally:
            if process.returncode is None:  # we are cancelled
                process.kill()
            self.process = None
            self._become("waiting")
        return status

    async def _spawn(self) -> asyncio.subprocess.Process:
        environment = {
            **os.environ,
            **self.plan.environment,
            "HUBBUB_OPS_HOST": "127.0.0.1",
            "HUBBUB_OPS_PORT": str(self.ports.ops),
            PARENT_VARIABLE: str(os.getpid()),
        }
        if self.plan.port_variable:
            environment[self.plan.port_variable] = str(self.ports.public)
        return await asyncio.create_subprocess_exec(
            *self.plan.command,
            env=environment,
            stdin=asyncio.subprocess.PIPE if self.plan.pipe else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A terminal's Ctrl-C is for us alone: we stop the children, in order.
            start_new_session=True,
            pass_fds=self.plan.pass_fds,
            limit=MAX_LINE,
        )

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep and show what it says, until it closes its output."""
        output = process.stdout
        if output is None:
            return
        while line := await _line(output):
            self.log.write(line)
            self.screen.show(self.name, line)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{self.ports.ops}/readyz"
        while True:
            if await _is_ready(session, url):
                self._become("ready")
            elif self.state == "ready":
                self._become("not ready")
            await asyncio.sleep(PROBE_INTERVAL)

    def _become(self, state: State) -> None:
        if self.state != state:
            self.state = state
            self.on_change()

    def _say(self, text: str) -> None:
        self.screen.say(f"hubbub: {self.name} {text} (log: {self.log_file})")


async def _line(output: asyncio.StreamReader) -> bytes:
    """The next line with its newline; a piece of one that is too long; b"" at the end."""
    try:
        return await output.readuntil(b"\n")
    except asyncio.IncompleteReadError as end:
        return end.partial + b"\n" if end.partial else b""
    except asyncio.LimitOverrunError as overrun:
        return await output.readexactly(overrun.consumed) + b"\n"


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _ending(status: int) -> str:
    if status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"ended with status {status}"
