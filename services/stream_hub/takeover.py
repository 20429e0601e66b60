"""How a leader begins: is the log still the one we know, and what of our work is in it already?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hubbub.contracts.event_log import (
    CONTROL,
    Audience,
    Epochs,
    Header,
    Kind,
    Marker,
    encode_control,
)
from hubbub.ids import random_id
from services.stream_hub.domain.event import StreamEvent
from services.stream_hub.jetstream import Entry, LogState
from services.stream_hub.store import Checkpoint, LogIdentity

LOOK_BACK = 1000
"""Events to read again in a log that lost its end: more than can be on their way at once."""


class Continuity(NamedTuple):
    """What a leader finds out before it begins."""

    log: LogIdentity
    read_from: int
    """Events from this sequence on may be of changes behind the checkpoint."""
    broken: str = ""
    """Why positions of before prove nothing, one word; empty when they still count."""


@dataclass(slots=True)
class Seen:
    """Ids of events that are in the log though the checkpoint does not know them."""

    ids: set[str] = field(default_factory=set)
    last: str = ""
    """The latest change that any of them is of: behind it, nothing can be in the log."""


@dataclass(slots=True)
class Beginning:
    """Where a leader's work starts."""

    created: str
    """Creation time of the log."""
    sequence: int
    """Sequence of the own marker: the next event stands behind it."""
    marker_id: str
    base: Checkpoint
    """Where to resume the history. Its sequence stays until all of `seen` is passed."""
    seen: Seen
    audiences: dict[Audience, int] = field(default_factory=dict)
    """The last sequence of each audience among the events read."""


def judge(
    checkpoint: Checkpoint, known: LogIdentity, state: LogState, at_checkpoint: Entry | None
) -> Continuity:
    """Whether the log continues what the checkpoint knows.

    Args:
        at_checkpoint: the event at the checkpoint's sequence, None when it is not kept any more.
    """
    if not known.created:
        return Continuity(LogIdentity(state.created), state.first)
    broken = LogIdentity(state.created, known.breaks + 1)
    look_back = max(state.first, state.last - LOOK_BACK + 1)
    if state.created != known.created:
        return Continuity(broken, state.first, "recreated")
    if state.last < checkpoint.sequence:
        return Continuity(broken, look_back, "truncated")
    if at_checkpoint is not None and checkpoint.event_id not in ("", at_checkpoint.event_id):
        return Continuity(broken, look_back, "rewritten")
    if checkpoint.sequence + 1 < state.first <= state.last or (
        state.first > state.last > checkpoint.sequence
    ):
        # What came behind the checkpoint is too old to be kept, and nobody can say what it was.
        return Continuity(broken, state.first, "expired")
    return Continuity(known, max(checkpoint.sequence + 1, state.first))


def seen_in(entries: Iterable[Entry], checkpoint: Checkpoint) -> Seen:
    """The events behind the checkpoint that count. What a stale leader wrote behind its
    successor's marker does not, and must be published again."""
    epochs, seen = Epochs(), Seen()
    epochs.mark(checkpoint.epoch, 0)
    for entry in entries:
        if entry.marker is not None:
            epochs.mark(entry.epoch, entry.sequence)
        elif epochs.counts(entry.epoch, entry.sequence):
            seen.ids.add(entry.event_id)
            seen.last = max(seen.last, token_of(entry.event_id))
    return seen


def event_id(token: str, index: int, label: str = "") -> str:
    """The id of the event number `index` of a change: the same whoever publishes it."""
    return f"{token}:{label}{index}"


def token_of(identity: str) -> str:
    """The change that an event id names."""
    return identity.rpartition(":")[0]


def marker(
    epoch: int, holder: str, log: LogIdentity, *, resync: bool, resumed_from: int = 0
) -> StreamEvent:
    """The event that says: from here on, this leader."""
    told = Marker(
        epoch=epoch,
        holder=holder,
        log_epoch=log.epoch,
        resync=resync,
        resumed_from=resumed_from,
    )
    headers = {Header.KIND: Kind.CONTROL.value}
    return StreamEvent(CONTROL, encode_control(told), headers)


def marker_id(epoch: int) -> str:
    """An id for one marker. It sorts before every change, so it never delays a checkpoint."""
    return f"!{epoch}:{random_id()}"


def behind(base: Checkpoint, continuity: Continuity) -> Checkpoint:
    """The checkpoint to keep while what was seen in the log is not passed yet."""
    if not continuity.broken:
        return base
    return replace(base, sequence=continuity.read_from - 1, event_id="")
