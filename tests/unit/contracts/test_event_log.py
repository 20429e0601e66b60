"""The event log's names and the rule that decides which events count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.contracts.event_log import (
    Epochs,
    MembershipEnded,
    Watermark,
    decode_control,
    encode_control,
    room_audience,
    room_of,
    user_audience,
    user_of,
)
from hubbub.ids import from_subject_token, subject_token


@given(st.text(min_size=1, max_size=300))
def test_any_id_is_one_subject_token(identifier: str) -> None:
    """No id, however odd, changes the meaning of a subject, and none is confused with another."""
    token = subject_token(identifier)

    assert token
    assert not set(token) & set(".*> \t\r\n")
    assert from_subject_token(token) == identifier


@pytest.mark.parametrize("identifier", ["GENERAL", "aZ09_-"])
def test_ordinary_ids_stay_readable(identifier: str) -> None:
    """An operator recognises the room in a subject."""
    assert room_audience(identifier) == f"room.{identifier}"


def test_audiences_name_their_room_or_user() -> None:
    """The id comes back out of the audience."""
    assert room_of(room_audience("a.b>*")) == "a.b>*"
    assert user_of(user_audience("u 1")) == "u 1"
    assert room_of(user_audience("u")) is None


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 40)), max_size=12, unique_by=lambda m: m[1]
    ),
    st.integers(0, 6),
    st.integers(1, 41),
)
def test_an_event_counts_unless_a_higher_epoch_began_before_it(
    markers: list[tuple[int, int]], epoch: int, sequence: int
) -> None:
    """The rule as stated, whatever the order in which markers become known."""
    epochs = Epochs()
    for marker_epoch, marker_sequence in markers:
        epochs.mark(marker_epoch, marker_sequence)

    stale = any(other > epoch and at < sequence for other, at in markers)
    assert epochs.counts(epoch, sequence) is not stale


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 40)), max_size=12, unique_by=lambda m: m[1]
    ),
    st.integers(1, 41),
    st.integers(0, 6),
    st.integers(0, 10),
)
def test_forgetting_old_markers_changes_no_later_verdict(
    markers: list[tuple[int, int]], horizon: int, epoch: int, distance: int
) -> None:
    """Verdicts at and after the horizon are the same with and without forgetting."""
    kept, pruned = Epochs(), Epochs()
    for marker in markers:
        kept.mark(*marker)
        pruned.mark(*marker)
    pruned.forget_before(horizon)

    sequence = horizon + distance
    assert pruned.counts(epoch, sequence) is kept.counts(epoch, sequence)


def test_control_events_survive_the_wire() -> None:
    """Each kind is told apart by its type."""
    for event in (
        MembershipEnded(user_id="u", room_id="r"),
        Watermark(epoch=3, log_epoch="x/0", sequence=9, tops=[("room.r", 9)]),
    ):
        assert decode_control(encode_control(event)) == event
