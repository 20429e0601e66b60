"""What is broken anywhere in a long drill is found."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import pytest

from tests.chaos.checker import Bounds, Database, Invariant, Room, check
from tests.chaos.history import Ack, Close, Delete, Frame, Record, Resync, Sub
from tests.unit.chaos.drill import Drill, good

CALM = Bounds(growth=float("inf"))  # the samples of the random drills are noise
SEEDS = range(12)


def broken(records: list[Record], database: Database) -> set[tuple[Invariant, str]]:
    """(invariant, first word of what is said)."""
    return {(one.invariant, one.what.partition(" ")[0]) for one in check(records, database, CALM)}


def pairs(drill: Drill) -> list[tuple[Frame, Frame]]:
    """Frames of new messages that follow each other on one subscription, with nothing told
    between them."""
    latest: dict[tuple[str, str], Frame] = {}
    found = []
    for record in drill.records:
        match record:
            case Frame(edited=None):
                before = latest.get((record.socket, record.room))
                if before is not None:
                    found.append((before, record))
                latest[record.socket, record.room] = record
            case Sub() | Close() | Resync():
                for key in [key for key in latest if key[0] == record.socket]:
                    del latest[key]
            case _:
                pass
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frame_that_comes_twice(seed: int) -> None:
    """Whichever it is, as long as nothing was asked since."""
    drill = good(seed)
    frame, _ = random.Random(seed).choice(pairs(drill))
    records = [*drill.records, replace(frame, t_mono=frame.t_mono + 0.001)]

    assert broken(records, drill.database()) == {(Invariant.ONCE, frame.user)}


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_in_the_wrong_order(seed: int) -> None:
    """Two that followed each other."""
    drill = good(seed)
    one, other = random.Random(seed).choice(pairs(drill))
    records = [record for record in drill.records if record not in (one, other)]
    records += [replace(one, t_mono=other.t_mono), replace(other, t_mono=one.t_mono)]

    assert (Invariant.SAME_ORDER, one.user) in broken(records, drill.database())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frame_that_is_missing(seed: int) -> None:
    """Between two others, on a subscription that stands."""
    drill = good(seed)
    following: defaultdict[str, list[Frame]] = defaultdict(list)
    for one, other in pairs(drill):
        following[one.socket + one.room].append(other)
    stored = {one.id for room in drill.database().rooms.values() for one in room.messages}
    several = [frames for frames in following.values() if len(frames) > 1]
    frame = random.Random(seed).choice(several)[0]
    records = [record for record in drill.records if record is not frame]

    found = broken(records, drill.database())
    # What is deleted later, or comes again with another text, is not missed.
    shown = [one for one in records if isinstance(one, Frame) and one.socket == frame.socket]
    missed = frame.id in stored and not any(one.id == frame.id for one in shown)
    assert ((Invariant.SAYS_SO, frame.user) in found) == missed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_message_that_is_lost(seed: int) -> None:
    """Answered, and not in the database in the end."""
    drill = good(seed)
    database = drill.database()
    deleted = {one.id for one in drill.records if isinstance(one, Delete)}
    acked = [one for one in drill.records if isinstance(one, Ack) and one.id not in deleted]
    ack = random.Random(seed).choice(acked)
    room = database.rooms[ack.room]
    kept = tuple(one for one in room.messages if one.id != ack.id)
    rooms = {**database.rooms, ack.room: Room(kept, room.members)}

    assert (Invariant.ACKED_DURABLE, ack.id) in broken(
        drill.records, Database(rooms, database.statuses)
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_room_that_is_gone(seed: int) -> None:
    """Whoever forgets to read a room back, or loses it, does not get away with it."""
    drill = good(seed)
    database = drill.database()
    rooms = {name: room for name, room in database.rooms.items() if name != "A"}

    found = {invariant for invariant, _ in broken(drill.records, Database(rooms))}
    assert Invariant.ACKED_DURABLE in found
