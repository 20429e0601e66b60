"""What is known of streamers: by their reports, or by asking when they are silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock
from hubbub.contracts.streamers import REPORT_INTERVAL, StreamerReported
from hubbub.telemetry.metrics import ProcessMetrics
from services.ddp_streamer.metrics import StreamerMetrics
from services.operator.domain.members import Load, Pod
from services.operator.settings import OperatorSettings
from services.operator.streamers import Reports, Streamers, load_from_metrics
from tests.unit.operator.members import NOW


def report(instance: str = "i1", connections: int = 7, **fields: bool) -> StreamerReported:
    """A streamer of pod p1."""
    return StreamerReported(
        instance=instance,
        pod="p1",
        version="1",
        connections=connections,
        connection_limit=100,
        deliveries_per_second=0,
        **fields,
    )


def test_four_missed_reports_are_silence() -> None:
    """Both sides count in the same beat."""
    assert OperatorSettings().silent_after == 4 * REPORT_INTERVAL


async def test_the_newest_report_counts_until_silence() -> None:
    """Also when another process in the same pod sent it."""
    clock = FakeClock()
    reports = Reports(silent_after=20, clock=clock)
    assert reports.of("p1") is None

    await reports.on_reported(report())
    await reports.on_reported(report("i2", 3, draining=True))
    clock.advance(20)
    assert reports.of("p1") == Load(3, 100, draining=True, instance="i2")

    clock.advance(0.1)
    assert reports.of("p1") is None


async def test_pods_of_long_ago_are_forgotten() -> None:
    """A cluster that rolls out every day has many."""
    clock = FakeClock()
    reports = Reports(silent_after=20, clock=clock)
    await reports.on_reported(report())
    clock.advance(20 * 30 + 1)
    await reports.on_reported(report().model_copy(update={"pod": "p2"}))

    assert set(reports._heard) == {"p2"}


def test_a_new_operator_learns_for_a_while() -> None:
    """Until every streamer has had the time for a report."""
    clock = FakeClock()
    reports = Reports(silent_after=20, clock=clock)

    assert reports.learning
    clock.advance(20)
    assert not reports.learning


def test_a_streamers_own_metrics_are_understood() -> None:
    """Those of the real service, under the names that it gives them."""
    registry = CollectorRegistry()
    metrics = StreamerMetrics(registry)
    metrics.connections.set(12)
    metrics.connection_limit.set(500)
    process = ProcessMetrics(registry, component="ddp-streamer")
    process.set_state("serving")
    assert load_from_metrics(generate_latest(registry).decode()) == Load(12, 500)

    process.set_state("draining")
    assert load_from_metrics(generate_latest(registry).decode()) == Load(12, 500, draining=True)


def test_the_metrics_of_something_else() -> None:
    """Another program listens there."""
    registry = CollectorRegistry()
    Gauge("unrelated", "Something.", registry=registry)

    assert load_from_metrics(generate_latest(registry).decode()) is None


@asynccontextmanager
async def asked_at(body: str, status: int = 200) -> AsyncIterator[tuple[Streamers, Pod]]:
    """A pod that answers with `body`, and an operator that never heard of it."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=body, status=status)

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bus = LocalBus()
    try:
        async with aiohttp.ClientSession() as session:
            pod = Pod("p1", "u1", NOW, ip="127.0.0.1", ops_port=runner.addresses[0][1])
            yield Streamers(bus, Reports(silent_after=20), session), pod
    finally:
        await bus.close()
        await runner.cleanup()


async def test_a_silent_streamer_is_asked() -> None:
    """Its count is known then, but not how to command it."""
    text = "hubbub_streamer_connections 9\nhubbub_streamer_connection_limit 50\n"
    async with asked_at(text) as (streamers, pod):
        (member,) = await streamers.loads([pod])

    assert member.load == Load(9, 50, instance=None)


@pytest.mark.parametrize(
    ("body", "status"), [("no metrics {", 200), ("", 503), ("x 1\n" * 1_100_000, 200)]
)
async def test_an_answer_that_is_none(body: str, status: int) -> None:
    """Nonsense, an error, more than anybody would read."""
    async with asked_at(body, status) as (streamers, pod):
        (member,) = await streamers.loads([pod])

    assert member.load is None


async def test_a_pod_without_an_address_is_not_asked() -> None:
    """It has not been scheduled, or its container does not run."""
    async with asked_at("hubbub_streamer_connections 9\n") as (streamers, pod):
        waiting = Pod("p2", "u2", NOW)
        stopped = Pod("p3", "u3", NOW, ip=pod.ip, ops_port=pod.ops_port, running=False)
        found = await streamers.loads([waiting, stopped])

    assert [member.load for member in found] == [None, None]


async def test_commands_to_nobody() -> None:
    """The streamer ended a moment ago: that is no failure of the pass."""
    async with asked_at("") as (streamers, _):
        assert await streamers.drain("gone", 60.0) is None
        assert await streamers.shed("gone", 5) == 0
