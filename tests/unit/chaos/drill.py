"""Makes histories of drills in which every promise is kept, for the tests of the checker.

A small model of a perfect server: it stores, it puts what it stored on the wires of the sockets
that listen, and a socket that ends takes what is on its wire with it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from tests.chaos.checker import Database, Room, Stored
from tests.chaos.history import (
    Ack,
    Add,
    Added,
    CatchUp,
    Close,
    Delete,
    Deleted,
    Edit,
    Edited,
    Err,
    Fault,
    Frame,
    Healed,
    Memory,
    NoSub,
    Open,
    Ready,
    Record,
    Remove,
    Removed,
    Resync,
    Send,
    Shown,
    Sub,
)

MIB = 1024 * 1024
START = 1_700_000_000_000  # milliseconds since 1970

R = TypeVar("R", bound=Record)
Attempt = Literal["ack", "unknown-stored", "unknown-lost", "silent", "refused"]


@dataclass(slots=True)
class Kept:
    """A message in a room, with what clients are shown of it."""

    stored: Stored
    original: str
    version: int
    edited: int | None = None


@dataclass(slots=True)
class Place:
    """A room."""

    members: set[str]
    kept: dict[str, Kept] = field(default_factory=dict)
    seq: int = 0


@dataclass(slots=True)
class Person:
    """Somebody with a socket at most."""

    sockets: int = 0
    socket: str | None = None
    listens: set[str] = field(default_factory=set)
    wire: deque[tuple[str, Shown]] = field(default_factory=deque)
    latest: dict[str, int] = field(default_factory=dict)
    """Room → the date up to which messages were shown."""


class Drill:
    """Does one thing after the other, and notes it as clients would."""

    def __init__(self, rooms: Mapping[str, set[str]]) -> None:
        self.records: list[Record] = []
        self.places = {name: Place(set(members)) for name, members in rooms.items()}
        self.people: dict[str, Person] = {}
        self.now = 100.0
        self._ids = 0

    def note(self, record: R) -> R:
        """The next record, a hundredth of a second after the one before."""
        self.now += 0.01
        noted = replace(record, t_mono=self.now)
        self.records.append(noted)
        return noted

    def database(self) -> Database:
        """What is stored now."""
        return Database(
            rooms={
                name: Room(
                    tuple(kept.stored for kept in place.kept.values()), frozenset(place.members)
                )
                for name, place in self.places.items()
            },
            statuses={
                user: "offline" if person.socket is None else "online"
                for user, person in self.people.items()
            },
        )

    # --- reading ------------------------------------------------------------------------------

    def enter(self, user: str, *rooms: str, recover: bool = False) -> None:
        """Open a socket, listen, and ask what was missed (or have it replayed)."""
        person = self.people.setdefault(user, Person())
        person.sockets += 1
        person.socket = f"{user}/{person.sockets}"
        self.note(Open(proc="r", user=user, socket=person.socket))
        for room in rooms:
            self.listen(user, room, recover=recover)

    def listen(self, user: str, room: str, *, recover: bool = False) -> None:
        """Subscribe on the socket that is open."""
        person = self.people[user]
        assert person.socket is not None
        self.note(Sub(proc="r", user=user, socket=person.socket, room=room))
        if user not in self.places[room].members:
            self.note(NoSub(proc="r", user=user, socket=person.socket, room=room))
            return
        person.listens.add(room)
        if recover:
            self._replay(user, room)
        self.note(
            Ready(
                proc="r",
                user=user,
                socket=person.socket,
                room=room,
                recovered=True if recover else None,
            )
        )
        if not recover:
            self.catch_up(user, room)

    def deliver(self, user: str, most: int = 1 << 30) -> None:
        """Frames that are on the wire arrive."""
        person = self.people[user]
        while person.wire and person.socket is not None and most > 0:
            room, shown = person.wire.popleft()
            self.note(
                Frame(
                    proc="r",
                    user=user,
                    socket=person.socket,
                    room=room,
                    id=shown.id,
                    body=shown.body,
                    ts=shown.ts,
                    version=shown.version,
                    edited=shown.edited,
                )
            )
            person.latest[room] = max(person.latest.get(room, 0), shown.ts)
            most -= 1

    def catch_up(self, user: str, room: str) -> None:
        person = self.people[user]
        assert person.socket is not None
        missed = self._missed(user, room)
        asked = self.now
        self.note(
            CatchUp(
                proc="r",
                user=user,
                socket=person.socket,
                room=room,
                since=person.latest.get(room, START),
                asked=asked,
                messages=tuple(missed),
            )
        )
        for shown in missed:
            person.latest[room] = max(person.latest.get(room, 0), shown.ts)

    def leave(self, user: str, code: int | None = 1012) -> None:
        """The socket ends; what is on its wire is lost."""
        person = self.people[user]
        assert person.socket is not None
        self.note(Close(proc="r", user=user, socket=person.socket, code=code))
        person.socket = None
        person.listens.clear()
        person.wire.clear()

    def resync(self, user: str, rooms: tuple[str, ...] | None = None) -> None:
        """What is on the wire (of these rooms) is lost, and the client told so; it loads anew."""
        person = self.people[user]
        assert person.socket is not None
        concerned = person.listens if rooms is None else person.listens & set(rooms)
        person.wire = deque(one for one in person.wire if one[0] not in concerned)
        self.note(Resync(proc="r", user=user, socket=person.socket, rooms=rooms))
        for room in sorted(concerned):
            self.catch_up(user, room)

    def _replay(self, user: str, room: str) -> None:
        """What happened, in the order in which it did: a message comes before its edit."""
        person = self.people[user]
        since = person.latest.get(room, START)
        happened = []
        for kept in self.places[room].kept.values():
            stored = kept.stored
            if stored.ts > since:
                happened.append(Shown(stored.id, kept.original, stored.ts, stored.ts))
            if kept.edited is not None and kept.edited > since:
                happened.append(_shown(kept))
        happened.sort(key=lambda shown: shown.version)
        person.wire.extend((room, shown) for shown in happened)
        self.deliver(user)

    def _missed(self, user: str, room: str) -> list[Shown]:
        since = self.people[user].latest.get(room, START)
        return [
            _shown(kept)
            for kept in self.places[room].kept.values()
            if kept.stored.ts > since or (kept.edited or 0) > since
        ]

    # --- writing ------------------------------------------------------------------------------

    def say(self, user: str, room: str, *attempts: Attempt) -> str:
        """Send a message as often as there are attempts (one that succeeds, if there are none)."""
        self._ids += 1
        message_id, body = f"m{self._ids}", f"{user}:{self._ids}"
        for attempt in attempts or ("ack",):
            self.note(Send(proc="w", room=room, id=message_id, user=user, body=body))
            if attempt in {"ack", "unknown-stored"}:
                self._store(room, message_id, body)
            if attempt == "ack":
                ts = self.places[room].kept[message_id].stored.ts
                self.note(Ack(proc="w", room=room, id=message_id, user=user, ts=ts))
            elif attempt != "silent":
                outcome: Literal["refused", "unknown"] = (
                    "refused" if attempt == "refused" else "unknown"
                )
                self.note(Err(proc="w", room=room, id=message_id, user=user, outcome=outcome))
        return message_id

    def edit(self, room: str, message_id: str, body: str, *, answered: bool = True) -> None:
        """Give a message another text."""
        self.note(Edit(proc="w", room=room, id=message_id, user="ana", body=body))
        place = self.places[room]
        kept = place.kept[message_id]
        kept.version = kept.edited = self._ts()
        kept.stored = replace(kept.stored, body=body)
        self._publish(room, _shown(kept))
        if answered:
            self.note(Edited(proc="w", room=room, id=message_id, user="ana", body=body))

    def delete(self, room: str, message_id: str, *, answered: bool = True) -> None:
        """Delete a message. Clients are told in ways that are not noted."""
        self.note(Delete(proc="w", room=room, id=message_id, user="ana"))
        del self.places[room].kept[message_id]
        if answered:
            self.note(Deleted(proc="w", room=room, id=message_id, user="ana"))

    def _store(self, room: str, message_id: str, body: str, kind: str | None = None) -> None:
        place = self.places[room]
        if message_id in place.kept:
            return
        place.seq += 1
        ts = self._ts()
        stored = Stored(message_id, body, ts, place.seq, kind)
        place.kept[message_id] = Kept(stored, body, ts)
        self._publish(room, _shown(place.kept[message_id]))

    def _publish(self, room: str, shown: Shown) -> None:
        for person in self.people.values():
            if room in person.listens:
                person.wire.append((room, shown))

    def _ts(self) -> int:
        """Grows with each call, as the noted time does."""
        self.now += 0.002
        return START + round(self.now * 1000)

    # --- memberships --------------------------------------------------------------------------

    def remove(self, user: str, room: str) -> None:
        """End a membership. Frames on the wire still arrive; no others do."""
        self.note(Remove(proc="o", room=room, user=user))
        place, person = self.places[room], self.people[user]
        place.members.discard(user)
        listened = room in person.listens
        person.listens.discard(room)
        self._ids += 1
        self._store(room, f"s{self._ids}", user, "ru")
        self.note(Removed(proc="o", room=room, user=user))
        if listened and person.socket is not None:
            self.deliver(user)
            self.note(NoSub(proc="r", user=user, socket=person.socket, room=room))

    def add(self, user: str, room: str) -> None:
        """Begin a membership, and listen if there is a socket."""
        self.note(Add(proc="o", room=room, user=user))
        self._ids += 1
        self._store(room, f"s{self._ids}", user, "au")
        self.places[room].members.add(user)
        self.note(Added(proc="o", room=room, user=user))
        if self.people[user].socket is not None:
            self.listen(user, room)

    # --- around -------------------------------------------------------------------------------

    def fault(self, name: str) -> None:
        self.note(Fault(proc="f", fault=name))

    def heal(self, name: str) -> None:
        self.note(Healed(proc="f", fault=name))

    def memory(self, process: str, rss: int) -> None:
        self.note(Memory(proc="f", process=process, rss=rss))

    def wait(self, seconds: float) -> None:
        self.now += seconds


def _shown(kept: Kept) -> Shown:
    stored = kept.stored
    return Shown(stored.id, stored.body, stored.ts, kept.version, kept.edited)


def small() -> Drill:
    """One room. Ana writes and reads; bo loses his socket; cy is removed and comes back; dan is
    told to load anew; eve has what she missed replayed; ivan knocks in vain."""
    drill = Drill({"A": {"ana", "bo", "cy", "dan", "eve"}})
    for user in ("ana", "bo", "cy", "dan", "eve", "ivan"):
        drill.enter(user, "A")
    drill.memory("hub-1", 100 * MIB)
    drill.say("ana", "A")  # m1
    _all_arrive(drill)
    drill.fault("F1")
    drill.leave("bo")
    drill.say("ana", "A", "unknown-stored", "ack")  # m2
    _all_arrive(drill)
    drill.enter("bo", "A")
    drill.say("ana", "A", "unknown-lost", "ack")  # m3
    drill.resync("dan")
    drill.leave("eve", None)
    drill.remove("cy", "A")  # s4
    drill.say("ana", "A")  # m5
    drill.enter("eve", "A", recover=True)
    drill.heal("F1")
    drill.say("ana", "A", "refused")  # m6
    drill.add("cy", "A")  # s7
    drill.say("ana", "A", "unknown-lost")  # m8
    drill.say("ana", "A")  # m9
    drill.edit("A", "m9", "ana:9 edited")
    _all_arrive(drill)
    drill.say("ana", "A")  # m10
    drill.say("ana", "A")  # m11
    _all_arrive(drill)
    return drill


def good(seed: int, steps: int = 300) -> Drill:
    """A long drill with everything in it, at random."""
    chance = random.Random(seed)
    rooms = {"A": {"ana", "bo", "cy"}, "B": {"ana", "cy", "dan"}, "C": {"ana", "bo", "dan"}}
    drill = Drill(rooms)
    readers = ["bo", "cy", "dan", "eve"]
    for user in readers:
        drill.enter(user, *rooms)
    usual: tuple[Attempt, ...] = ("ack",)
    attempts: list[tuple[Attempt, ...]] = [
        *[usual] * 12,
        ("unknown-stored", "ack"),
        ("unknown-lost", "unknown-stored", "unknown-lost", "ack"),
        ("silent", "ack"),
        ("unknown-stored",),
        ("unknown-lost",),
        ("silent",),
        ("refused",),
    ]
    drill.say("ana", "A")
    for _ in range(steps):
        user, room = chance.choice(readers), chance.choice(sorted(rooms))
        person, place = drill.people[user], drill.places[room]
        own = [one for one, kept in place.kept.items() if kept.stored.kind is None]
        match chance.randrange(30):
            case 0 if person.socket is None:
                drill.enter(user, *rooms, recover=chance.random() < 0.3)
            case 0 | 1 if person.socket is not None:
                drill.leave(user, chance.choice([1012, 1006, None]))
            case 2 if person.socket is not None:
                drill.resync(user, chance.choice([None, (room,)]))
            case 3 if user in place.members and user != "ana":
                drill.remove(user, room)
            case 3 | 4 if user not in place.members and user != "eve":
                drill.add(user, room)
            case 5 if own:
                drill.edit(
                    room,
                    chance.choice(own),
                    f"edit {drill.now:.3f}",
                    answered=chance.random() < 0.8,
                )
            case 6 if own and chance.random() < 0.3:
                drill.delete(room, chance.choice(own), answered=chance.random() < 0.8)
            case 7:
                drill.memory(f"streamer-{chance.randrange(3)}", chance.randrange(200) * MIB)
            case 8:
                name = f"F{chance.randrange(3)}"
                chance.choice([drill.fault, drill.heal])(name)
            case 9:
                drill.wait(chance.random())
            case 10 | 11 | 12 | 13 | 14:
                drill.deliver(user, chance.randrange(5))
            case _:
                drill.say("ana", room, *chance.choice(attempts))
    for user in readers:
        if drill.people[user].socket is None and chance.random() < 0.8:
            drill.enter(user, *rooms)
    drill.say("ana", "A")
    _all_arrive(drill)
    return drill


def _all_arrive(drill: Drill) -> None:
    for user in drill.people:
        drill.deliver(user)
