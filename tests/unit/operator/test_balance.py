"""How uneven a pool is, and how many connections may be moved."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.operator.domain.balance import (
    MOST_PER_SECOND,
    Balance,
    Limits,
    Reason,
    imbalance,
    judge,
    share,
)
from tests.unit.operator.members import NOW, member, seconds_ago

LIMITS = Limits(enabled=True, ratio=1.5, target=1.2, after=300.0, percent_per_minute=1.0)
OFF = Limits(enabled=False, ratio=1.5, target=1.2, after=300.0, percent_per_minute=1.0)


def test_imbalance_is_of_those_who_serve() -> None:
    """Neither who drains nor who is not ready counts."""
    members = [
        member("a", 300),
        member("b", 100),
        member("c", 900, draining=True),
        member("d", 900, ready=False),
        member("e", None),
    ]

    assert imbalance(members) == 1.5


def test_imbalance_of_nothing() -> None:
    """An empty pool is even; one that nobody knows is neither."""
    assert imbalance([member("a", 0), member("b", 0)]) == 1.0
    assert imbalance([member("a", None)]) is None
    assert imbalance([member("a", 7)]) == 1.0


@pytest.mark.parametrize(
    ("ratio", "before", "age", "limits", "rollout", "reason"),
    [
        (None, "Even", 0, LIMITS, False, "LoadUnknown"),
        (1.5, "Even", 0, LIMITS, False, "Even"),
        (1.51, None, 0, LIMITS, False, "Uneven"),
        (1.51, "Even", 9000, LIMITS, False, "Uneven"),
        (1.51, "Uneven", 299, LIMITS, False, "Uneven"),
        (1.51, "Uneven", 300, LIMITS, False, "Rebalancing"),
        (1.51, "Uneven", 300, LIMITS, True, "Uneven"),
        (1.51, "Uneven", 300, OFF, False, "Uneven"),
        (1.51, "LoadUnknown", 9000, LIMITS, False, "Uneven"),
        (1.4, "Uneven", 300, LIMITS, False, "Even"),
        (1.4, "Rebalancing", 900, LIMITS, False, "Rebalancing"),
        (1.2, "Rebalancing", 900, LIMITS, False, "Rebalancing"),
        (1.19, "Rebalancing", 900, LIMITS, False, "Even"),
        (1.4, "Rebalancing", 900, OFF, False, "Even"),
        (1.4, "Rebalancing", 900, LIMITS, True, "Even"),
        (1.6, "Rebalancing", 900, LIMITS, True, "Uneven"),
    ],
)
def test_what_to_say(
    ratio: float | None,
    before: Reason | None,
    age: float,
    limits: Limits,
    rollout: bool,
    reason: str,
) -> None:
    """Begins above the ratio after a while, goes on to below the target."""
    known = Balance(before, seconds_ago(age)) if before is not None else None

    assert judge(ratio, known, limits, now=NOW, rollout=rollout) == reason


def test_the_share_of_a_minute() -> None:
    """1 % of 4000 connections is 40 per minute: one and a half seconds each."""
    members = [member("a", 4000), member("b", 0)]
    found = share(members, LIMITS, spent_until=seconds_ago(5), now=NOW)

    assert found.connections == 3
    assert found.spent_until == seconds_ago(5) + timedelta(seconds=4.5)


def test_nothing_to_share() -> None:
    """A lone streamer, an empty one, too little time."""
    lonely = [member("a", 4000)]
    empty = [member("a", 0), member("b", 0)]
    pair = [member("a", 4000), member("b", 0)]

    for members, ago in ((lonely, 60.0), (empty, 60.0), (pair, 1.4)):
        found = share(members, LIMITS, spent_until=seconds_ago(ago), now=NOW)
        assert found.connections == 0
        assert found.spent_until == seconds_ago(ago)


def test_few_connections_move_one_by_one() -> None:
    """1 % of 20 in a minute is one in five minutes."""
    members = [member("a", 20), member("b", 0)]

    assert share(members, LIMITS, spent_until=seconds_ago(299), now=NOW).connections == 0
    assert share(members, LIMITS, spent_until=seconds_ago(300), now=NOW).connections == 1
    assert share(members, LIMITS, spent_until=seconds_ago(9000), now=NOW).connections == 1


counts = st.lists(st.integers(0, 200_000), min_size=2, max_size=6)
pauses = st.lists(st.floats(0.0, 600.0), max_size=40)


@given(counts, pauses, st.floats(0.1, 100.0))
def test_the_budget_is_never_exceeded(
    connections: list[int], waits: list[float], percent: float
) -> None:
    """Over any time, however often it is asked: the percentage, the cap, and a minute's start."""
    limits = Limits(enabled=True, ratio=1.5, target=1.2, after=0, percent_per_minute=percent)
    members = [member(f"p{number}", count) for number, count in enumerate(connections)]
    fullest = max(connections)
    rate = min(fullest * percent / 6000.0, MOST_PER_SECOND)
    spent_until, now, moved, elapsed = NOW, NOW, 0, 0.0
    for wait in waits:
        now += timedelta(seconds=wait)
        elapsed += wait
        found = share(members, limits, spent_until=spent_until, now=now)
        assert 0 <= found.connections <= max(1, rate * 60)
        assert found.spent_until <= now + timedelta(milliseconds=1)
        spent_until, moved = found.spent_until, moved + found.connections
    assert moved <= rate * elapsed + 1e-3
