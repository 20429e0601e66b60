"""Faults of the processes that hold the clients' sockets."""

from __future__ import annotations

from tests.chaos.faults.table import Scene, fault


@fault("F1", "streamer kill -9", bound=5.0, small=True)
async def streamer_killed(scene: Scene) -> None:
    """A streamer dies at once. Its clients reconnect and recover; the others notice nothing.

    Bound: the clients' own delay until they reconnect (3 s here at most) and 2 s.
    """
    victim = scene.dice.choice(scene.stage.streamers)
    scene.broken(victim.name)
    await victim.program.kill()
    await scene.lasts(2.0)
    victim.program.start()
    scene.healed()


@fault("F2", "streamer frozen 20 s", bound=5.0, after_heal=True)
async def streamer_frozen(scene: Scene) -> None:
    """A streamer stands still as a paused machine does, and goes on. What it missed it fetches
    before it forwards anything else, or it sends its clients away with 1012.

    Bound: 5 s after it goes on.
    """
    victim = scene.dice.choice(scene.stage.streamers)
    scene.broken(victim.name)
    victim.program.freeze()
    await scene.lasts(20.0)
    victim.program.thaw()
    scene.healed()
