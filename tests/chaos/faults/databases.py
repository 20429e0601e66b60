"""Faults of MongoDB."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import bson
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from tests.chaos.faults.table import Scene, fault
from tests.chaos.stage import Options

_DISK = 400  # megabytes: a journal, some messages, and room for what others do
_NOTICED = 60.0  # seconds
_FAR = 100_000_000_000_000_000  # milliseconds since 1970: some three million years
_LARGE = 15_000_000  # bytes; a document may have 16 MiB
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


def _small_disk(options: Options) -> Options:
    # What is written shows at the next checkpoint; until then the journal has room.
    return replace(options, database=replace(options.database, small_disk=_DISK, sync_delay=2))


def _not_root(options: Options) -> str | None:
    return None if os.geteuid() == 0 else "only root may make a disk that is small"


@fault("F27", "disk of the primary full", bound=30.0, options=_small_disk, unable=_not_root)
async def disk_full(scene: Scene) -> None:
    """The disk of the primary takes nothing any more. It ends itself, and another one is elected;
    then there is room again, and it comes back.

    Bound: 30 s, until the database has noticed.
    """
    database = scene.stage.database
    primary = database.members[0]
    await database.step_up(1)
    await scene.apart()
    ballast = database.data(1) / "ballast"
    scene.broken(primary.name)
    try:
        await asyncio.to_thread(_fill, ballast)
        await primary.gone(within=_NOTICED)
    finally:
        ballast.unlink()
    await database.primary()
    primary.start()
    scene.healed()
    await scene.stage.healthy()


def _fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as ballast:
        for piece in (1024 * 1024, 4096):
            with suppress(OSError):
                while ballast.write(bytes(piece)) == piece:
                    pass


@fault("F30", "poison documents", bound=5.0)
async def poison(scene: Scene) -> None:
    """A foreign tool writes messages that no service would: with a date in the year three
    million, with broken letters, and one so large that the change of it is larger than MongoDB
    can tell. They are clamped, or passed over and said; the hub lives and goes on.

    Bound: three tries at the change that cannot be read.
    """
    room = f"{scene.mark}poison"
    now = datetime.now(UTC)
    usual = {"rid": room, "ts": now, "_updatedAt": now, "u": {"_id": "poison"}}
    broken_letters = bson.encode({"_id": f"{room}-2", **usual, "msg": "broken", "alias": "AAAA"})
    async with scene.stage.database.database() as database:
        messages = database["rocketchat_message"]
        raw = database.get_collection(
            "rocketchat_message", codec_options=CodecOptions(document_class=RawBSONDocument)
        )
        scene.broken()
        far = DatetimeMS(_FAR)
        await messages.insert_one({"_id": f"{room}-1", **usual, "msg": "far", "ts": far})
        await raw.insert_one(RawBSONDocument(broken_letters.replace(b"AAAA", b"\xff\xfe\xc3\x28")))
        large = {"_id": f"{room}-3", **usual, "msg": "large", "ballast": "a" * _LARGE}
        await messages.insert_one(large)
        await messages.update_one({"_id": large["_id"]}, {"$set": {"ballast": "b" * _LARGE}})
        scene.healed()
        await scene.apart()
        await messages.delete_many({"rid": room})
