"""Faults of the processes that hold the clients' sockets."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace

from tests.chaos.faults.table import Scene, fault
from tests.chaos.stage import STREAMER, Options, Service


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


def _one_more(options: Options) -> Options:
    """A stage with one streamer more."""
    return replace(options, copies={**options.copies, STREAMER: options.copies[STREAMER] + 1})


@fault("F3", "streamers restarted in turn, scaled to 1 and up", bound=5.0, options=_one_more)
async def streamers_replaced(scene: Scene) -> None:
    """All streamers but a last one are asked to end and started again, one after the other, as
    in an upgrade. Then all but one go at once, and all come, one more than there were. Each says
    goodbye to its clients, who find another one.

    Bound: the clients' own delay until they reconnect (3 s here at most) and 2 s.
    """
    *streamers, spare = scene.stage.streamers
    await spare.program.terminate()
    await scene.apart()
    await restarted_in_turn(scene, streamers)
    await scene.apart()

    scene.broken("all but one")
    # Whoever came last has no clients yet: this is the one that they all have to find.
    *others, last = streamers
    for streamer in others:
        streamer.program.signal(signal.SIGTERM)
    for streamer in others:
        await streamer.program.gone()
    await scene.lasts(2.0)
    for streamer in [*others, spare]:
        streamer.program.start()
    await scene.stage.ready([*others, last, spare])
    scene.healed()


async def restarted_in_turn(scene: Scene, streamers: Sequence[Service]) -> None:
    """Each is asked to end, and started again, before the next one is."""
    scene.broken("one after the other")
    for streamer in streamers:
        await streamer.program.terminate()
        streamer.program.start()
        await scene.stage.ready([streamer])
    scene.healed()
