"""Mode Manage: the replicas of a deployment follow those of its pool.

Every step is written into the pool's status before it is done, so a process that starts in the
middle of one finishes it, and can tell its own changes from those of people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hubbub.telemetry.log import get_logger
from services.operator.domain.costs import LOWEST
from services.operator.domain.members import Member
from services.operator.domain.scaling import (
    Adopt,
    Apply,
    Choose,
    Counts,
    Leaver,
    Record,
    Release,
    Wait,
    drain_window,
    has_drained,
    is_done,
    is_late,
    next_step,
)
from services.operator.kubernetes import Cluster
from services.operator.ledger import Ledger, shown_pods
from services.operator.metrics import OperatorMetrics
from services.operator.resources import Deployment
from services.operator.streamers import Streamers

log = get_logger(__name__)

_STEPS = 6  # of one pass; each leads to another at most three times
_COMMANDED_AT_ONCE = 16  # streamers


class ScaleIn:
    """One pool and its deployment during one pass."""

    def __init__(
        self,
        cluster: Cluster,
        streamers: Streamers,
        metrics: OperatorMetrics,
        *,
        ledger: Ledger,
        deployment: Deployment,
        members: Sequence[Member],
        now: datetime,
    ) -> None:
        self._cluster = cluster
        self._streamers = streamers
        self._metrics = metrics
        self._ledger = ledger
        self._deployment = deployment
        self._members = members
        self._by_name = {member.pod.name: member for member in members}
        self._now = now
        self.replicas = deployment.spec.replicas
        """What the deployment has by now."""

    async def advance(self, *, steerable: bool) -> Wait | None:
        """Do what can be done now; returns what is waited for, None when a look is needed first.

        Raises: ApiError.
        """
        await self._notice()
        for _ in range(_STEPS):
            step = self._next(steerable=steerable)
            if isinstance(step, Wait):
                await self._ledger.write(applying_replicas=None)
                return step
            log.info(
                "scaling",
                pool=self._ledger.pool.metadata.name,
                step=type(step).__name__.lower(),
                replicas=getattr(step, "replicas", self.replicas),
            )
            if not await self._do(step):
                return None
        return None

    async def command(self, marked: Mapping[str, int], *, steerable: bool) -> None:
        """Tell those who are to go to drain, and those who began to serve again to stop.

        Only pods that Kubernetes knows to be first (`marked`: their costs) are told, so that
        nobody drains in vain.

        Raises: ApiError.
        """
        leavers = self._ledger.leavers
        told = [
            (leaver, member)
            for leaver in leavers
            if (member := self._by_name.get(leaver.pod)) is not None
            and member.load is not None
            and member.load.instance is not None
            and not member.load.draining
            and (not steerable or marked.get(leaver.pod, member.pod.cost) == LOWEST)
        ]
        places = asyncio.Semaphore(_COMMANDED_AT_ONCE)

        async def tell(leaver: Leaver, member: Member) -> Leaver:
            async with places:
                return await self._drain(leaver, member)

        answers = await asyncio.gather(*(tell(leaver, member) for leaver, member in told))
        changed = {leaver.pod: leaver for leaver in answers}
        after = [changed.get(leaver.pod, leaver) for leaver in leavers]
        if after != leavers:
            await self._write(after)
            await self._tell_begun(leavers, after)

    # -- what happened since the last pass ----------------------------------------------------

    async def _notice(self) -> None:
        """Write down which leavers have begun, and which have drained."""
        before = self._ledger.leavers
        after = [self._noticed(leaver) for leaver in before]
        if after == before:
            return
        await self._write(after)
        await self._tell_begun(before, after)
        finished = [
            new for old, new in zip(before, after, strict=True) if new.drained and not old.drained
        ]
        for leaver in finished:
            self._metrics.drain("finished")
            took = round((self._now - leaver.since).total_seconds())
            await self._ledger.tell("DrainFinished", f"{leaver.pod} is empty after {took} s")

    def _noticed(self, leaver: Leaver) -> Leaver:
        member = self._by_name.get(leaver.pod)
        load = member.load if member is not None else None
        drains = load is not None and load.draining
        return replace(
            leaver,
            begun=leaver.begun or drains,
            instance=load.instance if load is not None and drains else leaver.instance,
            drained=has_drained(leaver, member),
        )

    # -- steps --------------------------------------------------------------------------------

    def _next(self, *, steerable: bool) -> Adopt | Record | Choose | Release | Apply | Wait:
        pool = self._ledger.pool
        counts = Counts(
            desired=pool.spec.replicas if pool.spec.replicas is not None else self.replicas,
            current=self.replicas,
            applied=pool.status.applied_replicas,
            applying=pool.status.applying_replicas,
        )
        return next_step(
            counts,
            self._ledger.leavers,
            self._members,
            now=self._now,
            patience=pool.spec.drain.timeout_seconds,
            rollout=self._deployment.rolling_out or len(self._members) > self.replicas,
            learning=self._streamers.learning,
            steerable=steerable,
        )

    async def _do(self, step: Adopt | Record | Choose | Release | Apply) -> bool:
        """Whether what was read at the beginning of the pass still helps to decide further."""
        match step:
            case Record(replicas):
                await self._record(replicas)
            case Adopt(replicas):
                return await self._adopt(replicas)
            case Choose(pods):
                await self._choose(pods)
            case Release(pods):
                await self._release(set(pods))
            case Apply(replicas):
                await self._apply(replicas)
                return False
        return True

    async def _record(self, replicas: int) -> None:
        applied = self._ledger.status.applied_replicas
        shrunk = applied is not None and replicas < applied
        kept = [] if shrunk else self._ledger.leavers
        await self._write(kept, applied_replicas=replicas, applying_replicas=None)

    async def _adopt(self, replicas: int) -> bool:
        wanted = self._ledger.pool.spec.replicas
        if not await self._ledger.want_replicas(replicas):
            return False
        for _ in self._ledger.leavers:
            self._metrics.drain("cancelled")
        await self._write([], applied_replicas=replicas, applying_replicas=None)
        name = self._deployment.metadata.name
        await self._ledger.tell(
            "ManualScaleAdopted",
            f"somebody scaled {name} to {replicas}; the pool follows (it wanted {wanted})",
        )
        return True

    async def _choose(self, pods: Sequence[Member]) -> None:
        chosen = [Leaver(pod.pod.name, self._now, pod.pod.restarts) for pod in pods]
        await self._write([self._noticed(leaver) for leaver in chosen])
        shown = ", ".join(f"{member.pod.name} ({member.connections})" for member in pods)
        await self._ledger.tell(
            "ScaleInPlanned",
            f"{self.replicas} to {self.replicas - len(pods)}; who goes (connections): {shown}",
        )

    async def _release(self, pods: set[str]) -> None:
        for _ in pods:
            self._metrics.drain("cancelled")
        await self._write([one for one in self._ledger.leavers if one.pod not in pods])

    async def _apply(self, replicas: int) -> None:
        leavers = self._ledger.leavers
        shrinking = replicas < self.replicas
        await self._ledger.write(applying_replicas=replicas)
        if not await self._cluster.scale(self._deployment, replicas):
            return
        self.replicas = replicas
        kept = [] if shrinking else leavers
        await self._write(kept, applied_replicas=replicas, applying_replicas=None)
        if not shrinking:
            return
        patience = self._ledger.pool.spec.drain.timeout_seconds
        for leaver in leavers:
            if not leaver.drained and is_late(leaver, self._now, patience):
                self._metrics.drain("timed_out")
                left = self._by_name[leaver.pod].connections
                await self._ledger.tell(
                    "DrainTimedOut", f"{leaver.pod} still had {left} connections"
                )

    # -- commands -----------------------------------------------------------------------------

    async def _drain(self, leaver: Leaver, member: Member) -> Leaver:
        load = member.load
        if load is None or load.instance is None:
            return leaver
        wish = self._ledger.pool.spec.drain
        going = {one.pod for one in self._ledger.leavers}
        others = sum(one.serves and one.pod.name not in going for one in self._members)
        window = drain_window(
            load.connections,
            seconds=wish.window_seconds,
            rate_per_pod=wish.max_reconnect_rate_per_pod,
            others=others,
            patience=wish.timeout_seconds,
        )
        answer = await self._streamers.drain(load.instance, window)
        if answer is None or leaver.drained:
            return leaver
        return replace(leaver, begun=True, instance=load.instance)

    async def _tell_begun(self, before: Sequence[Leaver], after: Sequence[Leaver]) -> None:
        known = {leaver.pod for leaver in before if leaver.begun}
        for leaver in after:
            if leaver.begun and leaver.pod not in known:
                self._metrics.drain("started")
                member = self._by_name.get(leaver.pod)
                count = member.connections if member is not None else 0
                await self._ledger.tell("DrainStarted", f"{leaver.pod}, {count} connections")

    async def _write(self, leavers: Sequence[Leaver], **changes: int | None) -> None:
        await self._ledger.write(pods=shown_pods(self._members, leavers, {}), **changes)


def unfinished(leavers: Sequence[Leaver], now: datetime, patience: float) -> list[str]:
    """The pods that a batch still waits for."""
    return [leaver.pod for leaver in leavers if not is_done(leaver, now, patience)]
