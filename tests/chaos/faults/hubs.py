"""Faults of the processes that read the database's changes."""

from __future__ import annotations

from tests.chaos.faults.table import Scene, fault


@fault("F4", "hub leader kill -9", bound=5.0, small=True)
async def leader_killed(scene: Scene) -> None:
    """The leader dies at once; its lease runs out, and the standby leads.

    Bound: 4 s of the lease, 0.6 s until the standby asks, 0.4 s to resume.
    """
    leader = await scene.stage.leader()
    scene.broken(leader.name)
    await leader.program.kill()
    await scene.stage.leader()
    leader.program.start()
    scene.healed()


@fault("F5", "hub leader frozen 8 s, then thawed", bound=5.0)
async def leader_frozen(scene: Scene) -> None:
    """The leader stands still until another one has its place, and wakes up as the second one
    that believes to lead. Whatever it still publishes does not count.

    Bound: as for its death.
    """
    leader = await scene.stage.leader()
    scene.broken(leader.name)
    leader.program.freeze()
    await scene.lasts(8.0)
    leader.program.thaw()
    scene.healed()


@fault("F6", "both hubs dead 60 s", bound=5.0, after_heal=True)
async def no_hub(scene: Scene) -> None:
    """Nobody reads the changes for a minute. Sends succeed meanwhile; then everything arrives,
    in order.

    Bound: 5 s after the hubs were started, and the time that Python takes to start.
    """
    scene.broken()
    for hub in scene.stage.hubs:
        await hub.program.kill()
    await scene.lasts(60.0 * scene.scale)
    for hub in scene.stage.hubs:
        hub.program.start()
    await scene.stage.leader()
    scene.healed()
