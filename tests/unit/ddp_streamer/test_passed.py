"""What a streamer remembers of the log, to notice that it is not the same log any more."""

from __future__ import annotations

import pytest

from services.ddp_streamer.audiences.leaders import Leaders
from services.ddp_streamer.audiences.passed import Passed


def _passed(limit: int = 100) -> Passed:
    passed = Passed(limit)
    for sequence in (11, 12, 15):
        passed.note(sequence, f"id-{sequence}")
    return passed


def test_what_comes_a_second_time_contradicts_nothing() -> None:
    assert not _passed().contradicts(12, "id-12", base=10)


def test_another_event_at_a_known_place_is_a_contradiction() -> None:
    assert _passed().contradicts(12, "another", base=10)


def test_a_place_that_passes_to_another_event_is_noticed_in_whichever_audience() -> None:
    passed = _passed()
    assert passed.note(12, "id-12")
    assert not passed.note(12, "another")
    assert passed.note(16, "id-16")


def test_an_event_at_a_place_where_there_was_none_is_a_contradiction() -> None:
    """The audience has passed beyond it without having had it."""
    assert _passed().contradicts(13, "another", base=10)


def test_of_what_lay_before_the_beginning_nothing_is_known() -> None:
    assert not _passed().contradicts(9, "older", base=10)
    assert not _passed().contradicts(10, "older", base=10)


def test_what_was_forgotten_proves_nothing() -> None:
    passed = _passed(limit=2)
    assert not passed.contradicts(11, "another", base=0)
    assert passed.contradicts(13, "another", base=0)


def test_forgetting_follows_the_order_of_passing_not_that_of_places() -> None:
    """A hole that was filled late is noted behind what follows it."""
    passed = Passed(2)
    for sequence in (20, 5, 6):
        passed.note(sequence, "x")
    assert not passed.contradicts(12, "y", base=0)
    assert passed.contradicts(21, "y", base=0)


def test_one_place_is_remembered_once() -> None:
    passed = Passed(2)
    for _ in range(3):
        passed.note(1, "x")
    passed.note(2, "x")
    assert passed.contradicts(1, "y", base=0)


def test_in_another_log_places_mean_something_else() -> None:
    passed = _passed()
    passed.clear()
    passed.note(3, "new")
    assert not passed.contradicts(3, "new", base=0)


@pytest.mark.parametrize(
    ("epoch", "log_epoch", "past"),
    [
        (4, "2026-05-01T12:00:00.5Z/1", True),  # the same log: it leads no more
        (4, "2026-05-01T12:00:00.5Z/0", True),  # and has not heard of the break
        (4, "2026-04-30T12:00:00Z/3", True),  # an older log
        (5, "2026-05-01T12:00:00.5Z/2", False),
        (6, "2026-05-01T12:00:00.5Z/1", False),
        (1, "2026-05-02T00:00:00Z/0", False),  # a newer log, of a database that was set back
    ],
)
def test_whose_word_is_of_the_past(epoch: int, log_epoch: str, past: bool) -> None:
    leaders = Leaders()
    assert not leaders.is_past(epoch, log_epoch)  # nothing is known yet
    leaders.is_new_log("2026-05-01T12:00:00.5Z/1")
    leaders.highest = 5
    assert leaders.is_past(epoch, log_epoch) is past
