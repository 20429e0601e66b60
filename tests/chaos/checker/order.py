"""Judges what came by itself, frame by frame, and the order of what is stored.

once: no version of a message (`_id` and `_updatedAt`) comes twice by itself on one socket, except
across a `resync` or an answer to "what did I miss?".

same-order: new messages come on a socket by strictly ascending `ts`. A message that comes again
on the same socket, and one that was edited, keeps its old date and is left out of this. Every
reader is shown the `ts` that is stored, so that all end with the same order. In the database `ts`
is strictly ascending by `seq`, and `seq` has no gap and no number twice; each message that
somebody tried to delete may have left one gap. What was sent for the first time after another
message of the room was answered has the later `ts`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from tests.chaos.checker.log import Log
from tests.chaos.checker.timeline import Listening, Timeline
from tests.chaos.checker.verdict import Invariant, Violation
from tests.chaos.history import Ack, CatchUp, Frame, Record, Resync, Send


def once(timeline: Timeline) -> Iterator[Violation]:
    """Violations of once."""
    for listenings in timeline.listenings.values():
        for events in _by_socket(listenings).values():
            yield from _once(events)


def same_order(timeline: Timeline, logs: Mapping[str, Log]) -> Iterator[Violation]:
    """Violations of same-order."""
    for listenings in timeline.listenings.values():
        for events in _by_socket(listenings).values():
            yield from _ascending(events)
    for (user, room), shown in timeline.shown.items():
        yield from _same_dates(user, shown, logs[room])
    for room, log in logs.items():
        yield from _stored_order(log, _may_lack(timeline, room, log))
    yield from _real_time(timeline, logs)


def _by_socket(listenings: list[Listening]) -> dict[str, list[Frame | CatchUp | Resync]]:
    sockets: defaultdict[str, list[Frame | CatchUp | Resync]] = defaultdict(list)
    for listening in listenings:
        sockets[listening.socket] += listening.events
    return sockets


def _once(events: list[Frame | CatchUp | Resync]) -> Iterator[Violation]:
    first: dict[tuple[str, int], Frame] = {}
    for event in events:
        if not isinstance(event, Frame):
            first.clear()
            continue
        earlier = first.setdefault((event.id, event.version), event)
        if earlier is not event:
            what = f"{event.user} got {event.id} twice on socket {event.socket}"
            yield Violation(Invariant.ONCE, what, (earlier, event))


def _ascending(events: list[Frame | CatchUp | Resync]) -> Iterator[Violation]:
    known: set[str] = set()
    latest: Frame | None = None
    for event in events:
        if not isinstance(event, Frame):
            continue
        if event.edited is not None or event.id in known:
            known.add(event.id)
            continue
        known.add(event.id)
        if latest is not None and event.ts <= latest.ts:
            what = f"{event.user} got {event.id} after {latest.id} on socket {event.socket}"
            yield _misordered(what, latest, event)
        if latest is None or event.ts > latest.ts:
            latest = event


def _same_dates(user: str, shown: list[Frame | CatchUp], log: Log) -> Iterator[Violation]:
    for record in shown:
        for one in (record,) if isinstance(record, Frame) else record.messages:
            place = log.places.get(one.id)
            if place is not None and log.messages[place].ts != one.ts:
                stored = log.messages[place].ts
                yield _misordered(
                    f"{user} was shown {one.id} with the date {one.ts}, stored is {stored}", record
                )


def _may_lack(timeline: Timeline, room: str, log: Log) -> int:
    """How many messages of the room a deletion may have taken away."""
    return sum(
        bool(writing.deletes) and message_id not in log.places
        for (where, message_id), writing in timeline.writings.items()
        if where == room
    )


def _stored_order(log: Log, may_lack: int) -> Iterator[Violation]:
    if not log.numbered and any(message.seq is not None for message in log.messages):
        yield _misordered("some messages have a number in the room, others have none")
    for before, after in pairwise(log.messages):
        if after.ts <= before.ts:
            yield _misordered(
                f"{after.id} ({after.ts}) does not follow {before.id} ({before.ts}) in the database"
            )
    if not log.numbered:
        return
    gaps = 0
    for before, after in pairwise(log.messages):
        step = (after.seq or 0) - (before.seq or 0)
        if step == 0:
            yield _misordered(f"{before.id} and {after.id} both have the number {after.seq}")
        gaps += max(0, step - 1)
        if gaps > may_lack:
            yield _misordered(f"numbers are missing between {before.seq} and {after.seq}")
            gaps = may_lack


def _real_time(timeline: Timeline, logs: Mapping[str, Log]) -> Iterator[Violation]:
    latest: dict[str, tuple[int, Ack]] = {}
    seen: set[tuple[str, str]] = set()
    for record in timeline.records:
        if not isinstance(record, Send | Ack):
            continue
        log = logs[record.room]
        place = log.places.get(record.id)
        if place is None:
            continue
        ts = log.messages[place].ts
        if isinstance(record, Ack):
            if record.room not in latest or latest[record.room][0] < ts:
                latest[record.room] = (ts, record)
        elif (record.room, record.id) not in seen:
            seen.add((record.room, record.id))
            before = latest.get(record.room)
            if before is not None and before[0] >= ts:
                what = f"{record.id} is older than {before[1].id}, answered before it was sent"
                yield _misordered(what, before[1], record)


def _misordered(what: str, *records: Record) -> Violation:
    return Violation(Invariant.SAME_ORDER, what, records)
