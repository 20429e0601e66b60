"""The log of a room: where its messages stand in it, and who was a member where.

A message's position is its `seq`; in a room in which a message has none it is `ts`. A membership
begins and ends at the system message that tells of it: the server writes both in one transaction,
the end of a membership before its announcement. So a removed user may not be shown the
announcement of its own removal, and an added one may be shown that of its addition.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from tests.chaos.checker.database import Database, Room, Stored
from tests.chaos.checker.timeline import Timeline

BEGINS = frozenset({"au", "uj"})
ENDS = frozenset({"ru", "ul"})


@dataclass(frozen=True, slots=True)
class Stay:
    """A membership: the positions from `begins` up to, but without, `ends`."""

    begins: float
    ends: float

    def __contains__(self, position: float) -> bool:
        return self.begins <= position < self.ends


_NO_ROOM = Room((), frozenset())
ALWAYS = (Stay(-inf, inf),)


@dataclass(frozen=True, slots=True)
class Log:
    """A room's messages, by position."""

    messages: tuple[Stored, ...]
    """Ascending."""
    numbered: bool
    """Whether positions are `seq`."""
    places: Mapping[str, int]
    """Message id → index in `messages`."""
    begun: Sequence[float]
    """Message by message, the monotonic second before which it was certainly not stored:
    messages are stored in the order of their positions, so no earlier than that any message up to
    it was sent. Ascending; minus infinity where nothing is known."""
    members: frozenset[str]
    stays: Mapping[str, tuple[Stay, ...]]
    """Of those whose membership began or ended while the room existed."""

    def position(self, message: Stored) -> float:
        """Where it stands; only comparable within the room."""
        return message.seq if self.numbered and message.seq is not None else message.ts

    def stays_of(self, user: str) -> tuple[Stay, ...]:
        """Where the user was a member, ascending. Nowhere, if nothing tells of any membership."""
        return self.stays.get(user, ALWAYS if user in self.members else ())

    def was_member(self, user: str, position: float) -> bool:
        """Whether the user was a member there."""
        stays = self.stays_of(user)
        index = bisect_right(stays, position, key=lambda stay: stay.begins) - 1
        return index >= 0 and position in stays[index]


def logs(timeline: Timeline, database: Database) -> dict[str, Log]:
    """Room → its log. A room that is not stored has an empty one."""
    told: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for (user, room), moves in timeline.moves.items():
        told[room] += [(one.seq, user) for one in moves.removed if one.seq is not None]
    sent: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for (room_id, message_id), writing in timeline.writings.items():
        if writing.sends:
            sent[room_id][message_id] = writing.sends[0].t_mono
    return {
        room_id: _log(database.rooms.get(room_id, _NO_ROOM), told[room_id], sent[room_id])
        for room_id in database.rooms.keys() | timeline.rooms
    }


def _log(room: Room, told: Iterable[tuple[float, str]], sent: Mapping[str, float]) -> Log:
    numbered = all(message.seq is not None for message in room.messages)
    key = _seq if numbered else _ts
    messages = tuple(sorted(room.messages, key=key))
    turns: defaultdict[str, dict[float, bool]] = defaultdict(dict)
    if numbered:
        for position, user in told:
            turns[user][position] = False
    for message in messages:
        if message.kind in BEGINS or message.kind in ENDS:
            turns[message.body][key(message)] = message.kind in BEGINS
    return Log(
        messages=messages,
        numbered=numbered,
        places={message.id: index for index, message in enumerate(messages)},
        begun=tuple(accumulate((sent.get(message.id, -inf) for message in messages), max)),
        members=room.members,
        stays={user: tuple(_stays(sorted(of.items()))) for user, of in turns.items()},
    )


def _stays(turns: list[tuple[float, bool]]) -> Iterable[Stay]:
    """Who first ends was a member from the beginning."""
    since = None if turns[0][1] else -inf
    for position, begins in turns:
        if begins and since is None:
            since = position
        elif not begins and since is not None:
            yield Stay(since, position)
            since = None
    if since is not None:
        yield Stay(since, inf)


def _seq(message: Stored) -> float:
    return -1 if message.seq is None else message.seq


def _ts(message: Stored) -> float:
    return message.ts
