"""A kept drill in which something can be broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from tests.chaos.checker import Bounds, Database, Room, Stored, Violation, check
from tests.chaos.history import CatchUp, Frame, Record, Shown
from tests.unit.chaos.drill import small

R = TypeVar("R", bound=Record)


class Spoiled:
    """The small drill, to be changed. Records are chosen by their kind and fields."""

    def __init__(self) -> None:
        drill = small()
        database = drill.database()
        self.records = drill.records
        self.stored = list(database.rooms["A"].messages)
        self.members = set(database.rooms["A"].members)
        self.statuses = dict(database.statuses)
        self.bounds = Bounds()

    def database(self) -> Database:
        room = Room(tuple(self.stored), frozenset(self.members))
        return Database({"A": room}, self.statuses)

    def violations(self) -> list[Violation]:
        return check(self.records, self.database(), self.bounds)

    def all(self, kind: type[R], **fields: object) -> list[R]:
        """In the order of time."""
        return [
            record
            for record in self.records
            if isinstance(record, kind)
            and all(getattr(record, name) == value for name, value in fields.items())
        ]

    def one(self, kind: type[R], **fields: object) -> R:
        """The only one."""
        (found,) = self.all(kind, **fields)
        return found

    def drop(self, *records: Record) -> None:
        """It never happened."""
        gone = {id(record) for record in records}
        self.records = [record for record in self.records if id(record) not in gone]

    def change(self, record: R, **fields: Any) -> R:
        """It happened otherwise."""
        changed = replace(record, **fields)
        self.records[self.records.index(record)] = changed
        return changed

    def add(self, record: R, after: Record, later: float = 0.001) -> R:
        """It happened as well, `later` seconds after another record."""
        added = replace(record, t_mono=after.t_mono + later)
        self.records.append(added)
        return added

    def swap(self, one: Record, other: Record) -> None:
        """Each happens when the other did."""
        self.change(one, t_mono=other.t_mono)
        self.change(other, t_mono=one.t_mono)

    def place(self, message_id: str) -> int:
        return [message.id for message in self.stored].index(message_id)

    def restore(self, message_id: str, **fields: Any) -> Stored:
        """The database holds it otherwise."""
        place = self.place(message_id)
        self.stored[place] = replace(self.stored[place], **fields)
        return self.stored[place]

    def everywhere(self, message_id: str, change: Callable[[Shown], Shown]) -> None:
        """All readers were shown the message otherwise."""
        for frame in self.all(Frame, id=message_id):
            shown = change(Shown(frame.id, frame.body, frame.ts, frame.version, frame.edited))
            self.change(
                frame,
                body=shown.body,
                ts=shown.ts,
                version=shown.version,
                edited=shown.edited,
            )
        for answer in self.all(CatchUp):
            messages = tuple(
                change(shown) if shown.id == message_id else shown for shown in answer.messages
            )
            if messages != answer.messages:
                self.change(answer, messages=messages)

    def unanswer(self, message_id: str) -> None:
        """No answer to "what did I miss?" has the message in it."""
        for answer in self.all(CatchUp):
            messages = tuple(shown for shown in answer.messages if shown.id != message_id)
            if messages != answer.messages:
                self.change(answer, messages=messages)
