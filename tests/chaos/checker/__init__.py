"""The judge of a failure drill: what clients saw x what is stored in the end -> broken promises.

Pure, and linear in the number of records. Each promise is judged in one module, whose docstring
says what exactly is meant:

    durable    acked-durable, unknown-safe
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.checker.database import Database, Room, Stored
from tests.chaos.checker.durable import durable
from tests.chaos.checker.timeline import timeline
from tests.chaos.checker.verdict import (
    Bounds,
    Counts,
    Invariant,
    Pauses,
    ProvesNothing,
    Verdict,
    Violation,
)
from tests.chaos.history import Record

__all__ = [
    "Bounds",
    "Counts",
    "Database",
    "Invariant",
    "Pauses",
    "ProvesNothing",
    "Room",
    "Stored",
    "Verdict",
    "Violation",
    "check",
]

USUAL = Bounds()


def check(history: Iterable[Record], database: Database, bounds: Bounds = USUAL) -> list[Violation]:
    """Everything that contradicts the promises; empty when they were kept.

    Raises:
        ProvesNothing: nothing was sent, answered or read.
    """
    lines = timeline(history)
    return list(durable(lines, database))
