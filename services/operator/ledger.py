"""The status of a pool: what is shown to people, and what the operator remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from services.operator.domain.members import Member
from services.operator.domain.scaling import Leaver
from services.operator.kubernetes import Cluster
from services.operator.resources import Phase, PodStatus, PoolStatus, StreamerPool

EventReason = Literal[
    "DrainStarted",
    "DrainFinished",
    "DrainTimedOut",
    "ScaleInPlanned",
    "ManualScaleAdopted",
    "RebalanceStarted",
    "DeletionCostConflict",
]
_WARNINGS: frozenset[EventReason] = frozenset({"DrainTimedOut", "DeletionCostConflict"})


class Ledger:
    """One pool during one pass. What `write` returned from is what a later process will know."""

    def __init__(self, cluster: Cluster, pool: StreamerPool) -> None:
        self._cluster = cluster
        self.pool = pool

    @property
    def status(self) -> PoolStatus:
        """What is written down."""
        return self.pool.status

    @property
    def leavers(self) -> list[Leaver]:
        """The pods that are to go."""
        found = [pod.leaver() for pod in self.status.pods]
        return [leaver for leaver in found if leaver is not None]

    async def write(self, **changes: Any) -> None:
        """Change fields of the status, if they differ from what is written. Raises: ApiError."""
        before = self.status.written()
        after = self.status.model_copy(update=changes).written()
        patch = {
            name: after.get(name)
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        }
        if patch:
            self.pool = await self._cluster.patch_status(self.pool, patch)

    async def want_replicas(self, replicas: int) -> bool:
        """Change the spec, unless somebody else just did (False). Raises: ApiError."""
        changed = await self._cluster.want_replicas(self.pool, replicas)
        if changed is None:
            return False
        self.pool = changed
        return True

    async def tell(self, reason: EventReason, message: str) -> None:
        """Record an event about the pool. Raises: ApiError."""
        severity: Literal["Normal", "Warning"] = "Warning" if reason in _WARNINGS else "Normal"
        await self._cluster.tell(self.pool, reason, message, severity=severity)


def shown_pods(
    members: Iterable[Member], leavers: Sequence[Leaver], costs: Mapping[str, int]
) -> list[PodStatus]:
    """The pods for the status, by name; a leaver that is gone stays until its batch ends."""
    present = {member.pod.name: member for member in members}
    going = {leaver.pod: leaver for leaver in leavers}
    return [
        _shown(name, present.get(name), going.get(name), costs)
        for name in sorted({*present, *going})
    ]


def _shown(
    name: str, member: Member | None, leaver: Leaver | None, costs: Mapping[str, int]
) -> PodStatus:
    since: datetime | None = leaver.since if leaver is not None else None
    return PodStatus(
        name=name,
        connections=member.connections if member is not None else 0,
        cost=costs.get(name, (member.pod.cost or 0) if member is not None else 0),
        phase=_phase(member, leaver),
        drain_since=since,
        drain_restarts=leaver.restarts if leaver is not None else None,
        drain_instance=leaver.instance if leaver is not None else None,
    )


def _phase(member: Member | None, leaver: Leaver | None) -> Phase:
    if leaver is not None:
        if leaver.drained:
            return "Drained"
        return "Draining" if leaver.begun else "Serving"
    drains = member is not None and member.load is not None and member.load.draining
    return "Draining" if drains else "Serving"
