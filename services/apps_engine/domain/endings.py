"""How the process of an app ends, and what it may do to us before that."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from services.apps_engine.domain.boundaries import Boundary
from services.apps_engine.domain.watch import Bounds


class Cause(StrEnum):
    """Why a process ended."""

    STOPPED = "stopped"  # we wanted it
    EXITED = "exited"
    NOT_STARTED = "not-started"
    REFUSED = "refused"  # a boundary that is required could not be had
    BROKEN = "broken"  # it sent what is no frame, or what nobody asked for
    FLOOD = "flood"  # it called far too often, or does not read what it asked for
    LIMITS = "limits"  # processor, memory or disk
    SILENT = "silent"  # it takes calls and answers none
    DEFECT = "defect"  # ours


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended; `detail` is for an administrator to read."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Bounding:
    """What an app may do to the engine."""

    calls_per_second: float = 50.0
    calls_at_once: float = 100.0
    refusals: int = 1_000
    """Calls over the rate within `refusal_span` after which the process is ended."""
    refusal_span: float = 10.0  # seconds
    silence: int = 5
    """Deadlines in a row that pass without a word before the process is ended."""
    silence_span: float = 10.0  # seconds
    use: Bounds = field(default_factory=Bounds)
    required: frozenset[Boundary] = frozenset()
    """Boundaries without which no app is started."""
