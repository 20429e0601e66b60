"""Health: what is declared, what is checked, and what either of them changes."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from hubbub.clock import FakeClock
from hubbub.runtime.health import Health
from hubbub.telemetry.metrics import ProcessMetrics
from tests.waiting import eventually


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def health(registry: CollectorRegistry, stopping: asyncio.Event, clock: FakeClock) -> Health:
    return Health(ProcessMetrics(registry, component="test"), stopping=stopping, clock=clock)


def test_a_new_process_is_starting(health: Health) -> None:
    """Nothing is ready before it says so."""
    assert health.state == "starting"
    assert not health.startup().ok
    assert not health.readiness().ok
    assert health.liveness().ok


def test_ready_ends_the_start(health: Health) -> None:
    """Readiness may come and go; the start ends once."""
    health.ready()
    assert health.state == "serving"
    health.not_ready("catching up")

    assert health.startup().ok
    assert not health.is_ready
    assert health.readiness().checks[0].detail == "catching up"


async def test_a_failing_check_only_degrades(health: Health, registry: CollectorRegistry) -> None:
    """A database that is away takes nobody out of service."""
    health.check("mongo", lambda: "no primary")
    health.ready()
    await health.run_checks()

    assert health.is_ready
    assert health.state == "degraded"
    assert registry.get_sample_value("hubbub_dependency_up", {"dependency": "mongo"}) == 0


async def test_a_check_may_decide_readiness(health: Health) -> None:
    """Where the service says so, and only as long as it fails."""
    problem: list[str] = ["away"]
    health.check("nats", lambda: problem[0], affects_readiness=True)
    health.ready()
    await health.run_checks()
    assert not health.is_ready
    problem[0] = ""
    await health.run_checks()

    assert health.is_ready


async def test_a_failure_may_have_to_last(health: Health, clock: FakeClock) -> None:
    """A blip degrades; only what lasts takes a process out of service, and its end brings it
    back at once."""
    problem = ["away"]
    health.check("nats", lambda: problem[0], affects_readiness=True, patience=30.0)
    health.ready()
    await health.run_checks()
    clock.advance(29)
    await health.run_checks()
    assert (health.is_ready, health.state) == (True, "degraded")
    clock.advance(1)
    assert not health.is_ready
    problem[0] = ""
    await health.run_checks()
    assert health.is_ready
    problem[0] = "away"
    await health.run_checks()
    assert health.is_ready


async def test_readiness_may_depend_on_others(health: Health) -> None:
    """Who is the only one left stays in service, however bad it is."""
    others = [0]
    health.check("nats", lambda: "away", affects_readiness=lambda: others[0] > 0)
    health.ready()
    await health.run_checks()
    assert health.is_ready
    others[0] = 1
    assert not health.is_ready


async def test_a_check_can_be_replaced(health: Health) -> None:
    health.check("nats", lambda: "away", affects_readiness=True)
    health.ready()
    await health.run_checks()
    health.check("nats", lambda: None)
    assert health.is_ready
    await health.run_checks()
    assert health.state == "serving"


async def test_alive_is_who_turns(health: Health, clock: FakeClock) -> None:
    """No dependency is asked; a loop that stands still is not alive."""
    health.check("mongo", lambda: "away", affects_readiness=True)
    await health.run_checks()
    clock.advance(9.9)
    assert health.liveness().ok
    clock.advance(0.2)
    assert not health.liveness().ok
    health.beat()
    assert health.liveness().ok


def test_nobody_is_alive_without_what_is_vital(health: Health) -> None:
    health.ready()
    health.died("fanout")
    report = health.liveness()
    assert not report.ok
    assert (report.checks[-1].name, report.checks[-1].detail) == ("fanout", "died")
    assert health.is_ready


def test_the_end_of_a_drain_is_a_state(
    health: Health, stopping: asyncio.Event, registry: CollectorRegistry
) -> None:
    health.ready()
    stopping.set()
    health.closed()
    assert health.state == "closed"
    assert registry.get_sample_value("hubbub_up_state", {"state": "closed"}) == 1
    assert registry.get_sample_value("hubbub_up_state", {"state": "draining"}) == 0


async def test_a_check_that_raises_is_a_failed_check(health: Health) -> None:
    """The reason is shown; the process goes on."""

    async def broken() -> str | None:
        raise OSError("refused")

    health.check("mongo", broken)
    await health.run_checks()

    (_, outcome) = health.readiness().checks
    assert (outcome.ok, outcome.detail) == (False, "OSError: refused")


async def test_stopping_ends_readiness(health: Health, stopping: asyncio.Event) -> None:
    """A process that was asked to stop gets no new work."""
    health.ready()
    stopping.set()

    assert health.state == "draining"
    assert not health.is_ready


async def test_checks_run_every_second(health: Health, registry: CollectorRegistry) -> None:
    """In the background, so that a probe never waits for a dependency."""
    calls = []
    health.check("nats", lambda: calls.append(1))
    watching = asyncio.create_task(health.watch())
    await eventually(lambda: len(calls) >= 3)
    watching.cancel()
    await asyncio.wait({watching})

    assert registry.get_sample_value("hubbub_dependency_up", {"dependency": "nats"}) == 1
