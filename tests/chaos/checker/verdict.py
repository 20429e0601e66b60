"""What the checker says: which promise was broken by what, how much happened, how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.history import Record

MIB = 1024 * 1024


class Invariant(StrEnum):
    """The promises; their exact meaning stands in the module that judges them."""

    ACKED_DURABLE = "acked-durable"
    ACKED_DELIVERED = "acked-delivered"
    ONCE = "once"
    SAME_ORDER = "same-order"
    NO_LEAK = "no-leak"
    BOUNDED = "bounded"
    SAYS_SO = "says-so"
    UNKNOWN_SAFE = "unknown-safe"
    PRESENCE = "presence"


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise, broken once."""

    invariant: Invariant
    what: str
    """One line for people."""
    records: tuple[Record, ...] = ()
    """The evidence, in the order of time; what is missing is not in it."""

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is judged by numbers."""

    rss: int = 512 * MIB
    """Bytes that a process stays below when its samples name no limit."""
    growth: float = 1.0 * MIB
    """Bytes per minute that a process may grow by once it is warm."""
    warm_up: float = 60.0
    """Seconds after the first sample of a process that say nothing about growth."""
    growth_span: float = 60.0
    """Seconds of warm samples below which growth is not judged."""
    quiet: float = 10.0
    """Seconds after a fault is healed that still belong to it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much happened."""

    sent: int
    """Messages; repetitions are not counted."""
    acked: int
    """Messages that were answered with success."""
    unknown: int
    """Messages never answered with success, nor refused for certain."""
    refused: int
    """Messages that certainly were not stored, by their answers."""
    repeated: int
    """Attempts to send after the first one of each message."""
    delivered: int
    """Frames of new messages."""
    recovered: int
    """Messages (per reader) first shown by an answer, or by a frame before `ready`; not those of
    the reader's first subscription, as long as nothing was lost."""
    readers: int
    """Readers (per room) that were there until the end, and so were owed everything."""
    lost: int
    """Violations of acked-durable and acked-delivered."""
    doubled: int
    """Violations of once and unknown-safe."""
    misordered: int
    """Violations of same-order."""
    leaked: int
    """Violations of no-leak."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """The longest waits that touch the time from a fault until `Bounds.quiet` after its end, and
    the usual ones. Seconds; None: nobody waited."""

    fault: str
    began: float
    ended: float
    delivery: float | None
    """Of a message's frame after the message's answer, on sockets whose subscription stood when
    the answer came, and stands until the frame."""
    recovery: float | None
    """Of a message's first appearance to a reader whose socket did not last from the answer until
    then: it counts from the answer, through the loss of the socket and the reconnect."""
    write: float | None
    """From the first attempt to send to the answer; who gets none waits until the end."""
    slowed: float | None
    """Any of these waits of those who were made to read slowly; the others are of all others."""
    p99_before: float | None
    """Which 99 of 100 messages did not take longer, from the attempt to send to the frame on a
    socket that listened all the time: of those sent before the first fault."""
    p99: float | None
    """The same of those sent while this fault lasted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All of it."""

    violations: list[Violation]
    counts: Counts
    pauses: list[Pauses]


class ProvesNothing(Exception):
    """Nothing was sent, answered or read: what did not happen cannot have gone well."""
