"""Judges what was shown to whom.

no-leak: nobody is shown what they are no member for. What decides is the log of the room, not a
clock: a frame is a leak if the message stands where the reader's membership had ended (see
`log`). A frame that was on the wire when the removal became visible shows a message before the
removal, whenever it arrives, and is none. Neither is what a subscription replays that was asked
for after the next attempt to make the reader a member again was begun; or, if the removals in the
log are not those of the drill, after the message may have been stored.

Where the log does not tell (an edit, a message that is not stored, a removal that the log does
not tell of), the monotonic clock of the drill decides, and only what is certain is said: the
reader was out from the answer to the removal until the next attempt to add them, and what was
begun after the one and answered before the other, happened in between. So is a subscription or an
answer with messages in it, that was asked for and given in between.

Who was never a member of a room is out of it all the time. And who was removed, and whom nobody
tried to add again, is no member in the end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from tests.chaos.checker.log import Log
from tests.chaos.checker.timeline import Moves, Timeline, Writing
from tests.chaos.checker.verdict import Invariant, Violation
from tests.chaos.history import Frame, Record, Removed


@dataclass(frozen=True, slots=True)
class Absence:
    """A time during which somebody was no member for certain. Monotonic seconds."""

    since: float
    until: float
    removal: Removed | None
    """None: never a member."""

    def covers(self, begun: float, done: float) -> bool:
        """Whether all of it happened meanwhile."""
        return self.since <= begun and done <= self.until


def no_leak(timeline: Timeline, logs: Mapping[str, Log]) -> Iterator[Violation]:
    """Violations of no-leak."""
    for key in timeline.listenings.keys() | timeline.shown.keys() | timeline.moves.keys():
        user, room = key
        moves = timeline.moves.get(key, Moves())
        yield from _Judge(timeline, logs[room], user, room, moves).judge()


class _Judge:
    """One user and one room."""

    def __init__(self, timeline: Timeline, log: Log, user: str, room: str, moves: Moves) -> None:
        self._timeline = timeline
        self._log = log
        self._user, self._room = user, room
        self._moves = moves
        self._absences = list(_absences(moves))
        self._told = user in log.stays or user in log.members
        if not self._told and moves == Moves():
            self._told = True
            self._absences = [Absence(-inf, inf, None)]
        self._listenings = timeline.listenings.get((user, room), [])
        self._asked = {
            id(event): listening.sub.t_mono
            for listening in self._listenings
            for event in listening.events
        }
        """When what a frame came by was asked for, by the identity of the frame."""

    def judge(self) -> Iterator[Violation]:
        for record in self._timeline.shown.get((self._user, self._room), ()):
            if isinstance(record, Frame):
                yield from self._frame(record)
            elif record.messages:
                what = f"{self._user} was answered with messages of {self._room}"
                yield from self._meanwhile(what, record.asked, record.t_mono, record)
        for one in self._listenings:
            if one.ready is not None:
                what = f"{self._user} could subscribe to {self._room}"
                yield from self._meanwhile(what, one.sub.t_mono, one.ready.t_mono, one.ready)
        last = self._absences[-1] if self._absences else None
        if last is not None and last.until == inf and self._user in self._log.members:
            what = f"{self._user} was removed from {self._room}, but is a member"
            yield _leak(what, *_evidence(last))

    def _frame(self, frame: Frame) -> Iterator[Violation]:
        what = f"{self._user} got {frame.id} of {self._room}"
        if frame.edited is None and self._stands_outside(frame):
            yield _leak(f"{what}, which stands where they are no member", frame)
            return
        writing = self._timeline.writings.get((self._room, frame.id), Writing())
        begun, done = _when(writing, frame)
        if begun is not None:
            asked = self._asked.get(id(frame), -inf)
            yield from self._meanwhile(what, begun, done, frame, asked)

    def _stands_outside(self, frame: Frame) -> bool:
        place = self._log.places.get(frame.id)
        if place is None or not self._told:
            return False
        position = self._log.position(self._log.messages[place])
        if self._log.was_member(self._user, position):
            return False
        asked = self._asked.get(id(frame), -inf)
        return asked < self._back(position, self._log.begun[place])

    def _back(self, position: float, stored: float) -> float:
        """The moment before which the user certainly was not a member again, after `position`.

        `stored`: when the message there was stored at the earliest.
        """
        stays = self._log.stays_of(self._user)
        if not any(stay.begins > position for stay in stays):
            return inf
        if sum(stay.ends < inf for stay in stays) != len(self._moves.removed):
            return stored  # nobody knows which answer belongs to which removal
        ended = sum(stay.ends <= position for stay in stays)
        since = self._moves.removed[ended - 1].t_mono if ended else -inf
        return next((one.t_mono for one in self._moves.add if one.t_mono > since), stored)

    def _meanwhile(
        self, what: str, begun: float, done: float, record: Record, asked: float = -inf
    ) -> Iterator[Violation]:
        """A leak, if it was begun and done while the user was no member, unless it was `asked`
        for when they may have been a member again."""
        index = bisect_right(self._absences, begun, key=lambda one: one.since) - 1
        if index < 0 or asked >= self._absences[index].until:
            return
        if self._absences[index].covers(begun, done):
            yield _leak(f"{what} while no member", *_evidence(self._absences[index]), record)


def _when(writing: Writing, frame: Frame) -> tuple[float | None, float]:
    """Between which moments that happened what the frame tells of; None: nobody knows."""
    for edit in writing.edits:
        if edit.body == frame.body:
            answers = [one.t_mono for one in writing.edited if one.body == frame.body]
            return edit.t_mono, min(answers, default=inf)
    if writing.sends and writing.sends[0].body == frame.body:
        return writing.sends[0].t_mono, min((ack.t_mono for ack in writing.acks), default=inf)
    return None, inf


def _absences(moves: Moves) -> Iterator[Absence]:
    """Ascending. An addition that was never answered may come true at any time: nothing is
    certain after it until the next one is answered."""
    additions = [one.t_mono for one in moves.add]
    answers = [one.t_mono for one in moves.added]
    for removed in moves.removed:
        tried = bisect_right(additions, removed.t_mono)
        answered = bisect_right(answers, removed.t_mono)
        open_ended = tried and (not answered or answers[answered - 1] < additions[tried - 1])
        if not open_ended:
            until = additions[tried] if tried < len(additions) else inf
            yield Absence(removed.t_mono, until, removed)


def _evidence(absence: Absence) -> tuple[Record, ...]:
    return () if absence.removal is None else (absence.removal,)


def _leak(what: str, *records: Record) -> Violation:
    return Violation(Invariant.NO_LEAK, what, records)
