"""Judges what reached the readers.

A message is *owed* from a moment on if it was certainly stored after it (`Log.begun`).

acked-delivered: who is a member in the end, and connected, has been shown every message that was
answered with success, that stands in their last membership, and that is owed from the first
`ready` of that membership on or is younger than the first answer to "what did I miss since?"
after it. Shown is what came by itself or in an answer, over whichever socket. They have also been
shown the final text, if an edit that was begun after that `ready` was answered with success. And
in the end their subscription is not refused, nor without an answer. What somebody tried to delete
is not asked for.

says-so: while a subscription stands, every message of the reader's memberships comes over it by
itself, from the first new message that came or that is owed from `ready` on, up to the last one
that came; and up to the last one that was answered, if the subscription stands until the end.
What is missing is a hole, unless the client was told before the next message came: the socket
was closed, the subscription was ended, or `resync` came, after which all begins anew. Whether an
answer filled the hole later does not matter: the client could not know that it had to ask. After
`ready` with `recovered`, everything that stands after what the reader had been shown before is
owed. Who is removed is told, too: the subscription does not stand until the end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from tests.chaos.checker.log import ALWAYS, Log
from tests.chaos.checker.timeline import Listening, Moves, Timeline, Writing
from tests.chaos.checker.verdict import Invariant, Violation
from tests.chaos.history import CatchUp, Frame, NoSub, Ready, Record, Resync, Shown

# --- acked-delivered --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stayed:
    """A connected member, and the subscriptions of its last membership."""

    user: str
    room: str
    listenings: tuple[Listening, ...]

    @property
    def first(self) -> Ready | None:
        """The first that stood."""
        return next((one.ready for one in self.listenings if one.ready is not None), None)


def stayed(timeline: Timeline, logs: Mapping[str, Log]) -> list[Stayed]:
    """Those who asked for a room's messages, and are connected members of it in the end."""
    found = []
    for (user, room), listenings in timeline.listenings.items():
        if user in logs[room].members and timeline.sockets.get(user):
            since = _added(timeline.moves.get((user, room), Moves()))
            mine = tuple(one for one in listenings if one.sub.t_mono >= since)
            if mine:
                found.append(Stayed(user, room, mine))
    return found


def delivered(timeline: Timeline, logs: Mapping[str, Log]) -> Iterator[Violation]:
    """Violations of acked-delivered."""
    for reader in stayed(timeline, logs):
        last = reader.listenings[-1]
        who = f"{reader.user} is a member of {reader.room}"
        if isinstance(last.end, NoSub):
            yield _lost(f"{who}, but the subscription was refused or ended", last.sub, last.end)
        elif last.end is None and last.ready is None:
            yield _lost(f"{who}, but the subscription was not answered", last.sub)
        if reader.first is not None:
            log = logs[reader.room]
            yield from _shown_all(timeline, log, reader.user, reader.room, reader.first)


def _added(moves: Moves) -> float:
    """The moment before which the user's last membership certainly had not begun."""
    removed = moves.removed[-1].t_mono if moves.removed else -inf
    return min((one.t_mono for one in moves.add if one.t_mono > removed), default=removed)


def _shown_all(
    timeline: Timeline, log: Log, user: str, room: str, first: Ready
) -> Iterator[Violation]:
    shown: dict[str, Frame | Shown] = {}
    younger: float = inf  # milliseconds since 1970
    for record in timeline.shown.get((user, room), ()):
        if isinstance(record, CatchUp) and record.asked >= first.t_mono and younger == inf:
            younger = record.since
        for one in (record,) if isinstance(record, Frame) else record.messages:
            if one.id not in shown or shown[one.id].version <= one.version:
                shown[one.id] = one
    stay = (log.stays_of(user) or ALWAYS)[-1]
    for message, begun in zip(log.messages, log.begun, strict=True):
        writing = timeline.writings.get((room, message.id))
        due = begun >= first.t_mono or message.ts > younger
        if writing is None or not writing.acks or writing.deletes or not due:
            continue
        if log.position(message) not in stay:
            continue
        evidence = (*writing.sends, *writing.acks)
        if message.id not in shown:
            yield _lost(f"{user} was never shown {message.id} of {room}", *evidence)
        elif shown[message.id].body != message.body and _was_edited(
            writing, message.body, first.t_mono
        ):
            yield _lost(
                f"{user} was never shown the last text of {message.id} of {room}",
                *writing.edits,
                *writing.edited,
            )


def _was_edited(writing: Writing, body: str, since: float) -> bool:
    """Whether this text comes from an edit that was begun since, and answered with success."""
    begun = min((one.t_mono for one in writing.edits if one.body == body), default=-inf)
    return begun >= since and any(one.body == body for one in writing.edited)


def _lost(what: str, *records: Record) -> Violation:
    evidence = tuple(sorted(records, key=lambda one: one.t_mono))
    return Violation(Invariant.ACKED_DELIVERED, what, evidence)


# --- says-so ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Span:
    """A time in which the client has every reason to believe that it misses nothing."""

    begins: Ready | Resync
    owed: int
    """Place in the log from which on everything is owed."""
    lasts: bool = False
    """Whether it lasts until the end."""
    frames: list[Frame] = field(default_factory=list)


def says_so(timeline: Timeline, logs: Mapping[str, Log]) -> Iterator[Violation]:
    """Violations of says-so."""
    for (user, room), listenings in timeline.listenings.items():
        log, highest = logs[room], -1
        moves = timeline.moves.get((user, room), Moves())
        for listening in listenings:
            if listening.ready is not None:
                for span in _spans(listening, listening.ready, log, highest):
                    yield from _holes(timeline, log, listening, span)
                yield from _untold(listening, listening.ready, moves)
            highest = max(highest, _highest(listening, log))


def _spans(listening: Listening, ready: Ready, log: Log, highest: int) -> list[_Span]:
    """`highest`: the last place that the reader was shown before."""
    owed = highest + 1 if ready.recovered else bisect_left(log.begun, ready.t_mono)
    spans = [_Span(ready, owed)]
    for event in listening.events:
        if isinstance(event, Resync):
            if event.t_mono >= ready.t_mono:
                spans.append(_Span(event, bisect_left(log.begun, event.t_mono)))
        elif isinstance(event, Frame):
            spans[-1].frames.append(event)
    spans[-1].lasts = listening.end is None
    return spans


def _holes(timeline: Timeline, log: Log, listening: Listening, span: _Span) -> Iterator[Violation]:
    reaches = [_reach(log, one) for one in span.frames if one.edited is None]
    first = min([span.owed, *(before for before, _ in reaches)])
    top = max((last for _, last in reaches), default=-1)
    last = len(log.messages) - 1 if span.lasts else top
    came = {one.id for one in span.frames}
    for place in range(first, last + 1):
        message = log.messages[place]
        if message.id in came or not log.was_member(listening.user, log.position(message)):
            continue
        writing = timeline.writings.get((listening.room, message.id), Writing())
        if writing.deletes or (place > top and not writing.acks):
            continue
        what = f"{listening.user} was not told that {message.id} is missing"
        yield _silent(f"{what} on socket {listening.socket}", span.begins, *span.frames[-1:])


def _reach(log: Log, frame: Frame) -> tuple[int, int]:
    """The places of the first message that does not come before this one, and of the last that
    does not come after it. They differ if this one is not stored any more."""
    place = log.places.get(frame.id)
    if place is not None:
        return place, place
    after = bisect_left(log.messages, frame.ts, key=lambda one: one.ts)
    return after, after - 1


def _untold(listening: Listening, ready: Ready, moves: Moves) -> Iterator[Violation]:
    if listening.end is not None or not moves.removed:
        return
    removed = moves.removed[-1]
    attempts = [one for one in moves.remove if one.t_mono <= removed.t_mono]
    if attempts and ready.t_mono <= attempts[-1].t_mono:
        what = f"{listening.user} was removed from {listening.room}, and not told"
        yield _silent(f"{what} on socket {listening.socket}", ready, removed)


def _highest(listening: Listening, log: Log) -> int:
    shown = [event for event in listening.events if not isinstance(event, Resync)]
    ids = [
        one.id
        for event in shown
        for one in ((event,) if isinstance(event, Frame) else event.messages)
    ]
    return max((log.places.get(one, -1) for one in ids), default=-1)


def _silent(what: str, *records: Record) -> Violation:
    return Violation(Invariant.SAYS_SO, what, records)
