"""One pass over one pool: read, decide, write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hubbub.telemetry.log import get_logger
from services.operator.domain import balance, costs
from services.operator.domain.conditions import Finding, Status, renewed
from services.operator.domain.members import Member
from services.operator.domain.scaling import Wait
from services.operator.kubernetes import ApiError, Cluster, OwnedByAnother
from services.operator.ledger import Ledger, shown_pods
from services.operator.metrics import OperatorMetrics
from services.operator.resources import ConditionPart, Deployment, PoolSpec
from services.operator.scale_in import ScaleIn, unfinished
from services.operator.streamers import Streamers

log = get_logger(__name__)

COSTS_PER_PASS = 10
"""Pods whose cost is written in one pass, so that a pass stays short; the rest follow."""

_BALANCED: dict[balance.Reason, Status] = {
    "Even": "True",
    "Uneven": "False",
    "Rebalancing": "False",
    "LoadUnknown": "Unknown",
}


class Pacer:
    """Lets one pass at a time, no two within `interval` seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._free_at = 0.0
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Return when it is allowed to do it once."""
        async with self._turn:
            await asyncio.sleep(self._free_at - time.monotonic())
            self._free_at = time.monotonic() + self._interval


@dataclass(slots=True)
class _Seen:
    """What one pass knows, and what it found to say."""

    deployment: Deployment
    members: Sequence[Member]
    now: datetime
    marked: dict[str, int] = field(default_factory=dict)
    """Pod → the cost that it was given in this pass."""
    conflict: str = ""
    waiting: Wait | None = None
    refusal: ApiError | None = None


class PoolKeeper:
    """Looks after pools, one pass at a time; keeps nothing between two passes."""

    def __init__(
        self,
        cluster: Cluster,
        streamers: Streamers,
        metrics: OperatorMetrics,
        *,
        pacer: Pacer,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._streamers = streamers
        self._metrics = metrics
        self._pacer = pacer
        self._now = now

    async def look_after(self, name: str) -> bool:
        """One pass over the pool; False when there is none of this name.

        Raises:
            ApiError: the API server refused something. The status says so, if it can.
        """
        pool = await self._cluster.pool(name)
        if pool is None:
            self._metrics.imbalance(name, None)
            return False
        ledger = Ledger(self._cluster, pool)
        deployment = await self._cluster.deployment(pool.spec.deployment_ref.name)
        if deployment is None:
            await self._lament(ledger)
            return True
        pods = await self._cluster.pods(str(deployment.spec.selector))
        members = await self._streamers.loads(pods)
        seen = _Seen(deployment, members, self._now())
        try:
            await self._act(ledger, seen)
        except ApiError as error:
            seen.refusal = error
        await self._report(ledger, seen)
        if seen.refusal is not None:
            raise seen.refusal
        return True

    # -- acting -------------------------------------------------------------------------------

    async def _act(self, ledger: Ledger, seen: _Seen) -> None:
        owners = costs.foreign_owners(seen.members)
        if owners:
            seen.conflict = f"the annotation is also written by {', '.join(owners)}"
        if ledger.pool.spec.mode == "Manage":
            scaling = ScaleIn(
                self._cluster,
                self._streamers,
                self._metrics,
                ledger=ledger,
                deployment=seen.deployment,
                members=seen.members,
                now=seen.now,
            )
            seen.waiting = await scaling.advance(steerable=not seen.conflict)
            await self._mark(ledger, seen, replicas=scaling.replicas)
            await scaling.command(seen.marked, steerable=not seen.conflict)
        else:
            await self._forget_scaling(ledger, seen)
            await self._mark(ledger, seen, replicas=seen.deployment.spec.replicas)

    async def _forget_scaling(self, ledger: Ledger, seen: _Seen) -> None:
        """A pool that is not managed any more begins afresh when it is managed again."""
        if ledger.leavers:
            await ledger.write(pods=shown_pods(seen.members, [], {}))
        await ledger.write(applied_replicas=None, applying_replicas=None)

    async def _mark(self, ledger: Ledger, seen: _Seen, *, replicas: int) -> None:
        """Write the deletion costs that are worth writing."""
        wish = ledger.pool.spec.deletion_cost
        if seen.conflict:
            return
        wanted = costs.wanted_costs(seen.members, leaving=[leaver.pod for leaver in ledger.leavers])
        changes = costs.advice(
            seen.members,
            wanted,
            now=seen.now,
            min_interval=wish.min_interval_seconds,
            may_shrink=wish.enabled and replicas > wish.min_replicas,
            settled=len(seen.members) <= replicas,
        )
        for change in changes[:COSTS_PER_PASS]:
            await self._pacer.turn()
            try:
                await self._cluster.set_cost(change.member.pod, change.cost)
            except OwnedByAnother as error:
                seen.conflict = str(error)
                return
            self._metrics.annotations.inc()
            seen.marked[change.member.pod.name] = change.cost

    # -- reporting ----------------------------------------------------------------------------

    async def _report(self, ledger: Ledger, seen: _Seen) -> None:
        """Write the status; then move connections, which needs it to be written."""
        loads = [member.load for member in seen.members if member.load is not None]
        ratio = balance.imbalance(seen.members)
        self._metrics.imbalance(ledger.pool.metadata.name, ratio)
        reason = self._judge(ledger, seen, ratio)
        begins = reason == "Rebalancing" and ledger.status.shed_until is None
        clashes = _is_new(ledger, "DeletionCostConflict") if seen.conflict else False
        findings = [
            _ready(seen),
            _progressing(ledger, seen),
            _draining(ledger, seen),
            Finding("Balanced", _BALANCED[reason], reason, _ratio_text(ratio)),
            _conflict(seen),
        ]
        status = seen.deployment.status
        await ledger.write(
            observed_generation=ledger.pool.metadata.generation,
            replicas=status.replicas,
            ready_replicas=status.ready_replicas,
            selector=str(seen.deployment.spec.selector),
            connections=sum(load.connections for load in loads),
            max_connections_per_pod=max((load.limit for load in loads), default=None),
            imbalance=f"{ratio:.2f}" if ratio is not None else None,
            draining=sum(load.draining for load in loads),
            pods=shown_pods(seen.members, ledger.leavers, seen.marked),
            shed_until=_shed_until(ledger, reason, seen.now),
            conditions=_conditions(ledger, findings, seen.now),
        )
        if clashes:
            await ledger.tell("DeletionCostConflict", seen.conflict)
        if begins:
            await ledger.tell("RebalanceStarted", _ratio_text(ratio))
        if reason == "Rebalancing":
            await self._shed(ledger, seen)

    async def _lament(self, ledger: Ledger) -> None:
        name = ledger.pool.spec.deployment_ref.name
        self._metrics.imbalance(ledger.pool.metadata.name, None)
        text = f"there is no deployment {name}"
        findings = [
            Finding("Ready", "False", "DeploymentNotFound", text),
            Finding("Progressing", "False", "DeploymentNotFound", text),
            Finding("Draining", "False", "DeploymentNotFound"),
            Finding("Balanced", "Unknown", "DeploymentNotFound"),
            Finding("DeletionCostConflict", "False", "DeploymentNotFound"),
        ]
        await ledger.write(
            observed_generation=ledger.pool.metadata.generation,
            replicas=0,
            ready_replicas=0,
            connections=0,
            imbalance=None,
            draining=0,
            pods=[],
            conditions=_conditions(ledger, findings, self._now()),
        )

    # -- balance ------------------------------------------------------------------------------

    def _judge(self, ledger: Ledger, seen: _Seen, ratio: float | None) -> balance.Reason:
        before = ledger.status.condition("Balanced")
        known = None
        if before is not None and before.reason in _BALANCED:
            known = balance.Balance(_reason(before.reason), before.since)
        busy = seen.deployment.rolling_out or bool(ledger.leavers) or seen.refusal is not None
        return balance.judge(ratio, known, limits_of(ledger.pool.spec), now=seen.now, rollout=busy)

    async def _shed(self, ledger: Ledger, seen: _Seen) -> None:
        """Ask the fullest streamer to close its share. What it costs is written down first."""
        spent_until = ledger.status.shed_until
        member = balance.fullest(seen.members)
        if spent_until is None or member is None or member.load is None:
            return
        share = balance.share(
            seen.members, limits_of(ledger.pool.spec), spent_until=spent_until, now=seen.now
        )
        if share.connections and member.load.instance is not None:
            await ledger.write(shed_until=share.spent_until)
            closing = await self._streamers.shed(member.load.instance, share.connections)
            self._metrics.shed.inc(closing)
            log.debug("rebalancing", pod=member.pod.name, asked=share.connections, closing=closing)


def limits_of(spec: PoolSpec) -> balance.Limits:
    """What the pool's spec says of moving connections."""
    wish = spec.rebalance
    return balance.Limits(
        wish.enabled,
        wish.ratio,
        wish.target_ratio,
        wish.after_seconds,
        wish.percent_per_minute,
    )


def _shed_until(ledger: Ledger, reason: balance.Reason, now: datetime) -> datetime | None:
    if reason != "Rebalancing":
        return None
    return ledger.status.shed_until or now


def _reason(text: str) -> balance.Reason:
    return next(reason for reason in _BALANCED if reason == text)


def _is_new(ledger: Ledger, condition: str) -> bool:
    before = ledger.status.condition(condition)
    return before is None or before.status != "True"


def _conditions(ledger: Ledger, findings: list[Finding], now: datetime) -> list[ConditionPart]:
    before = [part.plain() for part in ledger.status.conditions]
    generation = ledger.pool.metadata.generation
    found = renewed(findings, before, now=now.replace(microsecond=0), generation=generation)
    return [ConditionPart.of(condition) for condition in found]


def _ready(seen: _Seen) -> Finding:
    if seen.refusal is not None:
        return Finding("Ready", "False", "RequestRefused", str(seen.refusal))
    status = seen.deployment.status
    if not status.ready_replicas and seen.deployment.spec.replicas:
        return Finding("Ready", "False", "NoStreamerReady", "no streamer takes connections")
    silent = [member.pod.name for member in seen.members if member.pod.ready and not member.load]
    if silent:
        return Finding("Ready", "False", "StreamersSilent", f"no count from {', '.join(silent)}")
    return Finding("Ready", "True", "Observed", f"{status.ready_replicas} streamers are ready")


def _progressing(ledger: Ledger, seen: _Seen) -> Finding:
    if seen.deployment.rolling_out:
        return Finding("Progressing", "True", "RolloutRunning", "pods are being replaced")
    leavers = ledger.leavers
    if leavers:
        patience = ledger.pool.spec.drain.timeout_seconds
        waiting = ", ".join(unfinished(leavers, seen.now, patience)) or "nobody"
        return Finding("Progressing", "True", "ScalingIn", f"waiting for {waiting}")
    if seen.waiting is not None and seen.waiting.reason != "AsDesired":
        return Finding("Progressing", "True", seen.waiting.reason, "the next step has to wait")
    status, replicas = seen.deployment.status, seen.deployment.spec.replicas
    if status.ready_replicas != replicas:
        text = f"{status.ready_replicas} of {replicas} streamers are ready"
        return Finding("Progressing", "True", "Scaling", text)
    return Finding("Progressing", "False", "AsDesired", f"{replicas} streamers, as desired")


def _draining(ledger: Ledger, seen: _Seen) -> Finding:
    begun = {leaver.pod for leaver in ledger.leavers if leaver.begun and not leaver.drained}
    said = {member.pod.name for member in seen.members if member.load and member.load.draining}
    names = sorted(begun | said)
    if names:
        return Finding("Draining", "True", "StreamersDraining", ", ".join(names))
    return Finding("Draining", "False", "NoneDraining")


def _conflict(seen: _Seen) -> Finding:
    if seen.conflict:
        return Finding("DeletionCostConflict", "True", "OwnedByAnother", seen.conflict)
    return Finding("DeletionCostConflict", "False", "OnlyWriter")


def _ratio_text(ratio: float | None) -> str:
    if ratio is None:
        return "no streamer is ready"
    return f"the fullest streamer has {ratio:.2f} times the mean"
