"""What the drill makes of the judge's numbers: who may wait for how long."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.chaos.checker import Counts, Pauses, Verdict
from tests.chaos.drill import Result, result_of
from tests.chaos.faults import FAULTS

LASTED = 30.0
QUIET = 10.0
COUNTS = Counts(**dict.fromkeys((one.name for one in fields(Counts)), 0))
PAUSE = Pauses(
    fault="F23",
    began=100.0,
    ended=100.0 + LASTED + QUIET,
    delivery=0.4,
    recovery=None,
    write=0.3,
    slowed=LASTED + 4.0,
    p99_before=0.1,
    p99=0.3,
)


def of(pause: Pauses) -> Result:
    verdict = Verdict([], COUNTS, [pause])
    return result_of(FAULTS["F23"], 1, verdict, [], 60.0, Path("nowhere"))


def test_slow_clients_may_take_until_their_line_is_whole_and_twenty_seconds() -> None:
    """Nobody else may."""
    assert not of(PAUSE).late
    assert of(replace(PAUSE, slowed=LASTED + 21.0)).late
    assert of(replace(PAUSE, slowed=LASTED + 21.0)).bound == LASTED + 20.0
    assert of(replace(PAUSE, delivery=3.0)).late
    assert of(replace(PAUSE, delivery=3.0)).bound == 2.0


@pytest.mark.parametrize(
    ("before", "during", "late"),
    [(0.1, 0.45, False), (0.1, 0.6, True), (0.4, 0.6, False), (0.4, 0.9, True), (None, 0.6, True)],
)
def test_others_get_messages_as_usual(before: float | None, during: float, late: bool) -> None:
    """Twice as long as before, or half a second, whichever is more."""
    assert of(replace(PAUSE, p99_before=before, p99=during)).late is late


def test_elsewhere_usual_times_are_only_measured() -> None:
    verdict = Verdict([], COUNTS, [replace(PAUSE, slowed=None, p99=9.0)])
    result = result_of(FAULTS["F1"], 1, verdict, [], 60.0, Path("nowhere"))
    assert (result.late, result.p99, result.calm) == (False, 9.0, None)
