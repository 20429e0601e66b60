"""What passed through here lately, for those who ask why a user did not get a message.

Nothing is noted per delivery. Of each message event there is one tuple, and of each connection
and subscription when it began and when it ended; who got an event follows from these when
somebody asks. The order is told by *steps*: every beginning and every end is a step, an event
notes between which steps it was handed out. All of it is ids, steps and moments.

    step      7          8                  9            10
         ada enters   ada subscribes     (event)     ada's socket ends
                                       begun 8, done 8
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from services.ddp_streamer.audiences import Event

Topic = tuple[str, str]

Passing = tuple[int, int, int, float, int, int]
"""Sequence, step when it began to be handed out, step when that was done, when it began,
recipients, flags."""

REPLAYED: Final = 1
"""It was missing and came from the log."""
WILDCARD: Final = 2
"""It came for those who follow all public rooms, not by the room's own audience."""

_FROM_LOG: Final = "Nats-Num-Pending"
"""A header that only an answer of the log has."""


class Instant(NamedTuple):
    """When something happened here."""

    step: int
    at: float
    """Monotonic seconds."""


FOREVER: Final = Instant(2**63, math.inf)


class Listened(NamedTuple):
    """A subscription to messages that has ended."""

    connection: str
    topic: Topic
    since: Instant
    until: Instant
    refused: bool
    """The server ended it: the user may not listen any more."""


class Receipts(NamedTuple):
    """What a connection knows of the way of its frames. Monotonic seconds."""

    written_until: float = math.inf
    """Frames queued later have not left the process, and when it has ended, never did."""
    closing_at: float = math.inf
    """Frames of later were not even queued."""
    pinged_at: float = 0.0
    answered_at: float = 0.0
    """When the client was heard last."""
    cause: str = ""
    """Why it ended; empty while it lasts."""


class Presence(NamedTuple):
    """A user's time on a connection that has ended."""

    user_id: str
    connection: str
    since: Instant
    until: Instant
    receipts: Receipts


class Turn(NamedTuple):
    """A user came into a room or lost it."""

    user_id: str
    room_id: str
    sequence: int
    """Place of that in the log."""
    inside: bool
    written_until: dict[str, float]
    """By connection, of a user who lost it: what was queued later was forgotten."""


class Recent:
    """The memory. Bounded; the oldest goes first."""

    def __init__(
        self,
        limit: int = 20_000,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            limit: entries of each kind.
            clock: monotonic seconds, those of the event loop.
            wall: seconds since 1970.
        """
        self._clock = clock
        self._wall = wall
        self._begun = clock()
        self.step = 0
        self._passings: deque[Passing] = deque(maxlen=limit)
        self._listened: deque[Listened] = deque(maxlen=limit)
        self._presences: deque[Presence] = deque(maxlen=limit)
        self._turns: deque[Turn] = deque(maxlen=limit)

    # --- taking note --------------------------------------------------------------------------

    def now(self) -> Instant:
        """Take a step."""
        self.step += 1
        return Instant(self.step, self._clock())

    def passed(
        self, event: Event, begun: int, at: float, recipients: int, *, wildcard: bool = False
    ) -> None:
        """A message was handed out, from step `begun` and moment `at` until now."""
        flags = (REPLAYED if _FROM_LOG in event.headers else 0) | (WILDCARD if wildcard else 0)
        self._passings.append((event.sequence, begun, self.step, at, recipients, flags))

    def unsubscribed(self, connection: str, topic: Topic, since: Instant, *, refused: bool) -> None:
        """A subscription to messages has ended."""
        self._listened.append(Listened(connection, topic, since, self.now(), refused))

    def left(self, user_id: str, connection: str, since: Instant, receipts: Receipts) -> None:
        """A user is gone from a connection."""
        self._presences.append(Presence(user_id, connection, since, self.now(), receipts))

    def expelled(
        self, user_id: str, room_id: str, sequence: int, recipients: Iterable[object]
    ) -> None:
        """A user has lost a room; called before what waits for them is forgotten."""
        written = {
            str(getattr(one, "connection_id", "")): receipts_of(one).written_until
            for one in recipients
        }
        self._turns.append(Turn(user_id, room_id, sequence, inside=False, written_until=written))

    def admitted(self, user_id: str, room_id: str, sequence: int) -> None:
        """A user has come into a room."""
        self._turns.append(Turn(user_id, room_id, sequence, inside=True, written_until={}))

    # --- answering ----------------------------------------------------------------------------

    @property
    def since(self) -> float:
        """What passed before is not remembered; monotonic seconds."""
        oldest = [self._begun]
        if len(self._passings) == self._passings.maxlen:
            oldest.append(self._passings[0][3])
        rings = (self._presences, self._listened)
        oldest += [ring[0].until.at for ring in rings if len(ring) == ring.maxlen]
        return max(oldest)

    def milliseconds(self, at: float) -> int:
        """A monotonic moment as milliseconds since 1970."""
        return round((self._wall() - (self._clock() - at)) * 1000)

    def moment(self, milliseconds: int) -> float:
        """A moment in milliseconds since 1970 as monotonic seconds."""
        return self._clock() - (self._wall() - milliseconds / 1000)

    def passings(self, sequence: int) -> list[Passing]:
        """When the event at `sequence` was handed out: by the room's audience, by the wildcard."""
        return [passing for passing in self._passings if passing[0] == sequence]

    def presences(self, user_id: str) -> list[Presence]:
        """The user's connections that have ended."""
        return [one for one in self._presences if one.user_id == user_id]

    def listened(self, connection: str) -> list[Listened]:
        """The subscriptions to messages of a connection that have ended."""
        return [one for one in self._listened if one.connection == connection]

    def turns(self, user_id: str, room_id: str) -> list[Turn]:
        """When the user came into the room and lost it."""
        return [one for one in self._turns if (one.user_id, one.room_id) == (user_id, room_id)]


def receipts_of(recipient: object) -> Receipts:
    """What `recipient` knows of the way of its frames; nothing, if it does not tell."""
    receipts = getattr(recipient, "receipts", None)
    return receipts if isinstance(receipts, Receipts) else Receipts()
