"""The steps of a managed pool, from every situation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.operator.domain.members import Member
from services.operator.domain.scaling import (
    Adopt,
    Apply,
    Choose,
    Counts,
    Leaver,
    Record,
    Release,
    Step,
    Wait,
    drain_window,
    first_to_go,
    has_drained,
    is_late,
    next_step,
)
from tests.unit.operator.members import NOW, member, seconds_ago

FIVE = [member(name, count) for name, count in zip("abcde", (40, 10, 30, 20, 50), strict=True)]


def leaver(pod: str, *, since: float = 10.0, **known: bool) -> Leaver:
    """A pod that was chosen `since` seconds ago."""
    return Leaver(pod, seconds_ago(since), restarts=0, instance=f"{pod}-process", **known)


def step(
    desired: int,
    current: int = 5,
    applied: int | None = 5,
    applying: int | None = None,
    *,
    leavers: tuple[Leaver, ...] = (),
    members: list[Member] = FIVE,
    rollout: bool = False,
    learning: bool = False,
    steerable: bool = True,
) -> Step:
    """The next step of a pool."""
    return next_step(
        Counts(desired, current, applied, applying),
        leavers,
        members,
        now=NOW,
        patience=600.0,
        rollout=rollout,
        learning=learning,
        steerable=steerable,
    )


def test_the_first_look_only_remembers() -> None:
    """What the deployment had before nobody gave it by hand."""
    assert step(3, applied=None) == Record(5)


def test_as_desired() -> None:
    """Nothing to do."""
    assert step(5) == Wait("AsDesired")


def test_more() -> None:
    """At once."""
    assert step(8) == Apply(8)


def test_fewer_chooses_the_emptiest() -> None:
    """As many as are too many."""
    chosen = step(3)

    assert isinstance(chosen, Choose)
    assert [one.pod.name for one in chosen.pods] == ["b", "d"]


def test_a_batch_is_waited_for() -> None:
    """All of it."""
    batch = (leaver("b", begun=True), leaver("d", begun=True, drained=True))

    assert step(3, leavers=batch) == Wait("Draining")


def test_a_batch_that_is_through_shrinks_the_deployment() -> None:
    """By its own size."""
    batch = (leaver("b", begun=True, drained=True), leaver("d", begun=True, drained=True))

    assert step(3, leavers=batch) == Apply(3)


def test_late_ones_are_not_waited_for() -> None:
    """From the moment of their choice."""
    batch = (leaver("b", since=600, begun=True), leaver("d", since=600, drained=True))

    assert step(3, leavers=batch) == Apply(3)
    assert is_late(batch[0], NOW, 600.0)
    assert not is_late(batch[0], NOW, 601.0)


def test_a_further_decrease_waits_for_the_batch() -> None:
    """Else a pool that shrinks step by step would never finish one."""
    batch = (leaver("b", begun=True),)

    assert step(2, leavers=batch) == Wait("Draining")
    assert step(2, leavers=(replace(batch[0], drained=True),)) == Apply(4)


def test_who_has_not_begun_is_spared_first() -> None:
    """Only as many as are missing."""
    batch = (leaver("b", begun=True), leaver("d"), leaver("c"))

    assert step(4, leavers=batch) == Release(("d", "c"))
    assert step(3, leavers=batch) == Release(("d",))
    assert step(2, leavers=batch) == Wait("Draining")


def test_who_has_begun_counts_as_gone() -> None:
    """Others are started in its place; it leaves when it is empty."""
    batch = (leaver("b", begun=True),)

    assert step(5, leavers=batch) == Apply(6)
    assert step(5, current=6, applied=6, leavers=batch) == Wait("Draining")
    through = (leaver("b", begun=True, drained=True),)
    assert step(5, current=6, applied=6, leavers=through) == Apply(5)


def test_somebody_elses_number_is_taken_over() -> None:
    """In both directions, with and without a batch."""
    assert step(5, current=7) == Adopt(7)
    assert step(5, current=2) == Adopt(2)
    assert step(3, current=6, leavers=(leaver("b", begun=True),)) == Adopt(6)


def test_the_own_number_is_recognized_after_a_crash() -> None:
    """It was written down as the next one."""
    assert step(3, current=3, applied=5, applying=3) == Record(3)
    assert step(4, current=3, applied=5, applying=3) == Record(3)
    assert step(3, current=4, applied=5, applying=3) == Adopt(4)
    assert step(3, current=3, applied=5) == Record(3)  # what a person wants is what is there


def test_a_number_that_was_never_given_is_decided_again() -> None:
    """It was written down, and then the operator died."""
    batch = (leaver("b", begun=True, drained=True), leaver("d", begun=True, drained=True))

    assert step(3, applying=3, leavers=batch) == Apply(3)
    assert step(5, applying=7) == Wait("AsDesired")


def test_when_nobody_is_chosen() -> None:
    """During a rollout, and before everybody could be heard."""
    unknown = [*FIVE[:4], member("e", None)]

    assert step(3, rollout=True) == Wait("RolloutRunning")
    assert step(8, rollout=True) == Apply(8)
    assert step(3, members=unknown, learning=True) == Wait("LoadUnknown")
    assert isinstance(step(3, members=unknown), Choose)
    not_ready = [*FIVE[:4], member("e", None, ready=False)]
    assert isinstance(step(3, members=not_ready, learning=True), Choose)


def test_without_a_say_in_the_order_nobody_is_chosen() -> None:
    """Streamers drain when Kubernetes ends them."""
    assert step(3, steerable=False) == Apply(3)


def test_pods_that_do_not_exist_need_no_drain() -> None:
    """A quota kept them away."""
    assert step(3, members=FIVE[:3]) == Apply(3)
    chosen = step(3, members=FIVE[:4])
    assert isinstance(chosen, Choose)
    assert [one.pod.name for one in chosen.pods] == ["b"]


def test_the_order_of_leaving() -> None:
    """What serves nobody first, then the fewest connections, the unknown last."""
    members = [
        member("full", 900),
        member("unknown", None),
        member("older", 5, created=seconds_ago(100)),
        member("younger", 5, created=seconds_ago(10)),
        member("unready", 500, ready=False),
        member("stopped", 0, ready=False, running=False),
        member("pending", None, ready=False, running=False, scheduled=False),
    ]

    assert [one.pod.name for one in first_to_go(members)] == [
        "pending",
        "stopped",
        "unready",
        "younger",
        "older",
        "full",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("found", "drained"),
    [
        (None, True),  # the pod is gone
        (member("b", 5, running=False), True),
        (member("b", 5, restarts=1), True),
        (member("b", 0, draining=True), True),
        (member("b", 3, draining=True), False),
        (member("b", 0), False),  # it was not told yet, or does not know it yet
        (member("b", None), False),
    ],
)
def test_when_a_streamer_has_drained(found: Member | None, drained: bool) -> None:
    """Told a moment ago."""
    assert has_drained(leaver("b", begun=True), found) is drained


def test_another_process_means_that_the_first_one_ended() -> None:
    """Even if nobody saw it end."""
    other = replace(leaver("b", begun=True), instance="earlier")

    assert has_drained(other, member("b", 40))
    assert not has_drained(replace(other, begun=False), member("b", 40))
    assert not has_drained(replace(other, instance=None), member("b", 40))


def test_drained_stays_drained() -> None:
    """Whatever the next process in that pod does."""
    assert has_drained(leaver("b", begun=True, drained=True), member("b", 40))


@pytest.mark.parametrize(
    ("connections", "others", "window"),
    [(0, 3, 60.0), (1000, 3, 60.0), (60_000, 1, 300.0), (60_000, 0, 300.0), (10**7, 1, 600.0)],
)
def test_the_window_of_a_drain(connections: int, others: int, window: float) -> None:
    """60 s, or longer where the others could not bear it, but not beyond the patience."""
    found = drain_window(connections, seconds=60, rate_per_pod=200, others=others, patience=600)
    assert found == window


@given(st.data())
def test_every_pool_arrives(data: st.DataObject) -> None:
    """From any situation, with people changing their minds in the middle, and each command either
    arriving or not: once they stop, the deployment has what the pool wants, nobody's number is
    taken for a person's, and no pod that serves goes undrained unless its time was over."""
    desired = data.draw(st.integers(0, 8))
    current = data.draw(st.integers(0, 8))
    applied: int | None = None
    batch: list[Leaver] = []
    for turn in range(60):
        if turn < 20 and data.draw(st.booleans()):
            desired = data.draw(st.integers(0, 8))
        members = [member(f"p{number}", number) for number in range(current)]
        found = step(desired, current, applied, leavers=tuple(batch), members=members)
        match found:
            case Record(replicas):
                assert replicas == current
                applied = replicas
            case Adopt():
                raise AssertionError("nobody scaled by hand")
            case Choose(pods):
                assert not batch
                assert len(pods) == current - desired
                batch = [leaver(one.pod.name) for one in pods]
            case Release(pods):
                assert all(not one.begun for one in batch if one.pod in pods)
                batch = [one for one in batch if one.pod not in pods]
            case Apply(replicas):
                if replicas < current:
                    assert all(one.drained for one in batch)
                    assert current - replicas == len(batch)
                    batch = []
                current = applied = replicas
            case Wait():
                batch = [
                    replace(one, drained=one.begun, begun=True)
                    if turn >= 20 or data.draw(st.booleans())
                    else one
                    for one in batch
                ]
    assert current == desired
    assert not batch
