"""Judges what readers saw, knowing nothing but what was committed. Pure.

A reader follows one room. What it sees between two catch-ups is a *segment*: there, the changes
of the room come one after another, none of them twice, and of those that were committed after
the catch-up none is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Shown(NamedTuple):
    """A version of a message."""

    message: str
    version: int


@dataclass
class Segment:
    """What one reader saw from a catch-up to the next."""

    fetched_at: int
    """Changes that were committed before the catch-up asked."""
    frames: list[Shown] = field(default_factory=list)
    live: bool = True
    """It has not ended yet."""


@dataclass
class Reading:
    """All that one reader saw of its room."""

    room: str
    user: str
    segments: list[Segment] = field(default_factory=list)
    view: dict[str, int] = field(default_factory=dict)
    """Message → newest version, of frames and catch-ups."""


Commit = tuple[str, str, str, int]
"""(room, `message` or `ended`, id of message or user, version)."""


class History(NamedTuple):
    """A whole run."""

    commits: Sequence[Commit]
    readings: Mapping[str, Reading]
    sent: Mapping[str, Sequence[str]]
    """`writer/room` → ids of messages in the order in which they were sent."""


def violations(history: History) -> list[str]:
    """Every broken promise, by the word that names it; none when all is well."""
    changes: dict[str, list[tuple[int, Shown]]] = defaultdict(list)
    ends: dict[tuple[str, str], int] = {}
    for number, (room, kind, identity, version) in enumerate(history.commits):
        if kind == "message":
            changes[room].append((number, Shown(identity, version)))
        else:
            ends[room, identity] = number
    found = _disorder(history, changes)
    for name, reading in history.readings.items():
        end = ends.get((reading.room, reading.user), len(history.commits))
        for segment in reading.segments:
            found += [f"{name}: {what}" for what in _judged(segment, changes[reading.room], end)]
        if _follows(reading):
            newest = {shown.message: shown.version for _, shown in changes[reading.room]}
            stale = [one for one, version in newest.items() if reading.view.get(one) != version]
            if stale:
                found.append(f"{name}: outdated: {stale[:5]}")
    return found


def complete(history: History) -> bool:
    """Whether every reader that may follow its room does, and has seen its last change."""
    for reading in history.readings.values():
        if any(
            kind == "ended" and (room, user) == (reading.room, reading.user)
            for room, kind, user, _ in history.commits
        ):
            continue
        if not _follows(reading):
            return False
        last = next(
            (
                (number, Shown(identity, version))
                for number, (room, kind, identity, version) in reversed(
                    list(enumerate(history.commits))
                )
                if room == reading.room and kind == "message"
            ),
            None,
        )
        segment = reading.segments[-1]
        if last is None or last[0] < segment.fetched_at:
            continue
        if not segment.frames or segment.frames[-1] != last[1]:
            return False
    return True


def _follows(reading: Reading) -> bool:
    return bool(reading.segments) and reading.segments[-1].live


def _disorder(history: History, changes: Mapping[str, list[tuple[int, Shown]]]) -> list[str]:
    """Messages of one writer that were not stored in the order in which they were sent."""
    places = {shown.message: number for one in changes.values() for number, shown in reversed(one)}
    found = []
    for writer, sent in history.sent.items():
        stored = [places[message] for message in sent if message in places]
        if stored != sorted(stored):
            found.append(f"{writer}: disordered: stored as {stored[:20]}")
    return found


def _judged(segment: Segment, changes: list[tuple[int, Shown]], end: int) -> list[str]:
    places = {shown: index for index, (_, shown) in enumerate(changes)}
    expected = sum(number < segment.fetched_at for number, _ in changes)  # not in the catch-up
    last = -1
    found: list[str] = []
    for shown in segment.frames:
        index = places.get(shown)
        if index is None:
            return [*found, f"invented: {shown}"]
        if changes[index][0] > end:
            found.append(f"leaked: {shown} after the end of the membership")
        if index <= last:
            found.append(f"doubled: {shown}")
            continue
        if index > expected:
            found.append(f"lost: {changes[expected][1]} to {changes[index - 1][1]}")
        last, expected = index, max(expected, index + 1)
    visible = sum(number < end for number, _ in changes)
    if segment.live and expected < visible:
        found.append(f"lost: the end, from {changes[expected][1]} on")
    return found
