"""Faults of NATS."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from hubbub.contracts.event_log import LOG_STREAM
from tests.chaos.faults.table import Scene, fault
from tests.chaos.programs import Program
from tests.chaos.stage import Service
from tests.waiting import eventually

LIVE = "hubbub.v1.live."
"""Subjects on which streamers get events."""


@fault("F14", "NATS server of a streamer killed", bound=2.0, small=True)
async def server_of_a_streamer_killed(scene: Scene) -> None:
    """A streamer loses its NATS server, which does not lead the log. It connects to another one;
    what was on its way is found by the chain of sequences.

    Bound: milliseconds to connect, one look at the log, and the watermark for lost tails.
    """
    streamer = scene.dice.choice(scene.stage.streamers)
    server = await _away_from_leader(scene, streamer)
    scene.broken(f"{server.name}, server of {streamer.name}")
    await server.kill()
    await scene.lasts(3.0)
    server.start()
    scene.healed()


@fault("F15", "log leader killed, frozen, terminated", bound=10.0)
async def log_leader_lost(scene: Scene) -> None:
    """The NATS server that leads the stream of events goes in three ways. Publishes are retried;
    nothing comes twice.

    Bound: an election of JetStream (6 s) and the hub's own patience.
    """
    await log_leader_killed(scene)
    await scene.apart()

    leader = await scene.stage.broker.log_leader()
    scene.broken(f"{leader.name} frozen")
    leader.freeze()
    await scene.lasts(10.0)
    leader.thaw()
    await scene.stage.broker.settled()
    scene.healed()
    await scene.apart()

    leader = await scene.stage.broker.log_leader()
    scene.broken(f"{leader.name} terminated")
    await leader.terminate()
    leader.start()
    await scene.stage.broker.settled()
    scene.healed()


async def log_leader_killed(scene: Scene) -> None:
    """The first way, which another fault uses too."""
    leader = await scene.stage.broker.log_leader()
    scene.broken(f"{leader.name} killed")
    await leader.kill()
    await scene.stage.broker.log_leader()
    leader.start()
    await scene.stage.broker.settled()
    scene.healed()


@fault("F16", "all NATS servers killed and restarted", bound=15.0)
async def all_servers_killed(scene: Scene) -> None:
    """The whole bus dies and comes back with what it had on disk. Calls are answered "try again";
    the log goes on, or becomes a new one and clients load anew.

    Bound: an election, reconnects, and the comparison of the log with the checkpoint.
    """
    scene.broken()
    for server in scene.stage.broker.members:
        await server.kill()
    await scene.lasts(1.0)
    for server in scene.stage.broker.members:
        server.start()
    scene.healed()


@fault("F19", "lossy republish for 60 s", bound=3.0)
async def lossy(scene: Scene) -> None:
    """Every 2 s some events do not arrive at a streamer, and then its connection ends or, every
    other time, does not end: then only the chain and the watermark tell.

    Bound: 1 s until the watermark, 0.5 s of its patience, and one look at the log.
    """
    scene.broken()
    for round_ in range(round(30 * scene.scale)):
        streamer = scene.dice.choice(scene.stage.streamers)
        await scene.stage.links.lose(f"{streamer.name}>*", LIVE, times=scene.dice.randint(1, 5))
        await scene.lasts(scene.dice.uniform(0.05, 0.3))
        if round_ % 2:
            await scene.stage.links.drop(f"{streamer.name}>*")
        await scene.lasts(1.8)
    await scene.stage.links.clear()
    scene.healed()
    assert await scene.stage.links.lost(), "nothing was lost: the fault did not happen"


async def _away_from_leader(scene: Scene, streamer: Service) -> Program:
    """The server of a streamer, once that is none that leads the log."""
    leader = await scene.stage.broker.log_leader()
    links = scene.stage.links
    if await scene.stage.nats_of(streamer) is leader:
        await links.cut(f"{streamer.name}>{leader.name}")

        async def moved() -> bool:
            return await scene.stage.nats_of(streamer) is not leader

        await eventually(moved, within=20.0, what=f"{streamer.name} is on another server")
        await asyncio.sleep(1.0)  # what the move cost is no cost of the fault
        await links.clear()
    return await scene.stage.nats_of(streamer)


@fault("F17", "streams set back to an older copy, wiped", bound=15.0)
async def streams_replaced(scene: Scene) -> None:
    """The disks of NATS are replaced: by a copy of what they held some seconds ago, and by empty
    ones. The hub notices that this is not the log it wrote; clients load anew.

    Bound: as for the restart of all servers.
    """
    broker = scene.stage.broker
    await _all_servers(scene, kill=False)
    stores = [broker.store(one) for one in broker.members]
    for store in stores:
        await asyncio.to_thread(shutil.copytree, store, _older(store))
    for server in broker.members:
        server.start()
    await scene.stage.healthy()
    await scene.apart()

    def restored(store: Path) -> None:
        shutil.rmtree(store)
        _older(store).rename(store)

    for what, replaced in (("an older copy", restored), ("empty disks", shutil.rmtree)):
        scene.broken(what)
        await _all_servers(scene, kill=True)
        for store in stores:
            await asyncio.to_thread(replaced, store)
        for server in broker.members:
            server.start()
        scene.healed()
        await scene.stage.healthy()
        await scene.apart()


def _older(store: Path) -> Path:
    return store.with_suffix(".older")


async def _all_servers(scene: Scene, *, kill: bool) -> None:
    servers = scene.stage.broker.members
    await asyncio.gather(*(one.kill() if kill else one.terminate() for one in servers))


@fault("F18", "event log deleted", bound=15.0)
async def log_deleted(scene: Scene) -> None:
    """An administrator deletes the stream of events. The hub makes a new one, and what was not
    told before is told there; clients load anew.

    Bound: 2 s until a publish is given up, a look at the log, and the making of another one.
    """
    scene.broken()
    async with scene.stage.broker.client() as client:
        assert await client.jetstream().delete_stream(LOG_STREAM), "it was not deleted"
    scene.healed()
