"""Which pod should go first: the deletion costs of a pool.

A ReplicaSet that shrinks deletes, among ready pods, the one with the lowest value of the annotation
`controller.kubernetes.io/pod-deletion-cost` first. Each write is an event for every watcher of
pods, so it is only worth it when the order of the pods would be wrong without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from services.operator.domain.members import Member

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
LOWEST = -(2**31)
"""The annotation is a 32-bit integer; whoever has this one goes before all others."""
STEPS = 20
"""Costs of serving pods are in steps of 5 % of the limit, never the count itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """One annotation to write."""

    member: Member
    cost: int


def cost_of(connections: int, limit: int) -> int:
    """`connections` in steps of 5 % of `limit`, halves rounded up: 0 to 20."""
    return min(STEPS, (2 * STEPS * connections + limit) // (2 * limit))


def wanted_costs(members: Iterable[Member], *, leaving: Iterable[str] = ()) -> dict[str, int]:
    """The cost that each pod should have: the lowest for those in `leaving`.

    Pods of which nobody knows the load are not named. All are measured by the same limit, the
    highest that a streamer reported, so that costs compare.
    """
    members = list(members)
    going = set(leaving)
    limit = max((member.load.limit for member in members if member.load is not None), default=1)
    costs = {
        member.pod.name: cost_of(member.load.connections, limit)
        for member in members
        if member.load is not None
    }
    return costs | {member.pod.name: LOWEST for member in members if member.pod.name in going}


def order_is_wrong(members: Iterable[Member], wanted: Mapping[str, int]) -> bool:
    """Whether two pods exist of which one should go before the other, and Kubernetes does not
    know it. A pod without the annotation counts as 0."""
    pairs = sorted(
        (wanted[member.pod.name], member.pod.cost or 0)
        for member in members
        if member.pod.name in wanted
    )
    highest_before: int | None = None
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        present = [cost for _, cost in group]
        if highest_before is not None and min(present) <= highest_before:
            return True
        highest_before = max(present)
    return False


def advice(
    members: Sequence[Member],
    wanted: Mapping[str, int],
    *,
    now: datetime,
    min_interval: float,
    may_shrink: bool,
    settled: bool,
) -> list[Change]:
    """The annotations to write now, those who go first at the front.

    None while the order is right, or while the pool cannot shrink (`may_shrink`); none for a pod
    whose annotation was written less than `min_interval` seconds ago. A pod that is about to
    leave is always marked, and one that was spared loses its mark: that is no advice, it is the
    choice. While Kubernetes is still deleting pods (not `settled`), marks are only added: those
    who have one may be the ones it is about to delete.
    """
    differing = [
        Change(member, wanted[member.pod.name])
        for member in members
        if member.pod.name in wanted and member.pod.cost != wanted[member.pod.name]
    ]
    advisable = may_shrink and order_is_wrong(members, wanted)
    chosen = [
        change
        for change in differing
        if change.cost == LOWEST
        or (
            settled
            and (
                change.member.pod.cost == LOWEST
                or (advisable and _is_due(change.member, now, min_interval))
            )
        )
    ]
    return sorted(chosen, key=lambda change: (change.cost, change.member.pod.name))


def foreign_owners(members: Iterable[Member]) -> list[str]:
    """Who else writes the annotation of these pods."""
    return sorted({owner for member in members for owner in member.pod.cost_owners})


def _is_due(member: Member, now: datetime, min_interval: float) -> bool:
    last = member.pod.cost_set_at
    return last is None or (now - last).total_seconds() >= min_interval
