"""Mode Advise: Kubernetes learns which pods hold the fewest connections, and not too often."""

from __future__ import annotations

import pytest

from tests.integration.operator.fake_api import Refused, Request
from tests.integration.operator.harness import Harness

pytestmark = pytest.mark.integration

PATCH_POD: Request = ("patch", "", "pods")


async def test_a_scale_in_takes_the_emptiest(world: Harness) -> None:
    """The costs are in steps of 5 %; Kubernetes does the rest."""
    await world.cluster_of(3, streamer_1=500, streamer_2=90, streamer_3=300)
    world.api.make_pool()
    await world.look()

    costs = {pod: world.api.cost(pod) for pod in sorted(world.api.pods)}
    assert costs == {"streamer-1": 10, "streamer-2": 2, "streamer-3": 6}
    assert world.api.replicas == 3

    world.api.kubectl_scale(2)
    assert world.api.deleted == ["streamer-2"]


async def test_the_status_answers_what_people_ask(world: Harness) -> None:
    """Counts, the unevenness, five conditions with all their fields."""
    await world.cluster_of(2, streamer_1=300, streamer_2=100)
    world.api.make_pool()
    await world.look()
    status = world.api.status()

    assert status["replicas"] == status["readyReplicas"] == 2
    assert status["connections"] == 400
    assert status["maxConnectionsPerPod"] == 1000
    assert status["imbalance"] == "1.50"
    assert status["draining"] == 0
    assert status["selector"] == "app.kubernetes.io/component=streamer"
    assert status["observedGeneration"] == 1
    assert [pod["connections"] for pod in status["pods"]] == [300, 100]
    found = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert found == {
        "Ready": "True",
        "Progressing": "False",
        "Draining": "False",
        "Balanced": "True",
        "DeletionCostConflict": "False",
    }
    for condition in status["conditions"]:
        assert {"type", "status", "reason", "message", "lastTransitionTime"} <= set(condition)
    assert world.api.events == []


async def test_nothing_is_written_while_nothing_changes(world: Harness) -> None:
    """A second pass over the same cluster only reads."""
    await world.cluster_of(3, streamer_1=500)
    world.api.make_pool()
    await world.look(2)
    before = len(world.api.requests)
    await world.look(3)

    assert {verb for verb, _, _ in world.api.requests[before:]} == {"get", "list"}


async def test_counts_may_change_as_long_as_the_order_stays(world: Harness) -> None:
    """More connections everywhere: no pod is touched."""
    await world.cluster_of(3, streamer_1=500, streamer_2=100, streamer_3=300)
    world.api.make_pool()
    await world.look()
    written = world.api.requests.count(PATCH_POD)
    world.advance(3600)
    world.fleet.hold(streamer_1=900, streamer_2=400, streamer_3=700)
    await world.look()

    assert world.api.requests.count(PATCH_POD) == written


async def test_a_pod_is_touched_once_per_minute(world: Harness) -> None:
    """The order changed twice within it; the second change waits."""
    await world.cluster_of(2, streamer_1=500, streamer_2=100)
    world.api.make_pool()
    await world.look()
    world.fleet.hold(streamer_1=100, streamer_2=500)
    world.advance(30)
    await world.look()
    assert world.api.cost("streamer-1") == 10

    world.advance(40)
    await world.look()
    assert world.api.cost("streamer-1") == 2
    assert world.api.cost("streamer-2") == 10


async def test_the_minute_counts_across_a_restart(world: Harness) -> None:
    """When a pod was touched last stands on the pod."""
    await world.cluster_of(2, streamer_1=500, streamer_2=100)
    world.api.make_pool()
    await world.look()
    world.fleet.hold(streamer_1=100, streamer_2=500)
    await world.restart_operator()
    await world.look()

    assert world.api.cost("streamer-1") == 10


async def test_at_its_least_replicas_a_pool_needs_no_advice(world: Harness) -> None:
    """Nobody scales in there."""
    await world.cluster_of(3, streamer_1=500)
    world.api.make_pool(deletionCost={"minReplicas": 3})
    await world.look()

    assert world.api.requests.count(PATCH_POD) == 0


async def test_advice_can_be_switched_off(world: Harness) -> None:
    """Then pods are left alone."""
    await world.cluster_of(3, streamer_1=500)
    world.api.make_pool(deletionCost={"enabled": False})
    await world.look()

    assert world.api.requests.count(PATCH_POD) == 0


async def test_another_owner_is_left_alone(world: Harness) -> None:
    """The condition says so, one event tells it, and no pod is written."""
    await world.cluster_of(3, streamer_1=500)
    world.api.annotate("streamer-3", 9, manager="karpenter")
    world.api.make_pool()
    await world.look(3)

    assert world.api.cost("streamer-3") == 9
    assert world.api.requests.count(PATCH_POD) == 0
    assert world.api.condition("DeletionCostConflict")["status"] == "True"
    assert "karpenter" in world.api.condition("DeletionCostConflict")["message"]
    assert world.api.reasons() == ["DeletionCostConflict"]

    del world.api.pods["streamer-3"]["metadata"]["managedFields"]
    await world.look()
    assert world.api.condition("DeletionCostConflict")["status"] == "False"
    assert world.api.cost("streamer-1") == 10


async def test_another_owner_who_comes_in_between(world: Harness) -> None:
    """The API server refuses the write, which is not forced."""
    await world.cluster_of(2, streamer_1=500)
    world.api.make_pool()

    def other_writes(request: Request) -> None:
        if request == PATCH_POD:
            world.api.annotate("streamer-1", 3, manager="karpenter")
            world.api.annotate("streamer-2", 3, manager="karpenter")

    world.api.before = other_writes
    await world.look()

    assert world.api.condition("DeletionCostConflict")["status"] == "True"
    assert {world.api.cost(pod) for pod in world.api.pods} == {3}


async def test_a_silent_streamer_is_named(world: Harness) -> None:
    """Its operations port does not answer either: the pool is not ready, the others are advised."""
    await world.cluster_of(3, streamer_1=500, streamer_2=100)
    world.api.make_pool()
    await world.look()
    world.advance(21)
    silent = world.fleet.by_pod.pop("streamer-3")
    world.fleet.follow = _nothing  # type: ignore[method-assign]
    await world.look()

    assert world.api.condition("Ready")["reason"] == "StreamersSilent"
    assert silent.pod in world.api.condition("Ready")["message"]


async def _nothing() -> None:
    """Nobody starts a streamer."""


async def test_no_deployment(world: Harness) -> None:
    """The pool says what it misses."""
    world.api.make_pool()
    await world.keeper.look_after("streamers")

    assert world.api.condition("Ready")["reason"] == "DeploymentNotFound"
    assert world.api.reasons() == []


async def test_a_pool_that_is_gone(world: Harness) -> None:
    """There is nothing to do, and nothing held it back."""
    assert not await world.keeper.look_after("streamers")


async def test_from_manage_back_to_advise(world: Harness) -> None:
    """What was remembered for scaling is forgotten; the deployment is nobody's but people's."""
    await world.cluster_of(4, streamer_1=500, streamer_2=5, streamer_3=4, streamer_4=9)
    world.api.make_pool(mode="Manage", replicas=4)
    await world.look()
    world.api.change_pool(replicas=2)
    await world.look(2)
    world.api.change_pool(mode="Advise")
    world.fleet.empty_draining()
    await world.look(3)

    assert world.api.replicas == 4
    assert "appliedReplicas" not in world.api.status()
    assert not [pod for pod in world.api.status()["pods"] if "drainSince" in pod]


async def test_a_refused_request_stands_in_the_status(world: Harness) -> None:
    """An installation without the rights for mode Manage says so where people look."""
    await world.cluster_of(2)
    world.api.make_pool(mode="Manage", replicas=2)
    await world.look()
    world.api.change_pool(replicas=3)

    def no_scaling(request: Request) -> None:
        if request == ("patch", "apps", "deployments/scale"):
            raise Refused(403, "Forbidden", "cannot patch deployments/scale")

    world.api.before = no_scaling
    with pytest.raises(Exception, match="403 Forbidden"):
        await world.look()

    assert world.api.condition("Ready")["reason"] == "RequestRefused"
    assert "deployments/scale" in world.api.condition("Ready")["message"]
    assert world.api.replicas == 2
