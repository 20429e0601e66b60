"""The history, sorted into what belongs together; made in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.checker.verdict import ProvesNothing
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
    Slowed,
    Sub,
)


@dataclass(slots=True)
class Writing:
    """One message, from its first attempt on."""

    sends: list[Send] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    errs: list[Err] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    edited: list[Edited] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    deleted: list[Deleted] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Every attempt was answered with a certain refusal."""
        attempts, certain = len(self.sends), sum(err.outcome == "refused" for err in self.errs)
        return not self.acks and 0 < attempts == certain == len(self.errs)


@dataclass(slots=True)
class Listening:
    """One subscription: from its request to its end."""

    user: str
    socket: str
    room: str
    sub: Sub
    first: bool
    """Whether the user's first subscription to this room."""
    ready: Ready | None = None
    end: Record | None = None
    """What ended it: `nosub`, `close`, or the next `sub` of the same room on this socket."""
    events: list[Frame | CatchUp | Resync] = field(default_factory=list)
    """What came over this socket about this room meanwhile, in order."""


@dataclass(slots=True)
class Moves:
    """What was done to one user's membership of one room, in the order of time."""

    remove: list[Remove] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    add: list[Add] = field(default_factory=list)
    added: list[Added] = field(default_factory=list)


@dataclass(slots=True)
class Timeline:
    """Everything, by what it is about."""

    records: list[Record]
    """In the order of time."""
    writings: dict[tuple[str, str], Writing]
    """(room, message id) → what was done to it."""
    listenings: dict[tuple[str, str], list[Listening]]
    """(user, room) → subscriptions, in the order of their requests."""
    moves: dict[tuple[str, str], Moves]
    """(user, room) → removals and additions."""
    shown: dict[tuple[str, str], list[Frame | CatchUp]]
    """(user, room) → all that was shown, over whichever socket, in the order of time."""
    sockets: dict[str, dict[str, Open]]
    """User → sockets that are open at the end."""
    memory: dict[str, list[Memory]]
    """Process → samples."""
    faults: list[tuple[Fault, Healed | None]]
    slowed: frozenset[str]
    """Users who read slowly during a fault."""

    @property
    def rooms(self) -> set[str]:
        """Where anything happened."""
        return {
            *(room for room, _ in self.writings),
            *(room for _, room in (*self.listenings, *self.shown, *self.moves)),
        }

    @property
    def end(self) -> float:
        """When the last thing happened."""
        return self.records[-1].t_mono


def timeline(history: Iterable[Record]) -> Timeline:
    """Sort a history. Raises: ProvesNothing: nothing was sent, answered or read."""
    records = sorted(history, key=lambda record: record.t_mono)
    for kind, words in ((Send, "sent"), (Ack, "answered with success"), (Frame, "read")):
        if not any(isinstance(record, kind) for record in records):
            raise ProvesNothing(f"nothing was {words}")
    return _Sorter(records).done()


class _Sorter:
    def __init__(self, records: list[Record]) -> None:
        self._writings: defaultdict[tuple[str, str], Writing] = defaultdict(Writing)
        self._listenings: defaultdict[tuple[str, str], list[Listening]] = defaultdict(list)
        self._moves: defaultdict[tuple[str, str], Moves] = defaultdict(Moves)
        self._seen: defaultdict[tuple[str, str], list[Frame | CatchUp]] = defaultdict(list)
        self._sockets: defaultdict[str, dict[str, Open]] = defaultdict(dict)
        self._memory: defaultdict[str, list[Memory]] = defaultdict(list)
        self._faults: list[tuple[Fault, Healed | None]] = []
        self._slowed: set[str] = set()
        self._current: defaultdict[str, dict[str, Listening]] = defaultdict(dict)
        """Socket → room → the subscription that stands or is asked for."""
        self._records = records

    def done(self) -> Timeline:
        for record in self._records:
            self._take(record)
        return Timeline(
            records=self._records,
            writings=dict(self._writings),
            listenings=dict(self._listenings),
            moves=dict(self._moves),
            shown=dict(self._seen),
            sockets=dict(self._sockets),
            memory=dict(self._memory),
            faults=self._faults,
            slowed=frozenset(self._slowed),
        )

    def _take(self, record: Record) -> None:
        match record:
            case Send() | Ack() | Err() | Edit() | Edited() | Delete() | Deleted():
                self._write(record)
            case Remove() | Removed() | Add() | Added():
                self._move(record)
            case Memory():
                self._memory[record.process].append(record)
            case Fault() | Healed():
                self._fault(record)
            case Slowed():
                self._slowed.add(record.user)
            case _:
                self._listen(record)

    def _write(self, record: Send | Ack | Err | Edit | Edited | Delete | Deleted) -> None:
        writing = self._writings[record.room, record.id]
        match record:
            case Send():
                writing.sends.append(record)
            case Ack():
                writing.acks.append(record)
            case Err():
                writing.errs.append(record)
            case Edit():
                writing.edits.append(record)
            case Edited():
                writing.edited.append(record)
            case Delete():
                writing.deletes.append(record)
            case Deleted():
                writing.deleted.append(record)

    def _move(self, record: Remove | Removed | Add | Added) -> None:
        moves = self._moves[record.user, record.room]
        match record:
            case Remove():
                moves.remove.append(record)
            case Removed():
                moves.removed.append(record)
            case Add():
                moves.add.append(record)
            case Added():
                moves.added.append(record)

    def _fault(self, record: Fault | Healed) -> None:
        if isinstance(record, Fault):
            self._faults.append((record, None))
            return
        for index in range(len(self._faults) - 1, -1, -1):
            fault, healed = self._faults[index]
            if fault.fault == record.fault and healed is None:
                self._faults[index] = (fault, record)
                return

    def _listen(self, record: Record) -> None:
        match record:
            case Open():
                self._sockets[record.user][record.socket] = record
            case Close():
                self._sockets[record.user].pop(record.socket, None)
                for listening in self._current.pop(record.socket, {}).values():
                    listening.end = record
            case Sub():
                self._subscribe(record)
            case Ready():
                standing = self._current[record.socket].get(record.room)
                if standing is not None and standing.ready is None:
                    standing.ready = record
            case NoSub():
                standing = self._current[record.socket].pop(record.room, None)
                if standing is not None:
                    standing.end = record
            case Resync():
                for room, standing in self._current[record.socket].items():
                    if record.rooms is None or room in record.rooms:
                        standing.events.append(record)
            case Frame() | CatchUp():
                self._shown(record)
            case _:
                raise TypeError(f"{type(record).__name__} is not judged")

    def _subscribe(self, record: Sub) -> None:
        rooms = self._current[record.socket]
        before = rooms.get(record.room)
        if before is not None:
            before.end = record
        known = self._listenings[record.user, record.room]
        rooms[record.room] = Listening(
            record.user, record.socket, record.room, record, first=not known
        )
        known.append(rooms[record.room])

    def _shown(self, record: Frame | CatchUp) -> None:
        self._seen[record.user, record.room].append(record)
        standing = self._current[record.socket].get(record.room)
        if standing is not None:
            standing.events.append(record)
