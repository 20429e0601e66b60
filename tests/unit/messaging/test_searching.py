"""What somebody typed into a search box."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.errors import BadRequest
from services.messaging.domain.searching import Wanted, wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("hello", Wanted(("hello",)), id="one word"),
        pytest.param(" big  news big ", Wanted(("big", "news")), id="words, each once"),
        pytest.param('say "big news" now', Wanted(("say", "big news", "now")), id="a phrase"),
        pytest.param('an "open end', Wanted(("an", "open", "end")), id="an open quote"),
        pytest.param('""', Wanted(('""',), literally=True), id="nothing in quotes"),
        pytest.param("-word", Wanted(("-word",)), id="no negation"),
        pytest.param("/a.*b/", Wanted(("a.*b",), literally=True), id="literal, no pattern"),
        pytest.param("/a/i", Wanted(("a",), literally=True), id="with a flag"),
        pytest.param("//", Wanted(("//",), literally=True), id="nothing between slashes"),
        pytest.param("/etc/passwd", Wanted(("/etc/passwd",)), id="a path"),
        pytest.param(":) !", Wanted((":)", "!"), literally=True), id="no word at all"),
        pytest.param("吃饭", Wanted(("吃饭",), literally=True), id="no spaces between words"),
        pytest.param("{$ne:1}", Wanted(("{$ne:1}",)), id="no operator"),
        pytest.param("a\\b", Wanted(("a", "b")), id="a backslash"),
    ],
)
def test_searches(text: str, expected: Wanted) -> None:
    """Words, phrases, literal text."""
    assert wanted(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_nothing_is_no_search(text: str) -> None:
    """It would find everything."""
    with pytest.raises(BadRequest) as refused:
        wanted(text)

    assert refused.value.code == "error-searchText-param-not-provided"


@given(st.text(min_size=1))
def test_every_term_is_quoted(text: str) -> None:
    """Whatever is typed: quotes stand around parts and nowhere else."""
    if not text.strip():
        return
    found = wanted(text)
    if found.literally:
        return

    assert all('"' not in part and part.strip() for part in found.parts)
    assert found.terms == '"' + '" "'.join(found.parts) + '"'


def test_long_searches_are_fast() -> None:
    """Nothing in a text makes its parser slow."""
    for text in ("/" * 5000, '"' * 5001, 'a "' * 1700, "/a" * 2500 + "/x!"):
        started = time.thread_time()
        wanted(text)
        assert time.thread_time() - started < 0.05
