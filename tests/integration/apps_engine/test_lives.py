"""Apps that start, stop, fail, are started again and given up; and engines that die."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hubbub.clock import SystemClock
from hubbub.errors import Unavailable
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.confinement.report import Confinement, Means
from services.apps_engine.domain.boundaries import Boundary
from services.apps_engine.processes import AppProcess, Bounding, Cause, Ending
from services.apps_engine.supervisor import Patience, Supervisor
from tests.integration.apps_engine.conftest import HOSTILE, Launch, RecordingBridge, exists
from tests.waiting import eventually


class Listener:
    """Remembers what became of an app."""

    def __init__(self, *, refuse: str = "") -> None:
        self.started_times = 0
        self.failures: list[tuple[Ending, float]] = []
        self.reason: str | None = None
        self._refuse = refuse

    async def started(self, declared: dict[str, Any], confinement: Confinement) -> None:
        assert declared == {"commands": [], "events": []}
        assert confinement.findings
        if self._refuse:
            raise ValueError(self._refuse)
        self.started_times += 1

    async def failed(self, ending: Ending, pause: float) -> None:
        self.failures.append((ending, pause))

    async def disabled(self, reason: str) -> None:
        self.reason = reason


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """An app that may be started again and again."""
    for name in ("app", "scratch"):
        (tmp_path / name).mkdir()
    return Plan("restless", str(tmp_path / "app"), str(tmp_path / "scratch"), host=HOSTILE)


def _supervisor(plan: Plan, listener: Listener, bounding: Bounding | None = None) -> Supervisor:
    return Supervisor(
        plan,
        dict,
        RecordingBridge(),
        listener,
        bounding=bounding or Bounding(),
        patience=Patience(failures=3, first_pause=0.01, longest_pause=0.02),
        clock=SystemClock(),
    )


async def test_an_app_starts_and_stops(launch: Launch) -> None:
    app = await launch()

    assert await app.do("ping") == "pong"
    assert await app.process.stop() == Ending(Cause.STOPPED, "was stopped")
    assert not exists(app.process.pid)
    with pytest.raises(Unavailable, match="was stopped"):
        await app.do("ping")


def _session_niceness(pid: int) -> int | None:
    """As "/autogroup-7 nice 10"; None where the kernel knows nothing of it."""
    try:
        shown = Path(f"/proc/{pid}/autogroup").read_text(encoding="ascii")
    except OSError:
        return None
    return int(shown.split()[-1]) if shown else None


async def test_an_app_gives_way(launch: Launch) -> None:
    """As a process; and as a session, where sessions share the processor."""
    app = await launch()
    nicer = os.getpriority(os.PRIO_PROCESS, 0)

    assert os.getpriority(os.PRIO_PROCESS, app.process.pid) == min(nicer + app.plan.niceness, 19)
    assert _session_niceness(app.process.pid) in (app.plan.niceness, None)


async def test_an_app_that_does_not_stop_is_killed(launch: Launch) -> None:
    app = await launch()
    busy = asyncio.create_task(app.do("loop"))
    await asyncio.sleep(0)

    async with asyncio.timeout(60):
        assert await app.process.kill() == Ending(Cause.STOPPED, "was stopped")

    assert not exists(app.process.pid)
    with pytest.raises(Unavailable):
        await busy


async def test_stopping_twice_is_stopping(launch: Launch) -> None:
    app = await launch()

    endings = await asyncio.gather(app.process.stop(), app.process.stop(), app.process.kill())

    assert {ending.cause for ending in endings} == {Cause.STOPPED}


async def test_a_start_that_fails_says_why(plan: Plan) -> None:
    wrong = Plan(plan.app, plan.folder, plan.scratch, host="hubbub.apps.no_such_host")
    process = await AppProcess.spawn(
        wrong, RecordingBridge(), bounding=Bounding(), clock=SystemClock()
    )

    with pytest.raises(Unavailable, match="no_such_host"):
        await process.start({})

    assert (await process.wait()).cause is Cause.NOT_STARTED


async def test_a_killed_app_is_started_again(plan: Plan) -> None:
    listener = Listener()
    supervisor = _supervisor(plan, listener)
    running = asyncio.create_task(supervisor.run())
    first = await eventually(lambda: supervisor.process)

    with pytest.raises(Unavailable):
        await supervisor.call("command", {"do": "exit", "code": 1}, 30)
    second = await eventually(lambda: supervisor.process)

    assert second.pid != first.pid
    assert await supervisor.call("command", {"do": "ping"}, 30) == "pong"
    assert [ending.cause for ending, _ in listener.failures] == [Cause.EXITED]
    await supervisor.stop()
    await running
    assert not exists(second.pid)
    assert supervisor.process is None
    assert listener.reason is None


async def test_an_app_that_keeps_failing_is_disabled(plan: Plan) -> None:
    listener = Listener()
    supervisor = _supervisor(plan, listener)
    running = asyncio.create_task(supervisor.run())

    for _ in range(3):
        await eventually(lambda: supervisor.process)
        with pytest.raises(Unavailable):
            await supervisor.call("command", {"do": "exit", "code": 7}, 30)
    await running

    assert listener.started_times == 3
    assert [pause for _, pause in listener.failures] == [0.01, 0.02]
    assert listener.reason == ("ended 3 times within 10 minutes; at last it exited with 7: goodbye")
    with pytest.raises(Unavailable):
        await supervisor.call("command", {"do": "ping"})


async def test_an_app_that_has_what_nobody_allowed_does_not_run(plan: Plan) -> None:
    listener = Listener(refuse="it has a command that its manifest does not name")
    await _supervisor(plan, listener).run()

    assert listener.reason is not None
    assert "a command that its manifest does not name" in listener.reason


async def test_an_app_is_not_tried_again_where_it_may_not_run(plan: Plan) -> None:
    listener = Listener()
    unconfined = Plan(plan.app, plan.folder, plan.scratch, host=HOSTILE, without=(Means.VIEW,))
    bounding = Bounding(required=frozenset({Boundary.DISK}))
    await _supervisor(unconfined, listener, bounding).run()

    assert listener.failures == []
    assert listener.reason is not None
    assert "disk" in listener.reason


async def test_a_supervisor_that_is_cancelled_leaves_nothing(plan: Plan) -> None:
    supervisor = _supervisor(plan, Listener())
    running = asyncio.create_task(supervisor.run())
    process = await eventually(lambda: supervisor.process)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not exists(process.pid)


async def test_stopping_ends_a_pause(plan: Plan) -> None:
    listener = Listener()
    supervisor = Supervisor(
        plan,
        dict,
        RecordingBridge(),
        listener,
        bounding=Bounding(),
        patience=Patience(first_pause=3600, longest_pause=3600),
        clock=SystemClock(),
    )
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: supervisor.process)
    with pytest.raises(Unavailable):
        await supervisor.call("command", {"do": "exit", "code": 1}, 30)
    await eventually(lambda: listener.failures)

    await supervisor.stop()

    async with asyncio.timeout(30):
        await running


_ENGINE = """
import sys
import uvloop  # as the services run
from hubbub.clock import SystemClock
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.processes import AppProcess, Bounding

class Bridge:
    async def call(self, name, args): pass
    def tell(self, name, args): pass
    def printed(self, line, *, is_error): pass

async def main():
    plan = Plan("orphan", sys.argv[1], sys.argv[2], host=sys.argv[3], without=sys.argv[4:])
    app = await AppProcess.spawn(plan, Bridge(), bounding=Bounding(), clock=SystemClock())
    await app.start({})
    print(app.pid, flush=True)
    await app.call("command", {"do": "sleep"}, 600)

uvloop.run(main())
"""


@pytest.mark.parametrize("without", [(), (Means.PROCESSES,)], ids=["namespace", "no namespace"])
async def test_apps_die_with_their_engine(plan: Plan, without: tuple[str, ...]) -> None:
    engine = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _ENGINE, plan.folder, plan.scratch, HOSTILE, *without),
        stdout=asyncio.subprocess.PIPE,
    )
    assert engine.stdout is not None
    async with asyncio.timeout(60):
        pid = int(await engine.stdout.readline())
    assert exists(pid)

    engine.kill()
    await engine.wait()

    await eventually(lambda: not exists(pid))
