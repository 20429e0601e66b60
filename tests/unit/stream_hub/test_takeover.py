"""How a leader begins: pure rules."""

from __future__ import annotations

import pytest

from hubbub.contracts.event_log import Audience
from services.stream_hub.jetstream import Entry, LogState
from services.stream_hub.store import Checkpoint, LogIdentity
from services.stream_hub.takeover import behind, judge, marker_id, seen_in, token_of
from tests.unit.stream_hub.fakes import marker_entry

KNOWN = LogIdentity("then", 2)
CHECKPOINT = Checkpoint({"_data": "82"}, 100, "82:0", 5)


def _entry(sequence: int, epoch: int, identity: str) -> Entry:
    return Entry(sequence, Audience("room.r1"), epoch, identity, None)


AT = _entry(100, 5, "82:0")


def test_a_log_that_goes_on_is_read_behind_the_checkpoint() -> None:
    found = judge(CHECKPOINT, KNOWN, LogState("then", 1, 130, 6), AT)
    assert found.log == KNOWN
    assert found.read_from == 101
    assert not found.broken


@pytest.mark.parametrize(
    ("state", "at", "broken"),
    [
        (LogState("now", 1, 130, 6), AT, "recreated"),
        (LogState("then", 1, 99, 6), None, "truncated"),
        (LogState("then", 1, 130, 6), _entry(100, 5, "81:0"), "rewritten"),
        (LogState("then", 120, 130, 6), None, "expired"),
        (LogState("then", 131, 130, 6), None, "expired"),
    ],
)
def test_a_broken_log_is_another_log(state: LogState, at: Entry | None, broken: str) -> None:
    found = judge(CHECKPOINT, KNOWN, state, at)
    assert found.broken == broken
    assert found.log == LogIdentity(state.created, 3)
    assert found.log.epoch != KNOWN.epoch
    base = behind(CHECKPOINT, found)
    assert base.sequence == found.read_from - 1
    assert base.event_id == ""


def test_a_log_that_only_grew_old_is_not_broken() -> None:
    """An idle night empties the log; clients need not fetch anything because of that."""
    found = judge(CHECKPOINT, KNOWN, LogState("then", 101, 100, 6), None)
    assert not found.broken
    assert found.log == KNOWN


def test_the_first_log_is_no_break() -> None:
    found = judge(Checkpoint({"_data": "82"}), LogIdentity(), LogState("now", 1, 0, 6), None)
    assert found.log == LogIdentity("now", 0)
    assert not found.broken


def test_events_behind_the_checkpoint_are_not_published_again() -> None:
    seen = seen_in([_entry(101, 5, "83:0"), _entry(102, 5, "83:1")], CHECKPOINT)
    assert seen.ids == {"83:0", "83:1"}
    assert seen.last == "83"


def test_what_a_stale_leader_wrote_does_not_count() -> None:
    entries = [
        _entry(101, 5, "83:0"),
        marker_entry(102, 6),
        _entry(103, 5, "84:0"),  # of the one before: its successor must publish it again
        _entry(104, 6, "83:1"),
    ]
    assert seen_in(entries, CHECKPOINT).ids == {"83:0", "83:1"}


def test_what_is_older_than_the_checkpoints_leader_does_not_count() -> None:
    assert seen_in([_entry(101, 4, "83:0")], CHECKPOINT).ids == set()


def test_a_markers_id_never_delays_a_checkpoint() -> None:
    assert token_of(marker_id(7)) < "80"
