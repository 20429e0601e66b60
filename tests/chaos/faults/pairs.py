"""Two faults at once: what one of them needs to be mended is what the other one takes away."""

from __future__ import annotations

import asyncio

from tests.chaos.faults import brokers, databases, hubs, streamers
from tests.chaos.faults.table import FAULTS, Inject, Scene, fault


async def _both(scene: Scene, first: Inject, second: Inject) -> None:
    """Both begin within a second, one of them first."""
    faults = [first, second]
    scene.dice.shuffle(faults)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(faults[0](scene))
        await scene.lasts(scene.dice.uniform(0.0, 1.0))
        tasks.create_task(faults[1](scene))


def _sum(first: str, second: str) -> float:
    return FAULTS[first].bound + FAULTS[second].bound


@fault("F32a", "hub leader frozen, log leader killed (F5 + F15)", bound=_sum("F5", "F15"))
async def hub_and_log(scene: Scene) -> None:
    """The log has to elect while two hubs believe to lead."""
    await _both(scene, hubs.leader_frozen, brokers.log_leader_killed)


@fault("F32b", "primary steps down, streamer killed (F8 + F1)", bound=_sum("F8", "F1"))
async def primary_and_streamer(scene: Scene) -> None:
    """Clients reconnect, sign in and ask what they missed while there is no primary."""
    await _both(scene, databases.primary_steps_down, streamers.streamer_killed)


@fault("F32c", "NATS server killed, streamers restarted (F14 + F3)", bound=_sum("F14", "F3"))
async def server_and_streamers(scene: Scene) -> None:
    """Streamers end and begin while a server of NATS is away."""

    async def restarted(scene: Scene) -> None:
        await streamers.restarted_in_turn(scene, scene.stage.streamers)

    await _both(scene, brokers.server_of_a_streamer_killed, restarted)


@fault("F32d", "primary killed, hub leader killed (F9 + F4)", bound=_sum("F9", "F4"))
async def primary_and_hub(scene: Scene) -> None:
    """The standby needs a primary to lead."""
    await _both(scene, databases.primary_killed, hubs.leader_killed)
