"""How often an app may call, fail and print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apps_engine.domain.pace import TokenBucket, Window, pause_before_restart


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=50, burst=100)

    assert [bucket.take(0.0) for _ in range(101)] == [True] * 100 + [False]
    assert not bucket.take(0.019)
    assert bucket.take(0.021)
    assert sum(bucket.take(1000.0) for _ in range(200)) == 100


@given(st.lists(st.floats(0, 1), max_size=300))
def test_a_bucket_never_gives_more_than_burst_and_rate(steps: list[float]) -> None:
    bucket = TokenBucket(rate=5, burst=10)
    now = 0.0
    given_out = 0
    for step in steps:
        now += step
        given_out += bucket.take(now)

    assert given_out <= 10 + 5 * now + 1e-6


def test_what_happened_already_is_waited_for() -> None:
    bucket = TokenBucket(rate=100, burst=1000)

    assert bucket.charge(0.0, 1000) == 0
    assert bucket.charge(0.0, 50) == pytest.approx(0.5)
    assert bucket.charge(0.5, 0) == 0


def test_a_window_forgets() -> None:
    window = Window(most=5, span=600)

    assert [window.add(moment) for moment in (0.0, 10.0, 20.0, 30.0)] == [1, 2, 3, 4]
    assert not window.is_full(30.0)
    assert window.add(600.0) == 5
    assert window.is_full(600.0)
    assert not window.is_full(601.0)
    assert window.count(5000.0) == 0


def test_a_window_holds_no_more_than_it_counts() -> None:
    window = Window(most=3, span=10)

    assert [window.add(0.0) for _ in range(5)] == [1, 2, 3, 3, 3]


def test_restarts_wait_longer_and_longer() -> None:
    pauses = [pause_before_restart(number, first=1, most=60) for number in range(9)]

    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_before_restart(10_000, first=1, most=60) == 60
