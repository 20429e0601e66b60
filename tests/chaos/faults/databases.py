"""Faults of MongoDB."""

from __future__ import annotations

import asyncio

from tests.chaos.faults.table import Scene, fault

_IN_FLIGHT = 1.5  # seconds in which writes wait for a majority that does not answer


@fault("F8", "primary step-down", bound=2.0, small=True)
async def primary_steps_down(scene: Scene) -> None:
    """The primary makes room, as in an upgrade. Retryable writes hide it.

    Bound: 1 s without acknowledgements, 1 s without events.
    """
    primary = await scene.stage.database.primary()
    scene.broken(primary.name)
    await scene.stage.database.step_down()
    await scene.stage.database.primary()
    scene.healed()


@fault("F9", "primary kill -9 with writes in flight", bound=5.0 + _IN_FLIGHT)
async def primary_killed(scene: Scene) -> None:
    """The primary dies with writes that no majority has: the secondaries stand still before, so
    that what it stores is on its disk alone. It comes back and has to roll that back.

    Those who sent get no answer, or one that says "unknown", and repeat.

    Bound: an election (2 s) and 3 s, and the time that the secondaries stand still before.
    """
    primary = await scene.stage.database.primary()
    others = await scene.stage.database.secondaries()
    scene.broken(primary.name)
    for other in others:
        other.freeze()
    await scene.lasts(_IN_FLIGHT)
    await primary.kill()
    for other in others:
        other.thaw()
    await scene.stage.database.primary()
    primary.start()
    scene.healed()


@fault("F10", "primary frozen 20 s", bound=15.0)
async def primary_frozen(scene: Scene) -> None:
    """The primary stands still with all connections open. Only time-outs show it; the others
    elect, and what it wakes up with was never acknowledged.

    Bound: 10 s of a socket's patience, and an election.
    """
    primary = await scene.stage.database.primary()
    scene.broken(primary.name)
    primary.freeze()
    await scene.lasts(20.0)
    primary.thaw()
    scene.healed()


@fault("F11", "one secondary dead", bound=2.0)
async def secondary_killed(scene: Scene) -> None:
    """A secondary dies and comes back. Nobody notices.

    Bound: none is promised; 2 s is what a busy machine may take for an answer.
    """
    victim = scene.dice.choice(await scene.stage.database.secondaries())
    scene.broken(victim.name)
    await victim.kill()
    await scene.lasts(5.0)
    victim.start()
    scene.healed()


@fault("F12", "no primary 30 s", bound=5.0, after_heal=True)
async def no_primary(scene: Scene) -> None:
    """Two of three nodes are dead: nothing can be written. Sends are answered "try again"
    within 6 s, and sockets stay open.

    Bound: 5 s after there is a primary again.
    """
    victims = [await scene.stage.database.primary(), *await scene.stage.database.secondaries()][:2]
    scene.broken(", ".join(victim.name for victim in victims))
    await asyncio.gather(*(victim.kill() for victim in victims))
    await scene.lasts(30.0 * scene.scale)
    for victim in victims:
        victim.start()
    await scene.stage.database.primary(within=60.0)
    scene.healed()
