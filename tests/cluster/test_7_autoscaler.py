"""The autoscaler adds streamers when clients come, and takes them away when clients leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.cluster.load import Doors, load
from tests.cluster.release import Release, moment
from tests.cluster.report import Decision, Report
from tests.cluster.sitters import sitters
from tests.conformance.rest import User
from tests.waiting import eventually

METRICS = "/apis/custom.metrics.k8s.io/v1beta1"
CONNECTIONS = "hubbub_streamer_connections"
TARGET = 40  # connections of one streamer
ARRIVING = 70  # beside the sockets of those who talk
OUT_WITHIN = 120.0  # seconds
IN_WITHIN = 240.0  # seconds, two drains included
SETTLES = 15  # seconds for which the autoscaler must want fewer; 900 for real


async def test_out_on_connections_and_in_again(
    release: Release, doors: Doors, people: Sequence[User], report: Report
) -> None:
    """Nobody scales by hand; nothing is lost on the way out or in."""
    if await release.namespace.get(METRICS) is None:
        pytest.skip("this cluster has no custom.metrics.k8s.io")
    await release.upgrade(operator__managedScaling="false")
    await release.scaled(1)
    await release.upgrade(**_autoscaling(enabled=True))
    began, wall = time.monotonic(), time.time()
    watching = asyncio.create_task(_watch(release, report, began), name="watch")
    try:
        async with load(doors, people) as talk:
            async with sitters(doors.streamer, people) as crowd:
                await crowd.come(ARRIVING)
                await _at_least(release, 3, within=OUT_WITHIN)
                report.seconds("the autoscaler: 1 to 3 ready", time.monotonic() - began)
                await talk.goes_on()
            left = time.monotonic()
            await release.has_streamers(2, within=IN_WITHIN)
            report.seconds("the autoscaler: back to 2", time.monotonic() - left)
            await talk.goes_on()
            verdict = await talk.end("the autoscaler goes out and in")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await _note_events(release, report, wall)
        await release.upgrade(**_autoscaling(enabled=False))
    report.verdicts.append(verdict)

    assert verdict.violations == ()
    assert verdict.lost == 0
    reasons = [one["message"] for one in await release.events("HorizontalPodAutoscaler")]
    assert any(CONNECTIONS in message and "above target" in message for message in reasons)
    assert any("below target" in message for message in reasons)


def _autoscaling(*, enabled: bool) -> dict[str, str]:
    values = {
        "enabled": str(enabled).lower(),
        "minReplicas": "1",
        "maxReplicas": "4",
        "targetConnections": str(TARGET),
        "targetDeliveriesPerSecond": "100000",
        "targetCPUUtilizationPercentage": "0",  # not every cluster measures it
        "behavior__scaleDown__stabilizationWindowSeconds": str(SETTLES),
        "behavior__scaleDown__policies[0]__type": "Pods",
        "behavior__scaleDown__policies[0]__value": "1",
        "behavior__scaleDown__policies[0]__periodSeconds": "15",
    }
    return {f"streamer__autoscaling__{name}": value for name, value in values.items()}


async def _at_least(release: Release, count: int, *, within: float) -> None:
    async def seen() -> bool:
        await asyncio.sleep(0.5)
        return sum(pod.serves for pod in await release.pods("streamer")) >= count

    await eventually(seen, within=within, what=f"{count} streamers")


async def _watch(release: Release, report: Report, began: float) -> None:
    """Note every change of what the autoscaler wants and sees."""
    name, last = release.streamers, ""
    while True:
        found = await release.namespace.object("autoscaling/v2", "horizontalpodautoscalers", name)
        status = (found or {}).get("status", {})
        metrics = [one["pods"] for one in status.get("currentMetrics") or [] if "pods" in one]
        seen = [
            one["current"]["averageValue"]
            for one in metrics
            if one["metric"]["name"] == CONNECTIONS
        ]
        text = f"{status.get('currentReplicas')} → {status.get('desiredReplicas')} streamers"
        if text != last and seen:
            average = f"{seen[0]} connections each, target {TARGET}"
            report.decisions.append(Decision(time.monotonic() - began, f"{text} ({average})"))
            last = text
        await asyncio.sleep(1.0)


async def _note_events(release: Release, report: Report, wall: float) -> None:
    for event in await release.events("HorizontalPodAutoscaler"):
        when = moment(event.get("lastTimestamp") or event.get("eventTime"))
        report.decisions.append(
            Decision(when - wall, f"event {event['reason']}: {event['message']}")
        )
