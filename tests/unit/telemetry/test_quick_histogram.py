"""The histogram of the hot path shows what that of the Prometheus client would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from hubbub.telemetry.histograms import QuickHistogram
from hubbub.telemetry.labels import Allotment
from hubbub.telemetry.metrics import FAST


@given(st.lists(st.floats(0, 10, allow_nan=False) | st.sampled_from(FAST)))
def test_it_shows_the_same(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = QuickHistogram("x", "X.", FAST, ours, label="way", values=("in", "out"))
    model = Histogram("x", "X.", ["way"], buckets=FAST, registry=theirs)
    for way in ("in", "out"):
        model.labels(way)
    for value in values:
        quick["in"].observe(value)
        model.labels("in").observe(value)

    assert generate_latest(ours) == generate_latest(theirs)
    assert quick["in"].count == len(values)
    assert quick["out"].count == 0


def test_values_are_a_closed_set() -> None:
    quick = QuickHistogram("x", "X.", FAST, CollectorRegistry(), label="way", values=("in",))

    with pytest.raises(KeyError):
        quick["elsewhere"]


def test_two_of_a_name_are_refused() -> None:
    registry = CollectorRegistry(auto_describe=True)
    QuickHistogram("x", "X.", FAST, registry)

    with pytest.raises(ValueError, match="Duplicated"):
        QuickHistogram("x", "X.", FAST, registry)


def test_an_allotment_never_changes_its_mind() -> None:
    """What has its own series keeps it, and who came too late stays with the others."""
    allotment = Allotment(2)

    assert [allotment.has(key) for key in ("a", "b", "c", "a", "c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
