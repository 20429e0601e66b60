"""Who has to go when the streamers become one fewer: with and without the operator."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from tests.cluster.load import Doors, load
from tests.cluster.pools import pool_of, with_operator
from tests.cluster.release import Pod, Release
from tests.cluster.report import Moved, Report
from tests.cluster.sitters import Sitters, sitters
from tests.conformance.rest import User
from tests.waiting import eventually

PORT = 3000
SEATS = (4, 20, 36)
"""Clients on the oldest, the next and the youngest of three streamers. Left to itself, Kubernetes
prefers to delete the youngest."""
LEARNS_WITHIN = 90.0  # seconds until costs are written: reports, patience, a patch per second
DRAINS_WITHIN = 180.0  # seconds, with the operator being away in the middle
SERVICE_RESTART = 1012
LINGER = 3.0  # seconds


@pytest.fixture
async def crowd(doors: Doors, people: Sequence[User]) -> AsyncIterator[Sitters]:
    """Clients that sit; none yet."""
    async with sitters(doors.streamer, people) as everybody:
        yield everybody


async def test_kubernetes_alone_takes_what_is_young(
    release: Release, crowd: Sitters, report: Report
) -> None:
    """However many it holds."""
    await _three(release)
    moved = await _one_fewer(release, crowd, "Kubernetes alone")
    report.moved.append(moved)

    assert moved.moved == moved.before[moved.victim]


async def test_the_operator_advises_to_take_the_emptiest(
    release: Release, crowd: Sitters, report: Report
) -> None:
    """It only writes annotations: `kubectl scale` does the rest."""
    await with_operator(release, managed=False)
    await _three(release)
    moved = await _one_fewer(release, crowd, "the operator advises", advised=True)
    report.moved.append(moved)

    assert moved.before[moved.victim] == min(moved.before.values())
    assert moved.moved == moved.before[moved.victim]


async def test_it_drains_the_emptiest_first_although_it_dies_in_the_middle(
    release: Release,
    doors: Doors,
    people: Sequence[User],
    crowd: Sitters,
    report: Report,
) -> None:
    """The pool is scaled; the deployment follows when the pod is empty, and nobody loses a word."""
    await with_operator(release, managed=True)
    pods = await release.has_streamers(3)
    pool = f"streamerpool/{release.streamers}"
    async with load(doors, people) as talk:
        await _seat(release, crowd, pods, (0, 16, 32))
        before = await release.connections()
        await eventually(
            lambda: _knows(release, before), within=60.0, what="the operator knows who sits where"
        )
        began = time.monotonic()
        await release.namespace.kubectl("scale", pool, "--replicas=2")
        await _said(release, "DrainStarted")
        await release.kill(await release.pods("operator"))
        after = await release.has_streamers(2, within=DRAINS_WITHIN)
        report.seconds("a managed scale-in, its operator killed", time.monotonic() - began)
        await talk.lasts(LINGER)
        await crowd.all_sit()
        verdict = await talk.end("scale-in by the operator, which is killed")
    report.verdicts.append(verdict)
    [victim] = before.keys() - {pod.name for pod in after}
    moved = crowd.moved(began) + verdict.reconnects
    report.moved.append(Moved("the operator manages", before, victim, moved))

    assert before[victim] == min(before.values())
    assert verdict.violations == ()
    assert verdict.lost == 0
    assert set(verdict.codes) == {SERVICE_RESTART}
    status = (await pool_of(release))["status"]
    assert (status["appliedReplicas"], status["draining"]) == (2, 0)
    await _said(release, "DrainFinished")


async def test_whoever_scales_the_deployment_by_hand_is_followed(release: Release) -> None:
    """The pool adopts the number instead of setting it back."""
    await release.scaled(3)
    await _said(release, "ManualScaleAdopted")
    assert (await pool_of(release))["spec"]["replicas"] == 3
    await release.has_streamers(3)


async def _knows(release: Release, connections: dict[str, int]) -> bool:
    status = (await pool_of(release))["status"]
    return {one["name"]: one.get("connections") for one in status["pods"]} == connections


async def _three(release: Release) -> None:
    """Three streamers of clearly different ages."""
    for count in (1, 2, 3):
        await release.scaled(count)


async def _seat(
    release: Release, crowd: Sitters, pods: Sequence[Pod], seats: Sequence[int]
) -> None:
    """So many clients on each of the pods, whatever the Service would do."""
    async with AsyncExitStack() as stack:
        for pod, count in zip(pods, seats, strict=True):
            await crowd.come(count, to=await stack.enter_async_context(release.direct(pod, PORT)))
        crowd.keep(stack.pop_all())


async def _one_fewer(release: Release, crowd: Sitters, way: str, *, advised: bool = False) -> Moved:
    """Seat clients unevenly, scale from three to two, and see who had to move."""
    pods = await release.has_streamers(3)
    await _seat(release, crowd, pods, SEATS)
    before = await release.connections()
    if advised:
        await eventually(
            lambda: _is_advised(release, before), within=LEARNS_WITHIN, what="costs are written"
        )
    began = time.monotonic()
    await release.scaled(2)
    await crowd.all_sit()
    [victim] = before.keys() - {pod.name for pod in await release.pods("streamer")}
    return Moved(way, before, victim, crowd.moved(began))


async def _is_advised(release: Release, connections: dict[str, int]) -> bool:
    """Kubernetes would take the emptiest."""
    costs = {pod.name: pod.cost or 0 for pod in await release.pods("streamer")}
    emptiest = min(connections, key=lambda name: connections[name])
    return all(costs[emptiest] < cost for name, cost in costs.items() if name != emptiest)


async def _said(release: Release, reason: str) -> None:
    async def told() -> bool:
        return any(one["reason"] == reason for one in await release.events("StreamerPool"))

    await eventually(told, within=60.0, what=f"event {reason}")
