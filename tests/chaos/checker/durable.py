"""Judges what is stored against what was sent and answered.

acked-durable: a message that was answered with success is stored once, with the date of the
answer, and with the text that was sent or that a later edit gave it. An edit may be what remains
if no other edit was answered that began after it was answered itself. A deletion that was
answered stays. What nobody sent is not stored.

unknown-safe: a message that was sent again is one message, whatever the answers were; all its
successful answers name the same date; what was refused for certain is not stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from tests.chaos.checker.database import Database, Stored
from tests.chaos.checker.timeline import Timeline, Writing
from tests.chaos.checker.verdict import Invariant, Violation
from tests.chaos.history import Record

DURABLE, UNKNOWN_SAFE = Invariant.ACKED_DURABLE, Invariant.UNKNOWN_SAFE


def durable(timeline: Timeline, database: Database) -> Iterator[Violation]:
    """Violations of acked-durable and unknown-safe."""
    stored = {
        (room_id, message.id): message
        for room_id, room in database.rooms.items()
        for message in room.messages
    }
    for (room, message_id), writing in timeline.writings.items():
        copy = stored.get((room, message_id))
        yield from _stored_as_answered(message_id, writing, copy)
        yield from _safe(message_id, writing, copy)
    yield from _unsent(timeline, database)


def _stored_as_answered(
    message_id: str, writing: Writing, copy: Stored | None
) -> Iterator[Violation]:
    if not writing.acks:
        return
    evidence = (*writing.sends, *writing.acks)
    if copy is None:
        if not writing.deletes:
            yield _broken(DURABLE, f"{message_id} was answered, but is not stored", *evidence)
        return
    if writing.deleted:
        what = f"the deletion of {message_id} was answered, but it is stored"
        yield _broken(DURABLE, what, *evidence, *writing.deletes, *writing.deleted)
        return
    dates = {ack.ts for ack in writing.acks}
    if len(dates) == 1 and copy.ts not in dates:
        what = f"{message_id} was answered with {writing.acks[0].ts}, but has {copy.ts}"
        yield _broken(DURABLE, what, *evidence)
    if copy.body not in _texts(writing):
        what = f"{message_id} has a text that it cannot have"
        yield _broken(DURABLE, what, *evidence, *writing.edits, *writing.edited)


def _texts(writing: Writing) -> set[str]:
    """What the message may say in the end."""
    answered = {edited.body: edited.t_mono for edited in reversed(writing.edited)}
    begun: dict[str, float] = {}
    for edit in writing.edits:
        begun.setdefault(edit.body, edit.t_mono)
    latest = max((begun[body] for body in answered if body in begun), default=-inf)
    texts = {body for body in begun if answered.get(body, inf) >= latest}
    return texts if answered else texts | {writing.sends[0].body}


def _safe(message_id: str, writing: Writing, copy: Stored | None) -> Iterator[Violation]:
    if len({ack.ts for ack in writing.acks}) > 1:
        yield _broken(
            UNKNOWN_SAFE, f"{message_id} was answered with different dates", *writing.acks
        )
    if writing.refused and copy is not None:
        yield _broken(
            UNKNOWN_SAFE, f"{message_id} was refused, but is stored", *writing.sends, *writing.errs
        )


def _unsent(timeline: Timeline, database: Database) -> Iterator[Violation]:
    """What is stored under an id that nobody sent: a second copy of something, or foreign."""
    senders = {
        writing.sends[0].body: writing for writing in timeline.writings.values() if writing.sends
    }
    for room_id, room in database.rooms.items():
        for message in room.messages:
            known = timeline.writings.get((room_id, message.id))
            if message.kind is not None or (known is not None and known.sends):
                continue
            writing = senders.get(message.body)
            if writing is None:
                yield _broken(DURABLE, f"{message.id} is stored, but was never sent")
            else:
                original = writing.sends[0].id
                yield _double(f"{original} is stored a second time, as {message.id}", writing)


def _double(what: str, writing: Writing) -> Violation:
    """A repetition that became a second message, or a single attempt that did."""
    invariant = UNKNOWN_SAFE if len(writing.sends) > 1 else DURABLE
    return _broken(invariant, what, *writing.sends, *writing.acks, *writing.errs)


def _broken(invariant: Invariant, what: str, *records: Record) -> Violation:
    return Violation(invariant, what, tuple(sorted(records, key=lambda one: one.t_mono)))
