"""Apps that run in the place of tests: a neighbour that behaves, and one that does not."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hubbub.clock import SystemClock
from hubbub.errors import NotFound
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.processes import AppProcess, Bounding

log = logging.getLogger(__name__)

HOSTILE = "tests.integration.apps_engine.hostile"


class RecordingBridge:
    """Answers calls and remembers what the app did."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.tells: list[str] = []
        self.lines: list[tuple[str, bool]] = []
        self.at_once = self.most_at_once = 0
        self.pause = 0.0

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        self.calls.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.pause)
            match name:
                case "large":
                    return "x" * 500_000
                case "too_large":
                    return "x" * 2_000_000
                case "missing":
                    raise NotFound("No such user", code="error-user-not-found")
                case "defect":
                    raise ZeroDivisionError
                case "never":
                    await asyncio.Event().wait()
                case _:
                    pass
            return {"args": args}
        finally:
            self.at_once -= 1

    def tell(self, name: str, args: dict[str, Any]) -> None:
        del args
        self.tells.append(name)

    def printed(self, line: str, *, is_error: bool) -> None:
        self.lines.append((line, is_error))


class App:
    """One running app and what is around it."""

    def __init__(self, process: AppProcess, bridge: RecordingBridge, plan: Plan) -> None:
        self.process = process
        self.bridge = bridge
        self.plan = plan

    async def do(self, attack: str, *, deadline: float = 30.0, **args: Any) -> Any:
        """Let the app do something and return what came of it."""
        return await self.process.call("command", {"do": attack, **args}, deadline)


Launch = Callable[..., Awaitable[App]]


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Launch]:
    """Starts apps; all of them are ended afterwards."""
    async with AsyncExitStack() as stack:

        async def _launch(
            name: str = "hostile", bounding: Bounding | None = None, **plan: Any
        ) -> App:
            folder, scratch = tmp_path / name / "app", tmp_path / name / "scratch"
            folder.mkdir(parents=True)
            scratch.mkdir()
            (folder / "own.txt").write_text("its own")
            wanted = Plan(app=name, folder=str(folder), scratch=str(scratch), host=HOSTILE, **plan)
            bridge = RecordingBridge()
            process = await AppProcess.spawn(
                wanted, bridge, bounding=bounding or Bounding(), clock=SystemClock()
            )
            stack.push_async_callback(process.kill)
            await process.start({})
            return App(process, bridge, wanted)

        yield _launch


@pytest.fixture
async def neighbour(launch: Launch) -> AsyncIterator[App]:
    """An app that was there before the attack, and has to answer all the time and afterwards."""
    app = await launch("neighbour")
    times: list[float] = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            assert await app.do("ping") == "pong"
            times.append(loop.time() - began)
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    yield app
    if asking.done():
        asking.result()
    asking.cancel()
    assert await app.do("ping") == "pong"
    assert app.process.ending is None
    log.info("neighbour asked %d times, %.1f ms at worst", len(times), max(times, default=0) * 1e3)
    assert max(times, default=0.0) < 10


def exists(pid: int) -> bool:
    """Whether a process is there and is no mere remainder."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def own_environment() -> str:
    """The file in which this process shows its environment."""
    return f"/proc/{os.getpid()}/environ"
