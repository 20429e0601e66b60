"""Conditions of a status, as Kubernetes objects carry them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["True", "False", "Unknown"]
Type = Literal[
    "Ready",
    "Progressing",
    "Draining",
    "Balanced",
    "DeletionCostConflict",
    "Installed",
    "Enabled",
    "PermissionsGranted",
    "Healthy",
]

MAX_MESSAGE = 1024
"""Characters; the API allows more, but people read it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about an object. The type is what the statement is about."""

    type: str
    status: Status
    reason: str
    message: str
    since: datetime
    """When `status` last changed."""
    generation: int | None = None
    """Of the object that the statement was made about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition should say now."""

    type: Type
    status: Status
    reason: str
    message: str = ""


def renewed(
    findings: Iterable[Finding],
    before: Sequence[Condition],
    *,
    now: datetime,
    generation: int | None,
) -> list[Condition]:
    """The conditions that say what `findings` say.

    Those whose status is the same as `before` keep their moment. Conditions of other types, which
    somebody else may have put there, stay as they are.
    """
    earlier = {condition.type: condition for condition in before}
    fresh = {
        finding.type: Condition(
            finding.type,
            finding.status,
            finding.reason,
            finding.message[:MAX_MESSAGE],
            _since(earlier.get(finding.type), finding, now),
            generation,
        )
        for finding in findings
    }
    kept = [condition for condition in before if condition.type not in fresh]
    return [*fresh.values(), *kept]


def _since(before: Condition | None, finding: Finding, now: datetime) -> datetime:
    return before.since if before is not None and before.status == finding.status else now
