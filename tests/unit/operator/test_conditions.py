"""Conditions keep the moment at which they last changed."""

from __future__ import annotations

from services.operator.domain.conditions import MAX_MESSAGE, Condition, Finding, renewed
from tests.unit.operator.members import NOW, seconds_ago

BEFORE = [
    Condition("Ready", "True", "Observed", "3 streamers", seconds_ago(900), 1),
    Condition("Audited", "True", "ByHand", "fine", seconds_ago(5000)),
]


def test_the_same_status_keeps_its_moment() -> None:
    """Whatever the reason and the message."""
    (ready, _) = renewed(
        [Finding("Ready", "True", "Other", "2 streamers")], BEFORE, now=NOW, generation=2
    )

    assert ready == Condition("Ready", "True", "Other", "2 streamers", seconds_ago(900), 2)


def test_another_status_begins_now() -> None:
    """So does a condition that was not there."""
    findings = [Finding("Ready", "False", "Gone"), Finding("Draining", "True", "StreamersDraining")]
    found = renewed(findings, BEFORE, now=NOW, generation=1)

    assert [one.since for one in found[:2]] == [NOW, NOW]


def test_conditions_of_others_stay() -> None:
    """They are not ours to remove."""
    found = renewed([Finding("Ready", "True", "Observed")], BEFORE, now=NOW, generation=1)

    assert found[1:] == BEFORE[1:]


def test_messages_have_an_end() -> None:
    """A thousand pods may be silent."""
    (found,) = renewed([Finding("Ready", "False", "X", "a" * 9999)], [], now=NOW, generation=None)

    assert len(found.message) == MAX_MESSAGE
