"""Pods and streamers for tests, with only what matters to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.operator.domain.members import Load, Member, Pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seconds_ago(seconds: float) -> datetime:
    """A moment before `NOW`."""
    return NOW - timedelta(seconds=seconds)


def member(
    name: str, connections: int | None = 0, *, draining: bool = False, limit: int = 1000, **pod: Any
) -> Member:
    """A pod that runs and is ready; None connections: nobody knows."""
    pod.setdefault("created", seconds_ago(1000))
    load = None
    if connections is not None:
        load = Load(connections, limit, draining, instance=f"{name}-process")
    return Member(Pod(name=name, uid=f"uid-{name}", **pod), load)
