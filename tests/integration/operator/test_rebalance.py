"""Moving connections off the fullest streamer: late, slowly, and no further than needed."""

from __future__ import annotations

import pytest

from tests.integration.operator.harness import Harness

pytestmark = pytest.mark.integration

REBALANCE = {"enabled": True, "percentPerMinute": 6}


async def uneven(world: Harness, **spec: object) -> None:
    """One streamer with 1000 connections beside two new ones."""
    await world.cluster_of(3, streamer_1=1000, streamer_2=0, streamer_3=0)
    world.api.make_pool(rebalance=spec)
    await world.look()


async def test_it_begins_after_five_minutes(world: Harness) -> None:
    """And only if somebody asked for it."""
    await uneven(world, **REBALANCE)
    world.advance(290)
    await world.look()
    assert world.api.condition("Balanced")["reason"] == "Uneven"
    assert world.api.reasons() == []

    world.advance(11)
    await world.look()
    assert world.api.condition("Balanced")["reason"] == "Rebalancing"
    assert world.api.reasons() == ["RebalanceStarted"]


async def test_it_does_not_begin_unasked(world: Harness) -> None:
    """Uneven is only said."""
    await uneven(world)
    world.advance(3600)
    await world.look(2)

    assert world.api.condition("Balanced")["status"] == "False"
    assert world.fleet.by_pod["streamer-1"].shed_asked == []


async def test_it_waits_for_the_end_of_a_rollout(world: Harness) -> None:
    """A rollout moves everybody anyway."""
    await uneven(world, **REBALANCE)
    world.advance(400)
    world.api.deployments["streamer"]["status"]["updatedReplicas"] = 1
    await world.look(2)
    assert world.api.condition("Balanced")["reason"] == "Uneven"

    world.api.deployments["streamer"]["status"]["updatedReplicas"] = 3
    await world.look()
    assert world.api.condition("Balanced")["reason"] == "Rebalancing"


async def test_the_budget_holds_whatever_the_pace_of_passes(world: Harness) -> None:
    """6 % of 1000 in a minute: 60 at most, one per second, also across restarts."""
    await uneven(world, **REBALANCE)
    world.advance(301)
    await world.look()
    asked = world.fleet.by_pod["streamer-1"].shed_asked
    for second in range(60):
        world.advance(1)
        if second in (20, 40):
            await world.restart_operator()
        await world.look()

    assert 50 <= sum(asked) <= 60
    assert max(asked) <= 2


async def test_time_without_an_operator_is_not_made_up_for(world: Harness) -> None:
    """After an hour away it asks for a minute's share, not for an hour's."""
    await uneven(world, **REBALANCE)
    world.advance(301)
    await world.look()
    world.advance(3600)
    await world.look()

    assert world.fleet.by_pod["streamer-1"].shed_asked == [60]


async def test_it_ends_when_the_pool_is_even(world: Harness) -> None:
    """Below 1.2 times the mean, and not before; then it needs another five minutes."""
    await uneven(world, **REBALANCE)
    world.advance(301)
    await world.look()
    world.fleet.hold(streamer_1=400, streamer_2=320, streamer_3=280)  # 1.2
    await world.look()
    assert world.api.condition("Balanced")["reason"] == "Rebalancing"

    world.fleet.hold(streamer_1=395)
    await world.look()
    assert world.api.condition("Balanced")["status"] == "True"
    assert "shedUntil" not in world.api.status()

    world.fleet.hold(streamer_1=1000)
    await world.look(2)
    assert world.api.condition("Balanced")["reason"] == "Uneven"


async def test_no_more_than_the_surplus_is_moved(world: Harness) -> None:
    """Four connections fewer are below the target, whatever the budget allows."""
    await uneven(world, enabled=True, percentPerMinute=100)
    world.advance(301)
    await world.look()
    world.fleet.hold(streamer_1=403, streamer_2=300, streamer_3=297)  # mean 333.3, 1.2 × is 400
    world.advance(60)
    await world.look()

    assert world.fleet.by_pod["streamer-1"].shed_asked == [4]
