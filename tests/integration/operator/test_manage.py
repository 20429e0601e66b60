"""Mode Manage: a scale-in cuts the fewest connections, whatever happens in the middle of it."""

from __future__ import annotations

import pytest

from services.operator.domain.costs import LOWEST
from tests.integration.operator.fake_api import Refused, Request
from tests.integration.operator.harness import Harness, harness

pytestmark = pytest.mark.integration


async def managed(world: Harness, desired: int) -> None:
    """Five streamers, two of them rather empty, of which `desired` should stay."""
    await world.cluster_of(
        5, streamer_1=400, streamer_2=30, streamer_3=500, streamer_4=10, streamer_5=300
    )
    world.api.make_pool(mode="Manage", replicas=5)
    await world.look()
    world.api.change_pool(replicas=desired)


async def test_the_emptiest_pods_drain_and_go(world: Harness) -> None:
    """The deployment keeps its replicas until they are empty."""
    await managed(world, 3)
    await world.look(3)

    assert world.fleet.draining == ["streamer-2", "streamer-4"]
    assert world.api.replicas == 5
    assert world.api.cost("streamer-2") == world.api.cost("streamer-4") == LOWEST
    phases = {pod["name"]: pod["phase"] for pod in world.api.status()["pods"]}
    assert phases["streamer-2"] == phases["streamer-4"] == "Draining"
    assert phases["streamer-1"] == "Serving"
    assert world.api.condition("Draining")["status"] == "True"
    assert world.api.condition("Progressing")["reason"] == "ScalingIn"

    world.fleet.empty_draining()
    await world.look(2)

    assert world.api.replicas == 3
    assert sorted(world.api.deleted) == ["streamer-2", "streamer-4"]
    assert world.fleet.cut == {"streamer-2": 0, "streamer-4": 0}
    assert world.api.status()["appliedReplicas"] == 3
    assert "applyingReplicas" not in world.api.status()
    assert world.api.reasons() == [
        "ScaleInPlanned",
        "DrainStarted",
        "DrainStarted",
        "DrainFinished",
        "DrainFinished",
    ]
    assert world.api.condition("Progressing")["status"] == "False"


async def test_one_empty_pod_waits_for_the_other(world: Harness) -> None:
    """Both go together: the one that is through would be taken for either."""
    await managed(world, 3)
    await world.look(2)
    world.fleet.empty("streamer-4")
    await world.look(3)

    assert world.api.replicas == 5

    world.fleet.empty("streamer-2")
    await world.look()

    assert world.api.replicas == 3


async def test_a_drained_streamer_that_was_started_again_is_told_again(world: Harness) -> None:
    """Kubernetes starts a process that ended again; it must not collect connections."""
    await managed(world, 3)
    await world.look(2)
    reborn = await world.fleet.restart("streamer-4")
    await world.look()

    assert reborn.draining
    phases = {pod["name"]: pod["phase"] for pod in world.api.status()["pods"]}
    assert phases["streamer-4"] == "Drained"
    assert world.api.replicas == 5

    await world.fleet.restart("streamer-2")
    await world.look()

    assert world.api.replicas == 3
    assert sorted(world.api.deleted) == ["streamer-2", "streamer-4"]


async def test_patience_ends(world: Harness) -> None:
    """A streamer that does not get empty goes all the same, and that is told."""
    await managed(world, 4)
    await world.look(2)
    world.advance(601)
    await world.look()

    assert world.api.replicas == 4
    assert world.api.deleted == ["streamer-4"]
    assert world.api.reasons()[-1] == "DrainTimedOut"
    assert world.api.events[-1]["type"] == "Warning"
    assert "10 connections" in world.api.events[-1]["message"]


async def test_more_replicas_in_the_middle_start_others(world: Harness) -> None:
    """Who has begun to drain goes; others are started in their place."""
    await managed(world, 3)
    await world.look(2)
    world.api.change_pool(replicas=5)
    await world.look()

    assert world.api.replicas == 7
    assert world.api.deleted == []

    await world.look()
    world.fleet.empty_draining()
    await world.look(2)

    assert world.api.replicas == 5
    assert sorted(world.api.deleted) == ["streamer-2", "streamer-4"]
    assert "ManualScaleAdopted" not in world.api.reasons()


async def test_who_has_not_begun_is_spared(world: Harness) -> None:
    """Its mark goes away as well, or Kubernetes would take it next time."""
    await managed(world, 3)
    for streamer in world.fleet.by_pod.values():
        streamer.instance = "nobody"  # the commands do not arrive
    await world.look(2)
    assert world.api.cost("streamer-4") == LOWEST

    world.api.change_pool(replicas=5)
    await world.look(2)

    assert world.api.replicas == 5
    assert world.fleet.draining == []
    costs = {pod: world.api.cost(pod) for pod in world.api.pods}
    assert LOWEST not in costs.values()


async def test_somebody_scales_by_hand(world: Harness) -> None:
    """The pool takes over what they wanted, and never takes it back."""
    await managed(world, 5)
    await world.look()
    world.api.kubectl_scale(7)
    await world.look(3)

    assert world.api.replicas == 7
    assert world.api.pools["streamers"]["spec"]["replicas"] == 7
    assert world.api.reasons() == ["ManualScaleAdopted"]
    assert world.api.status()["appliedReplicas"] == 7


async def test_somebody_scales_by_hand_during_a_drain(world: Harness) -> None:
    """What they want counts; the batch is forgotten."""
    await managed(world, 3)
    await world.look(2)
    world.api.kubectl_scale(6)
    await world.look(3)

    assert world.api.replicas == 6
    assert world.api.pools["streamers"]["spec"]["replicas"] == 6
    assert world.api.reasons().count("ManualScaleAdopted") == 1


async def test_scaling_out_is_immediate(world: Harness) -> None:
    """There is nothing to wait for."""
    await managed(world, 8)
    await world.look()

    assert world.api.replicas == 8
    assert len(world.api.pods) == 8


async def test_no_pods_are_chosen_during_a_rollout(world: Harness) -> None:
    """Nobody knows which of them stay."""
    await managed(world, 3)
    world.api.deployments["streamer"]["status"]["updatedReplicas"] = 2
    await world.look(2)

    assert world.fleet.draining == []
    assert world.api.condition("Progressing")["reason"] == "RolloutRunning"

    world.api.deployments["streamer"]["status"]["updatedReplicas"] = 5
    await world.look()

    assert world.fleet.draining == ["streamer-2", "streamer-4"]


async def test_nobody_is_chosen_before_everybody_was_heard(world: Harness) -> None:
    """A newly started operator would take a full streamer for an empty one."""
    await managed(world, 3)
    await world.restart_operator()
    await world.look(2, report=False)

    assert "pods" in world.api.status()
    assert world.fleet.draining == []
    assert world.api.condition("Progressing")["reason"] == "LoadUnknown"

    await world.look()

    assert world.fleet.draining == ["streamer-2", "streamer-4"]


async def test_the_window_is_wider_when_few_remain(world: Harness) -> None:
    """500 connections, one other streamer that bears two new ones per second: 250 s."""
    await world.cluster_of(2, streamer_1=600, streamer_2=500)
    world.api.make_pool(mode="Manage", replicas=2, drain={"maxReconnectRatePerPod": 2})
    await world.look()
    world.api.change_pool(replicas=1)
    await world.look()

    assert world.fleet.by_pod["streamer-2"].windows == [250.0]


async def test_marks_stay_until_the_pods_are_deleted(world: Harness) -> None:
    """Kubernetes may take a while; until then the marks say which pods it is to take."""
    await managed(world, 3)
    await world.look(2)
    world.fleet.empty("streamer-2", "streamer-4")
    world.api.surge_pending = True
    await world.look(4)

    assert world.api.replicas == 3
    assert len(world.api.pods) == 5
    assert world.api.cost("streamer-2") == world.api.cost("streamer-4") == LOWEST

    world.api.settle()
    assert sorted(world.api.deleted) == ["streamer-2", "streamer-4"]


async def test_another_owner_of_the_costs_ends_the_choosing(world: Harness) -> None:
    """Draining chosen pods is useless when another decides who goes; the scale-in still happens."""
    await managed(world, 3)
    world.api.annotate("streamer-1", 7, manager="karpenter")
    await world.look(2)

    assert world.api.replicas == 3
    assert world.fleet.draining == []
    assert world.api.condition("DeletionCostConflict")["status"] == "True"


class Crashed(Exception):
    """The operator died here."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("final", [3, 5])
async def test_the_operator_may_die_at_any_request(moment: str, final: int) -> None:
    """Killed before or after each single request that changes something, and started again: the
    same pods go, empty, and nobody's change is taken for a person's.

    The scale-in from 5 to 3 runs to its end, or is taken back in the middle (`final` 5).
    """
    crashes = 0
    while True:
        async with harness() as world:
            await managed(world, 3)
            died = await _scale_with_crash(world, moment, after=crashes, final=final)
            assert world.api.replicas == final
            assert sorted(world.api.deleted) == ["streamer-2", "streamer-4"]
            assert set(world.fleet.cut.values()) == {0}
            assert world.api.pools["streamers"]["spec"]["replicas"] == final
            assert "ManualScaleAdopted" not in world.api.reasons()
            assert LOWEST not in {world.api.cost(pod) for pod in world.api.pods}
            leaving = [pod for pod in world.api.status()["pods"] if "drainSince" in pod]
            assert leaving == []
        if not died:
            break
        crashes += 1
    assert crashes > 10


async def _scale_with_crash(world: Harness, moment: str, *, after: int, final: int) -> bool:
    """Whether the operator died: at its change number `after`, counted from zero."""
    left = after
    died = False

    def strike(_: Request) -> None:
        nonlocal left, died
        if died:
            return
        if left == 0:
            died = True
            raise Refused(500, "Crashed")
        left -= 1

    setattr(world.api, moment, strike)
    for turn in range(14):
        dead_before = died
        try:
            await world.look()
        except Exception:
            assert died
        if died and not dead_before:
            await world.restart_operator()
        if turn == 5 and final == 5:
            world.api.change_pool(replicas=5)
        if turn >= 7:
            world.fleet.empty_draining()
    return died
