"""What the operator's liveness depends on beyond a turning loop."""

from __future__ import annotations

import asyncio
from functools import partial

from hubbub.clock import FakeClock
from hubbub.runtime import Health
from hubbub.telemetry.metrics import ProcessMetrics, new_registry
from services.operator.service import TICK_DEAD_AFTER, WATCH_DEAD_AFTER, problem_of


async def test_a_watch_or_a_pass_that_stands_still_ends_the_process() -> None:
    """And it is alive again if they get on before somebody ended it."""
    age = {"watch": 0.0, "reconcile": 0.0}
    metrics = ProcessMetrics(new_registry(), component="operator")
    health = Health(metrics, stopping=asyncio.Event(), clock=FakeClock())
    limits = {"watch": WATCH_DEAD_AFTER, "reconcile": TICK_DEAD_AFTER}

    def problem(name: str) -> str | None:
        return problem_of(age[name], limits[name])

    for name in limits:
        health.check(name, partial(problem, name), affects_liveness=True)
    await health.run_checks()
    assert health.liveness().ok

    for name, limit in limits.items():
        age[name] = limit
        await health.run_checks()
        report = health.liveness()
        assert not report.ok
        assert [one.name for one in report.checks if not one.ok] == [name]
        age[name] = limit - 1
        await health.run_checks()
        assert health.liveness().ok
