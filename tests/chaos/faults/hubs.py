"""Faults of the processes that read the database's changes."""

from __future__ import annotations

import os
from dataclasses import replace

from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from tests.chaos.database import Document
from tests.chaos.faults.table import Scene, fault
from tests.chaos.stage import Options
from tests.waiting import eventually

_MEGABYTE = 1024 * 1024
_LEASES, _LEASE = "hubbub_leases", "stream-hub"


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


def _linked_database(options: Options) -> Options:
    return replace(options, linked_database=True)


@fault("F7", "hub cut from MongoDB, from NATS", bound=6.0, options=_linked_database)
async def leader_cut_off(scene: Scene) -> None:
    """The leader reaches NATS, but no MongoDB: its lease runs out. Then the leader reaches
    MongoDB, but no NATS: it gives the lease back. Each time the other one leads.

    Bound: as for its death, and 1 s more until a leader that cannot publish gives up.
    """
    links = scene.stage.links
    leader = await scene.stage.leader()
    instance = await _holder(scene)
    scene.broken(f"{leader.name} from MongoDB")
    await links.cut("mongo-*", greeting=instance)
    leader = await scene.stage.leader(instead_of=leader)
    await links.clear()
    scene.healed()
    await scene.apart()

    leader = await scene.stage.leader()
    scene.broken(f"{leader.name} from NATS")
    await links.cut(f"{leader.name}>*")
    await scene.stage.leader(instead_of=leader)
    await links.clear()
    scene.healed()


def _short_oplog(options: Options) -> Options:
    small = replace(options.database, oplog_megabytes=8, sync_delay=2)
    return replace(options, database=small)


@fault("F13", "oplog rolled past the checkpoint", bound=15.0, after_heal=True, options=_short_oplog)
async def history_lost(scene: Scene) -> None:
    """While no hub runs, so much is written that the database forgets what came after the last
    place that a hub had seen. The hub says so once, and clients load anew.

    Bound: 15 s after the hubs were started.
    """
    database = scene.stage.database
    scene.broken()
    for hub in scene.stage.hubs:
        await hub.program.kill()
    await scene.lasts(1.0)
    async with database.client() as client:
        stopped = await _oplog_end(client, 1)
        ballast = client["ballast"]["ballast"]

        async def forgotten() -> bool:
            await ballast.insert_one({"bytes": os.urandom(_MEGABYTE)})
            return await _oplog_end(client, 0) > stopped

        await eventually(forgotten, within=60.0, what="the oplog was rolled")
        await client.drop_database("ballast")
    for hub in scene.stage.hubs:
        hub.program.start()
    await scene.stage.leader()
    scene.healed()

    async def found_lost() -> bool:
        lost = 'hubbub_hub_resumes_total{outcome="lost"}'
        return await scene.stage.total(scene.stage.hubs, lost) == 1

    await eventually(found_lost, within=20.0, what="a hub finds the history lost, once")


async def _oplog_end(client: AsyncMongoClient[Document], which: int) -> Timestamp:
    """The moment of the oplog's oldest (0) or newest (1) entry."""
    order = -1 if which else 1
    entry = await client["local"]["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", order)])
    assert entry is not None, "the oplog is empty"
    moment: Timestamp = entry["ts"]
    return moment


async def _holder(scene: Scene) -> str:
    """The name under which the leader is known to MongoDB, and holds its lease."""
    async with scene.stage.database.database() as database:
        lease = await database[_LEASES].find_one({"_id": _LEASE})
    assert lease is not None, "nobody holds the lease"
    return str(lease["holder"])
