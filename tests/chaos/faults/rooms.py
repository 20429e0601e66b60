"""Faults that concern single events and memberships."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from tests.chaos.faults.brokers import LIVE
from tests.chaos.faults.table import DRILL, Scene, fault
from tests.chaos.history import Ack, Send
from tests.chaos.load import Load
from tests.chaos.stage import Options
from tests.chaos.wire import opened
from tests.waiting import eventually

COPIES = 10  # events about one message, at most
AHEAD = 30  # seconds
QUIET = 3.0  # seconds in which nothing else is said, so that only a watermark can tell


@fault("F20", "last event of a quiet room lost", bound=2.0, small=True)
async def tail_lost(scene: Scene) -> None:
    """One message is said in a room where nothing follows, and no streamer gets the event.

    Bound: 1 s until the watermark names the room, 0.5 s of its patience, one look at the log.
    """
    (room,) = (one for one in scene.rooms if one.quiet)
    owner = room.writers[0]
    url = scene.dice.choice(scene.stage.streamers).web_socket
    async with opened(url, lambda _: None, lambda _: None) as (wire, _):
        await wire.connect()
        await wire.call("login", {"resume": scene.tokens[owner]})
        for number in range(2):
            message = f"{scene.mark}{scene.dice.getrandbits(64):016x}"
            lost = await scene.stage.links.lost()
            # The room itself changes with its message: neither event may arrive.
            subject = f"{LIVE}room."
            await scene.stage.links.lose("ddp-streamer-*", subject, message, times=COPIES)
            body = f"{DRILL}-{owner}:{number}"
            said: dict[str, Any] = {
                "proc": DRILL, "room": room.id, "id": message, "user": owner,
            }  # fmt: skip
            scene.broken(message)
            scene.recorder.write(Send(**said, body=body))
            stored = await wire.call("sendMessage", {"_id": message, "rid": room.id, "msg": body})
            scene.recorder.write(Ack(**said, ts=int(stored["ts"]["$date"])))

            async def is_lost(lost: int = lost) -> bool:
                return await scene.stage.links.lost() > lost

            await eventually(is_lost, within=20.0, what="the event was kept from a streamer")
            scene.healed()
            await scene.lasts(QUIET)
    await scene.stage.links.clear()


def _moving(options: Options) -> Options:
    return replace(options, linked_clients=True)


def _many_edits(load: Load) -> Load:
    return replace(load, edits=max(5.0, load.edits))


@fault(
    "F26b", "dates of rooms 30 s ahead, as if the primary's clock were 30 s behind", bound=5.0,
    options=_moving, load=_many_edits,
)  # fmt: skip
async def clock_behind(scene: Scene) -> None:
    """The youngest dates of all rooms lie 30 s in the future of the primary's clock: so a primary
    finds them whose clock is 30 s behind its predecessor's. They are written by hand, in the
    middle of the talk; nobody's clock is touched. Order and dates go on from there. Clients that
    come back meanwhile ask what they missed since a date in the future, and are told.

    Bound: as for a streamer's clients that have to reconnect.
    """
    ids = [room.id for room in scene.rooms]
    ahead = {"$dateAdd": {"startDate": "$lm", "unit": "second", "amount": AHEAD}}
    async with scene.stage.database.database() as database:
        scene.broken(f"{len(ids)} rooms")
        moved = await database["rocketchat_room"].update_many(
            {"_id": {"$in": ids}}, [{"$set": {"lm": ahead, "tsHigh": ahead}}]
        )
        assert moved.modified_count == len(ids), f"only {moved.modified_count} rooms were moved"
    began = time.monotonic()
    # All clients come back twice, some at a time, before the clock has caught up.
    for _ in range(2):
        for streamer in scene.stage.streamers:
            await scene.lasts(AHEAD / 6 / len(scene.stage.streamers))
            await scene.stage.links.drop(f"clients>{streamer.name}")
    await scene.lasts(AHEAD * 2 / 3 - (time.monotonic() - began))
    scene.healed()


def _many_removals(load: Load) -> Load:
    return replace(load, removals=max(10.0, load.removals * 2))


@fault("F29", "removals racing with sends", bound=2.0, small=True, load=_many_removals)
async def removals(scene: Scene) -> None:
    """About a hundred people are removed and invited again while everybody talks. None of them
    gets a message that follows his removal.

    Bound: that of any message; nobody may wait longer because others go.
    """
    scene.broken()
    await scene.lasts(10.0)
    scene.healed()
