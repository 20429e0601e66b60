"""The judge of a failure drill: what clients saw x what is stored in the end -> broken promises.

Pure, and linear in the number of records. Each promise is judged in one module, whose docstring
says what exactly is meant:

    durable    acked-durable, unknown-safe
    delivery   acked-delivered, says-so
    order      once, same-order
    leaks      no-leak
    memory     bounded
    presence   presence
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.checker.database import Database, Room, Stored
from tests.chaos.checker.delivery import delivered, says_so, stayed
from tests.chaos.checker.durable import durable
from tests.chaos.checker.leaks import no_leak
from tests.chaos.checker.log import logs
from tests.chaos.checker.measures import counts, pauses
from tests.chaos.checker.memory import bounded
from tests.chaos.checker.order import once, same_order
from tests.chaos.checker.presence import present
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
    "judge",
]

USUAL = Bounds()


def judge(history: Iterable[Record], database: Database, bounds: Bounds = USUAL) -> Verdict:
    """Everything that contradicts the promises (nothing, when they were kept), and the numbers.

    Raises:
        ProvesNothing: nothing was sent, answered or read, or nobody was there until the end.
    """
    lines = timeline(history)
    rooms = logs(lines, database)
    readers = sum(reader.first is not None for reader in stayed(lines, rooms))
    if not readers:
        raise ProvesNothing("no reader was there until the end")
    violations = [
        *durable(lines, database),
        *delivered(lines, rooms),
        *once(lines),
        *same_order(lines, rooms),
        *no_leak(lines, rooms),
        *bounded(lines, bounds),
        *says_so(lines, rooms),
        *present(lines, database),
    ]
    return Verdict(violations, counts(lines, violations, readers), pauses(lines, bounds))


def check(history: Iterable[Record], database: Database, bounds: Bounds = USUAL) -> list[Violation]:
    """Only the violations. Raises: ProvesNothing: see `judge`."""
    return judge(history, database, bounds).violations
