"""`helm install` with servers of its own into a fresh namespace."""

from __future__ import annotations

from tests.cluster.conftest import Installed, objects_elsewhere, timed
from tests.cluster.release import Release
from tests.cluster.report import Report

ENOUGH = 180.0  # seconds from the command until everything serves, images being there


async def test_it_is_ready_soon(installed: Installed, report: Report) -> None:
    """Every pod, MongoDB and NATS among them, with no operator and no other CRD in the cluster."""
    report.seconds("helm install until everything is ready", installed.seconds)
    assert await installed.release.unready() == []
    assert installed.seconds < ENOUGH


async def test_the_notes_say_what_to_do_and_what_to_mind(installed: Installed) -> None:
    """The commands in them are those of this release."""
    release, notes = installed.release, installed.notes
    assert f"helm --namespace {release.namespace.name} test {release.name}" in notes
    assert f"rollout status deployment/{release.streamers}" in notes
    assert f"service/{release.full_name}-gateway" in notes
    assert "MongoDB is the development server" in notes
    assert "NATS is a single server" in notes
    assert "Their number is not set by this chart" in notes


async def test_nothing_outside_of_the_namespace_is_touched(installed: Installed) -> None:
    """Not one object, cluster-scoped ones included."""
    namespace = installed.release.namespace
    assert await objects_elsewhere(namespace) - installed.before == frozenset()


async def test_no_pod_was_restarted(release: Release) -> None:
    """Whatever came up first waited for the rest."""
    pods = [
        pod
        for component in ("streamer", "gateway", "stream-hub", "account", "messaging", "nats")
        for pod in await release.pods(component)
    ]
    assert len(pods) >= 6
    assert {pod.name: pod.restarts for pod in pods if pod.restarts} == {}


async def test_helm_test_sends_a_message_through_two_sockets(
    release: Release, report: Report
) -> None:
    """The pod of `helm test` runs in the cluster and leaves nothing."""
    async with timed(report, "helm test"):
        told = await release.namespace.helm("test", release.name, within=180)
    assert "Phase:          Succeeded" in told
    assert await release.pods("selftest") == []
