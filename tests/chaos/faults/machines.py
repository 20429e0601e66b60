"""Faults of the machines that services run on."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from websockets.exceptions import InvalidHandshake, InvalidMessage

from tests.chaos.faults.table import Scene, fault
from tests.chaos.programs import ROOT
from tests.chaos.stage import Options, Service
from tests.chaos.wire import opened
from tests.e2e.resilience.line import Broken, Unanswered

AHEAD = 300  # seconds that a clock is wrong by
_SHIM = ROOT / "tests" / "chaos" / "wrong_clock.c"
_GROUPS = Path("/sys/fs/cgroup/memory")
_MORE = 2 * 1024 * 1024  # bytes that a streamer may take beyond what it has
_MANY = 2000  # clients, more than fit into that


_NO_HANDSHAKE = (InvalidHandshake, InvalidMessage, EOFError)


# --- the clock ---


def _no_compiler(options: Options) -> str | None:
    return None if shutil.which("cc") else "no C compiler here to build the wrong clock with"


def _two_copies(options: Options) -> Options:
    return replace(options, copies={**options.copies, "messaging": 2})


@fault(
    "F26a", "clock of a messaging pod 5 min ahead", bound=5.0, options=_two_copies,
    unable=_no_compiler,
)  # fmt: skip
async def clock_ahead(scene: Scene) -> None:
    """A copy of messaging has a clock that is five minutes ahead. Dates come from the database,
    so order and dates of messages are as ever.

    Bound: a call's patience with the copy that was restarted for it, and a repetition.
    """
    copy = scene.dice.choice(scene.stage.of("messaging"))
    shim = scene.stage.folder / "wrong_clock.so"
    await _built(shim)
    right = copy.program.environment
    wrong = {**right, "LD_PRELOAD": str(shim), "WRONG_CLOCK_SECONDS": str(AHEAD)}
    scene.broken(copy.name)
    try:
        await _again_with(scene, copy, wrong)
        await scene.lasts(10.0)
    finally:
        copy.program.environment = right
    await _again_with(scene, copy, right)
    scene.healed()


async def _built(shim: Path) -> None:
    compiler = await asyncio.create_subprocess_exec(
        "cc", "-shared", "-fPIC", "-o", str(shim), str(_SHIM)
    )
    assert await compiler.wait() == 0, "the wrong clock cannot be built"


async def _again_with(scene: Scene, copy: Service, environment: Mapping[str, str]) -> None:
    await copy.program.terminate()
    copy.program.environment = environment
    copy.program.start()
    await scene.stage.ready([copy])


# --- memory ---


def _no_groups(options: Options) -> str | None:
    if os.geteuid() != 0 or not (_GROUPS / "memory.limit_in_bytes").exists():
        return "needs root and the memory controller of cgroups, version 1"
    return None


@fault("F28", "memory limit hit in a streamer", bound=5.0, unable=_no_groups)
async def out_of_memory(scene: Scene) -> None:
    """A streamer gets 2 MiB more than it has, and clients come until the system kills it. What
    follows is what follows on any death.

    Bound: as for its death.
    """
    victim = scene.dice.choice(scene.stage.streamers)
    async with AsyncExitStack() as stack:
        with _limited(victim.program.pid, _MORE):
            scene.broken(victim.name)
            for _ in range(_MANY):
                try:
                    socket = opened(victim.web_socket, _unheard, _unheard)
                    wire, _reading = await stack.enter_async_context(socket)
                    await wire.connect()
                except (Broken, Unanswered, OSError, TimeoutError, *_NO_HANDSHAKE):
                    break
            await victim.program.gone()
    victim.program.start()
    scene.healed()


@contextmanager
def _limited(pid: int, more: int) -> Iterator[None]:
    """What the process takes from now on is less than `more` bytes, or it is killed."""
    group = _GROUPS / f"hubbub-drill-{pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(more))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            (_GROUPS / "cgroup.procs").write_text(left)
        group.rmdir()


def _unheard(_: object) -> None:
    """Nobody asks what these sockets are told."""
