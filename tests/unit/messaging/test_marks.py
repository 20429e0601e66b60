"""Rules of stars, pins, reports and pages of changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.contracts.messages import ActionNotAllowed
from hubbub.errors import BadRequest, NotAllowed
from services.messaging.domain import marks
from services.messaging.domain.rules import Rules
from services.messaging.domain.sending import Person

START = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Person("u-ada", "ada", "Ada")


@pytest.mark.parametrize(
    ("message", "held", "rules"),
    [
        pytest.param({}, {"pin-message"}, Rules(allow_pinning=False), id="switched off"),
        pytest.param({}, set(), Rules(), id="no right"),
        pytest.param({"t": "uj"}, {"pin-message"}, Rules(), id="system message"),
    ],
)
def test_what_cannot_be_pinned(message: dict[str, Any], held: set[str], rules: Rules) -> None:
    """Each of the three conditions counts."""
    marks.may_pin({}, {"pin-message"}, Rules())

    with pytest.raises(ActionNotAllowed):
        marks.may_pin(message, held, rules)


def test_what_is_switched_off() -> None:
    """Stars and threads follow the workspace's settings."""
    marks.may_star(Rules())
    marks.may_thread(Rules())

    with pytest.raises(ActionNotAllowed):
        marks.may_star(Rules(allow_starring=False))
    with pytest.raises(NotAllowed):
        marks.may_thread(Rules(threads=False))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(START + timedelta(minutes=1), START - timedelta(milliseconds=1), id="seen"),
        pytest.param(START, START - timedelta(milliseconds=1), id="seen in that moment"),
        pytest.param(START - timedelta(seconds=1), None, id="not seen yet"),
        pytest.param(None, START - timedelta(milliseconds=1), id="never looked"),
    ],
)
def test_the_look_that_leaves_a_message_unseen(
    seen: datetime | None, expected: datetime | None
) -> None:
    """A moment before it, unless it was not seen anyway."""
    assert marks.last_seen_before({"ts": START}, {"ls": seen}) == expected


@pytest.mark.parametrize("description", ["", "  ", "x" * 5001])
def test_descriptions_of_reports(description: str) -> None:
    """Something has to be said, and not too much."""
    assert marks.checked_description(" spam ", Rules()) == "spam"

    with pytest.raises(BadRequest) as refused:
        marks.checked_description(description, Rules())
    assert refused.value.code == "error-invalid-description"


def test_a_report_keeps_what_was_said() -> None:
    """Even when the message is deleted later; nobody's stars."""
    message = {"_id": "m", "msg": "bad", "u": {"_id": "u"}, "starred": [{"_id": "x"}], "seq": 1}
    room = {"_id": "r", "name": "town", "t": "c", "joinCode": "secret"}

    report = marks.report(message, room, ADA, "spam")

    assert report["message"] == {"_id": "m", "msg": "bad", "u": {"_id": "u"}}
    assert report["room"] == {"_id": "r", "name": "town", "t": "c"}
    assert report["reportedBy"] == ADA.reference


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(1, 5), st.booleans())
def test_following_the_pages_gives_everything_once(
    offsets: list[int], count: int, newest_first: bool
) -> None:
    """In order, equal moments together."""
    dated = [
        (START + timedelta(seconds=offset), (index, offset)) for index, offset in enumerate(offsets)
    ]
    seen: list[tuple[int, int]] = []
    left, more = dated, True
    while more:
        page, more = marks.first_moments(left, count, newest_first=newest_first)
        assert not more or len(page) >= count
        seen += page
        if page:
            last = page[-1][1]
            left = [
                entry
                for entry in left
                if (entry[1][1] < last if newest_first else entry[1][1] > last)
            ]

    assert sorted(seen) == sorted(thing for _, thing in dated)
    moments = [offset for _, offset in seen]
    assert moments == sorted(moments, reverse=newest_first)
