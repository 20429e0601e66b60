"""The next step of a managed pool towards its replicas.

A scale-in is one batch at a time: choose the pods with the fewest connections, drain them, wait
until they are empty or the patience ends, then lower the replicas by as many. A pod that has
begun to drain is finished in any case and counts as gone; when more replicas are wanted meanwhile,
others are started in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from services.operator.domain.members import Member


@dataclass(frozen=True, slots=True)
class Leaver:
    """A pod that was chosen to go, as the status of the pool remembers it."""

    pod: str
    since: datetime
    """When it was chosen."""
    restarts: int
    """Restarts of its container at that moment: one more means that it has drained and ended."""
    begun: bool = False
    """It was told to drain and understood."""
    drained: bool = False
    instance: str | None = None
    """The process that was told to drain."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Replicas, as different parties see them."""

    desired: int
    """What the pool asks for."""
    current: int
    """What the deployment has in its spec."""
    applied: int | None = None
    """What the operator last gave to the deployment; None when it never did."""
    applying: int | None = None
    """What the operator was about to give when it last wrote that down."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Somebody else gave the deployment these replicas; the pool takes them over."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Record:
    """Write down that the deployment has these replicas, and that this is as it should be."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Choose:
    """Write down that these pods go."""

    pods: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Forget that these pods were to go; none has begun."""

    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """Give the deployment these replicas."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done now."""

    reason: Literal["AsDesired", "Draining", "RolloutRunning", "LoadUnknown"]


Step: TypeAlias = Adopt | Record | Choose | Release | Apply | Wait


def next_step(
    counts: Counts,
    leavers: Sequence[Leaver],
    members: Sequence[Member],
    *,
    now: datetime,
    patience: float,
    rollout: bool,
    learning: bool,
    steerable: bool,
) -> Step:
    """What to do first; ask again after it is done.

    Args:
        patience: seconds that a pod may take to drain.
        rollout: the deployment is replacing its pods; nobody knows which of them stay.
        learning: some loads are unknown only because the operator has just started.
        steerable: False when somebody else decides on deletion costs. Choosing pods is then
            useless, and they drain when Kubernetes ends them.
    """
    if counts.applied is None or counts.current == counts.applying != counts.applied:
        return Record(counts.current)
    if counts.current != counts.applied:
        taken_over = counts.current == counts.desired
        return Record(counts.current) if taken_over else Adopt(counts.current)
    serving = counts.current - len(leavers)
    if serving < counts.desired:
        return _grow(counts, leavers, missing=counts.desired - serving)
    if leavers:
        if all(is_done(leaver, now, patience) for leaver in leavers):
            return Apply(max(0, serving))
        return Wait("Draining")
    if serving == counts.desired:
        return Wait("AsDesired")
    if not steerable:
        return Apply(counts.desired)
    if rollout:
        return Wait("RolloutRunning")
    if learning and any(member.pod.ready and member.load is None for member in members):
        return Wait("LoadUnknown")
    return _shrink(counts, members)


def _grow(counts: Counts, leavers: Sequence[Leaver], *, missing: int) -> Step:
    spared = [leaver.pod for leaver in leavers if not leaver.begun and not leaver.drained]
    if spared:
        return Release(tuple(spared[:missing]))
    return Apply(counts.current + missing)


def _shrink(counts: Counts, members: Sequence[Member]) -> Step:
    # A pod that does not exist yet needs no drain: it is the first that a ReplicaSet gives up.
    absent = max(0, counts.current - len(members))
    superfluous = counts.current - counts.desired - absent
    if superfluous <= 0:
        return Apply(counts.desired)
    return Choose(tuple(first_to_go(members)[:superfluous]))


def first_to_go(members: Sequence[Member]) -> list[Member]:
    """`members` in the order in which they should leave.

    As a ReplicaSet does it: what does not run before what runs, what is not ready before what is.
    Then the fewest connections; a streamer whose count nobody knows counts as full. The youngest
    of equals goes first.
    """
    return sorted(
        members,
        key=lambda member: (
            member.pod.scheduled,
            member.pod.running,
            member.pod.ready,
            member.load is None,
            member.connections,
            -member.pod.created.timestamp(),
            member.pod.name,
        ),
    )


def is_done(leaver: Leaver, now: datetime, patience: float) -> bool:
    """Whether nobody need wait for this one any longer."""
    return leaver.drained or is_late(leaver, now, patience)


def is_late(leaver: Leaver, now: datetime, patience: float) -> bool:
    """Whether it has had its time."""
    return (now - leaver.since).total_seconds() >= patience


def has_drained(leaver: Leaver, member: Member | None) -> bool:
    """Whether the streamer that was told to drain holds no connection any more.

    True when its pod is gone, when its process ended (Kubernetes starts another in the same pod),
    or when it says so itself. Once true it stays true, whatever the next process in that pod does.
    """
    if leaver.drained or member is None or not member.pod.running:
        return True
    if member.pod.restarts > leaver.restarts:
        return True
    load = member.load
    if load is None:
        return False
    if load.draining:
        return load.connections == 0
    if leaver.begun and leaver.instance is not None and load.instance is not None:
        return load.instance != leaver.instance
    return False


def drain_window(
    connections: int, *, seconds: float, rate_per_pod: float, others: int, patience: float
) -> float:
    """Seconds over which a streamer should spread the closing of its `connections`.

    At least `seconds`; longer when the `others` would otherwise get more than `rate_per_pod`
    new connections per second each; never beyond `patience`.
    """
    rate = rate_per_pod * max(1, others)
    return min(patience, max(seconds, connections / rate))
