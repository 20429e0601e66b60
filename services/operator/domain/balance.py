"""How uneven a pool is, and how many connections may be moved.

Long connections do not move to new pods by themselves, so scaling out does not relieve the pods
that were there before. A rebalance starts when the fullest streamer stays above `ratio` times the
mean for `after` seconds, and goes on until it is below `target`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.operator.domain.members import Member

MOST_PER_SECOND = 50.0
"""Connections that one streamer is asked to close per second at most, however full it is."""

Reason = Literal["Even", "Uneven", "Rebalancing", "LoadUnknown"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When to move connections, and how fast."""

    enabled: bool
    ratio: float
    target: float
    after: float
    """Seconds."""
    percent_per_minute: float


@dataclass(frozen=True, slots=True)
class Balance:
    """What the pool's status says of its balance."""

    reason: Reason
    since: datetime
    """When `Even` last turned into something else, or back."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many connections may be closed now, and up to when that uses up the time."""

    connections: int
    spent_until: datetime


def imbalance(members: Sequence[Member]) -> float | None:
    """Connections of the fullest serving streamer over their mean; None when none serves."""
    counts = [member.connections for member in members if member.serves]
    if not counts:
        return None
    total = sum(counts)
    return max(counts) * len(counts) / total if total else 1.0


def judge(
    ratio: float | None, before: Balance | None, limits: Limits, *, now: datetime, rollout: bool
) -> Reason:
    """What to say of a pool whose imbalance is `ratio`."""
    if ratio is None:
        return "LoadUnknown"
    may_move = limits.enabled and not rollout
    if before is not None and before.reason == "Rebalancing" and may_move:
        return "Rebalancing" if ratio >= limits.target else "Even"
    if ratio <= limits.ratio:
        return "Even"
    lasting = (
        before is not None
        and before.reason in ("Uneven", "Rebalancing")
        and (now - before.since).total_seconds() >= limits.after
    )
    return "Rebalancing" if may_move and lasting else "Uneven"


def fullest(members: Sequence[Member]) -> Member | None:
    """The serving streamer with the most connections."""
    serving = [member for member in members if member.serves]
    return max(serving, key=lambda member: (member.connections, member.pod.name), default=None)


def share(
    members: Sequence[Member], limits: Limits, *, spent_until: datetime, now: datetime
) -> Share:
    """How many connections the fullest streamer may be asked to close now.

    Never more than its surplus over `target` times the mean, and on average never more than
    `percent_per_minute` of its connections nor `MOST_PER_SECOND`. Time in which nothing was
    asked is saved up for a minute at most, or until it is worth one connection.
    """
    member = fullest(members)
    serving = [one.connections for one in members if one.serves]
    if member is None or len(serving) < 2 or not member.connections:
        return Share(0, spent_until)
    mean = sum(serving) / len(serving)
    surplus = math.floor(member.connections - limits.target * mean) + 1  # to be below, not at it
    rate = min(member.connections * limits.percent_per_minute / 6000.0, MOST_PER_SECOND)
    most = max(1, math.floor(rate * 60.0))
    earned = math.floor(rate * (now - spent_until).total_seconds() + 1e-9)
    allowed = max(0, min(earned, most, surplus))
    if not allowed:
        return Share(0, spent_until)
    if earned > most:  # what was saved up beyond a minute is lost
        return Share(allowed, now)
    return Share(allowed, spent_until + timedelta(seconds=allowed / rate))
