"""A machine that refuses what an app's process would give up, as many containers do."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from services.apps_engine.confinement.kernel import IS_LINUX, MACHINE
from services.apps_engine.confinement.report import Confinement, Means, State
from services.apps_engine.domain.boundaries import Boundary, active
from tests.integration.apps_engine.conftest import HOSTILE

# An engine below a filter of its own: the calls it names answer EPERM, to all that come of it.
_ENGINE = """
import asyncio, ctypes, errno, json, platform, sys
from hubbub.clock import SystemClock
from services.apps_engine.confinement import kernel, seccomp
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.processes import AppProcess, Bounding

def refuse(numbers):
    write = seccomp._Writer()
    write.load(0)
    for number in numbers:
        write.refuse(number)
    write.answer(0x7FFF0000)
    lines = (seccomp._Instruction * len(write.lines))(
        *(seccomp._Instruction(*line) for line in write.lines))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    program = seccomp._Program(len(lines), lines)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(program))

class Bridge:
    async def call(self, name, args): pass
    def tell(self, name, args): pass
    def printed(self, line, *, is_error): print(line, file=sys.stderr)

async def main(folder, scratch, host, numbers):
    refuse(json.loads(numbers))
    plan = Plan("restricted", folder, scratch, host=host)
    app = await AppProcess.spawn(plan, Bridge(), bounding=Bounding(), clock=SystemClock())
    await app.start({})
    answer = await app.call("command", {"do": "ping"}, 60)
    await app.stop()
    print(json.dumps([app.confinement.to_json(), answer]))

asyncio.run(main(*sys.argv[1:]))
"""

_UNSHARE = {"x86_64": 272, "aarch64": 97}
_LANDLOCK_CREATE_RULESET = 444
_MOUNT = {"x86_64": 165, "aarch64": 40}


async def _report(tmp_path: Path, numbers: list[int]) -> Confinement:
    for name in ("app", "scratch"):
        (tmp_path / name).mkdir()
    engine = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _ENGINE, str(tmp_path / "app"), str(tmp_path / "scratch")),
        *(HOSTILE, json.dumps(numbers)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, _ = await engine.communicate()
    finally:
        if engine.returncode is None:
            engine.kill()
    report, answer = json.loads(out)
    assert answer == "pong"
    found: Any = report
    return Confinement.from_json(found)


def _machine() -> str:
    if not IS_LINUX or MACHINE not in _UNSHARE:
        pytest.skip(f"no filter for {MACHINE}")
    return MACHINE


async def test_without_namespaces_the_app_runs_and_the_report_says_so(tmp_path: Path) -> None:
    confinement = await _report(tmp_path, [_UNSHARE[_machine()]])

    for means in (Means.USERS, Means.NETWORK, Means.PROCESSES, Means.MOUNTS, Means.IPC):
        assert confinement.findings[means].state is State.REFUSED
    assert not confinement.has(Means.VIEW)
    holding = active(confinement)
    assert Boundary.DISK not in holding
    assert (Boundary.NETWORK in holding) == confinement.has(Means.SECCOMP)
    assert (Boundary.FILES in holding) == confinement.has(Means.LANDLOCK, Means.SECCOMP)


async def test_without_mounts_and_landlock_files_are_not_claimed(tmp_path: Path) -> None:
    confinement = await _report(tmp_path, [_MOUNT[_machine()], _LANDLOCK_CREATE_RULESET])

    assert confinement.findings[Means.LANDLOCK].state in (State.REFUSED, State.ABSENT)
    assert not confinement.has(Means.VIEW)
    assert Boundary.FILES not in active(confinement)
