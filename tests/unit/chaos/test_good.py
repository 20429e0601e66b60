"""A drill in which everything was kept has no violation."""

from __future__ import annotations

import time

import pytest

from tests.chaos.checker import Bounds, check, judge
from tests.unit.chaos.drill import good, small

CALM = Bounds(growth=float("inf"))  # the samples of the random drills are noise


def test_the_small_drill() -> None:
    """It is what the planted violations are planted into."""
    drill = small()
    assert check(drill.records, drill.database()) == []


@pytest.mark.parametrize("seed", range(40))
def test_drills_at_random(seed: int) -> None:
    """Reconnects, resyncs, replays, removals, repetitions, edits and deletions, in any order."""
    drill = good(seed)
    assert [str(one) for one in check(drill.records, drill.database(), CALM)] == []


def test_time_grows_with_the_number_of_records() -> None:
    """Twenty thousand records take a fraction of a second; nothing is compared with everything."""
    drill = good(1, steps=9000)
    database = drill.database()
    assert len(drill.records) > 20_000

    began = time.process_time()
    judge(drill.records, database, CALM)
    assert time.process_time() - began < 10
