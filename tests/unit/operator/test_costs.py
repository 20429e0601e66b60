"""Deletion costs: coarse, rare, and right when it matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.operator.domain.costs import (
    LOWEST,
    STEPS,
    advice,
    cost_of,
    foreign_owners,
    order_is_wrong,
    wanted_costs,
)
from services.operator.domain.members import Member
from tests.unit.operator.members import NOW, member, seconds_ago


@pytest.mark.parametrize(
    ("connections", "cost"),
    [(0, 0), (24, 0), (25, 1), (74, 1), (75, 2), (500, 10), (1000, 20), (5000, 20)],
)
def test_costs_are_steps_of_five_percent(connections: int, cost: int) -> None:
    """Of a limit of 1000: a step per 50, to the nearest."""
    assert cost_of(connections, 1000) == cost


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_costs_fit_and_are_no_counts(connections: int, limit: int) -> None:
    """Between 0 and 20, and never less for more connections."""
    assert 0 <= cost_of(connections, limit) <= STEPS
    assert cost_of(connections, limit) <= cost_of(connections + 1, limit)


def test_all_are_measured_by_the_highest_limit() -> None:
    """Two limits are there during a rollout that changes the limit."""
    members = [member("a", 500, limit=500), member("b", 500, limit=1000)]

    assert wanted_costs(members) == {"a": 10, "b": 10}


def test_who_leaves_goes_first_and_who_is_unknown_is_not_judged() -> None:
    """A leaving pod needs no count."""
    members = [member("a", 500), member("b", None), member("c", None)]

    assert wanted_costs(members, leaving=["c"]) == {"a": 10, "c": LOWEST}


@pytest.mark.parametrize(
    ("present", "wanted", "wrong"),
    [
        ({"a": None, "b": None}, {"a": 0, "b": 0}, False),
        ({"a": None, "b": None}, {"a": 0, "b": 1}, True),
        ({"a": 3, "b": 9}, {"a": 5, "b": 6}, False),  # other numbers, same order
        ({"a": 3, "b": 9}, {"a": 6, "b": 5}, True),
        ({"a": 3, "b": 9}, {"a": 5, "b": 5}, False),  # equals may be in any order
        ({"a": 3, "b": 3}, {"a": 5, "b": 6}, True),
        ({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 9}, False),
        ({"a": 1, "b": 4, "c": 3}, {"a": 1, "b": 1, "c": 9}, True),  # b would stay for c
    ],
)
def test_when_the_order_is_wrong(
    present: dict[str, int | None], wanted: dict[str, int], wrong: bool
) -> None:
    """Some pod should go before another, and Kubernetes would not take it first."""
    members = [member(name, cost=cost) for name, cost in present.items()]

    assert order_is_wrong(members, wanted) is wrong


costs = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(-3, 9), st.integers(0, 9)))


@given(costs)
def test_the_order_is_wrong_exactly_if_a_pair_is(found: dict[str, tuple[int, int]]) -> None:
    """The fast rule says the same as comparing every pod with every other."""
    members = [member(name, cost=present) for name, (present, _) in found.items()]
    wanted = {name: cost for name, (_, cost) in found.items()}
    pairs = [
        (one, other)
        for one in found.values()
        for other in found.values()
        if one[1] < other[1] and one[0] >= other[0]
    ]

    assert order_is_wrong(members, wanted) is bool(pairs)


def changed(members: list[Member], *leaving: str, **options: bool) -> dict[str, int]:
    """The advice for `members`."""
    found = advice(
        members,
        wanted_costs(members, leaving=leaving),
        now=NOW,
        min_interval=60.0,
        may_shrink=options.get("may_shrink", True),
        settled=options.get("settled", True),
    )
    return {change.member.pod.name: change.cost for change in found}


@given(costs)
def test_advice_makes_the_order_right(found: dict[str, tuple[int, int]]) -> None:
    """When every pod may be written, and then nothing more is to be written."""
    members = [member(name, count * 50, cost=cost) for name, (cost, count) in found.items()]
    written = changed(members)
    after = [
        member(one.pod.name, one.connections, cost=written.get(one.pod.name, one.pod.cost))
        for one in members
    ]

    assert not order_is_wrong(after, wanted_costs(after))
    assert changed(after) == {}


def test_a_pod_that_was_just_written_waits() -> None:
    """The others do not."""
    members = [
        member("a", 500, cost=1, cost_set_at=seconds_ago(59)),
        member("b", 100, cost=9, cost_set_at=seconds_ago(60)),
        member("c", 50, cost=None),
    ]

    assert changed(members) == {"b": 2, "c": 1}


def test_no_advice_where_nobody_scales_in() -> None:
    """But a pod that was chosen to leave is marked all the same."""
    members = [member("a", 500), member("b", 100)]

    assert changed(members, may_shrink=False) == {}
    assert changed(members, "b", may_shrink=False) == {"b": LOWEST}


def test_the_mark_of_a_spared_pod_goes() -> None:
    """At once and at any number of replicas: it would be taken next time. Not while Kubernetes is
    still deleting, because then it may be the one that is meant."""
    members = [
        member("a", 500, cost=10, cost_set_at=NOW),
        member("b", 100, cost=LOWEST, cost_set_at=NOW),
    ]

    assert changed(members, may_shrink=False) == {"b": 2}
    assert changed(members, settled=False) == {}


def test_who_leaves_is_written_first() -> None:
    """So that a budget of writes serves them first."""
    members = [member("a", 0), member("b", 900), member("c", 300)]

    assert list(changed(members, "b")) == ["b", "a", "c"]


def test_other_owners_are_named_once() -> None:
    """Whoever they are."""
    members = [
        member("a", cost_owners=frozenset({"karpenter"})),
        member("b", cost_owners=frozenset({"karpenter", "kubectl"})),
        member("c"),
    ]

    assert foreign_owners(members) == ["karpenter", "kubectl"]
    assert foreign_owners(members[2:]) == []
