"""Names of rooms."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.contracts.rooms import InvalidRoomName
from services.messaging.domain import names


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("general", "general"),
        (" a-b_c.d ", "a-b_c.d"),
        ("ｆｕｌｌ", "full"),
        ("A1", "A1"),
        ("x" * 120, "x" * 120),
    ],
)
def test_allowed_names(given_name: str, stored: str) -> None:
    """Trimmed, and in one Unicode form."""
    assert names.checked_name(given_name) == stored


@pytest.mark.parametrize(
    "name", ["", "  ", "a b", "ä", "a/b", "a\x00", "x" * 121, "#a", "\u202eabc", "a\u200db"]
)
def test_refused_names(name: str) -> None:
    """Everything that is not on the list."""
    with pytest.raises(InvalidRoomName) as refused:
        names.checked_name(name)
    assert refused.value.details == {"channel_name": name[:120]}


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        pytest.param("[a-z ]+", "a b", True, id="another class"),
        pytest.param("^[a-z]+$", "ab", True, id="anchored"),
        pytest.param("(a+)+$", "abc", True, id="no class: the default counts"),
        pytest.param("[z-a]+", "abc", True, id="broken: the default counts"),
        pytest.param("[a-z]+", "A", False, id="not in the class"),
    ],
)
def test_the_pattern_of_the_workspace(pattern: str, name: str, allowed: bool) -> None:
    """Only a repeated class of characters is obeyed."""
    if allowed:
        assert names.checked_name(name, pattern) == name
    else:
        with pytest.raises(InvalidRoomName):
            names.checked_name(name, pattern)


def test_a_hostile_pattern_does_not_spin() -> None:
    """An administrator's pattern cannot stop the service."""
    begin = time.thread_time()
    with pytest.raises(InvalidRoomName):
        names.checked_name("a" * 119 + "!", "(a|a)*$")

    assert time.thread_time() - begin < 0.1


@pytest.mark.parametrize(
    ("name", "slug"), [("Grün & Küsse!", "Grun-Kusse"), ("a  b", "a-b"), ("été", "ete")]
)
def test_slugs(name: str, slug: str) -> None:
    """Letters lose their accents, the rest becomes a hyphen."""
    assert names.slug(name) == slug


@given(st.text(max_size=200))
def test_slugs_are_names(name: str) -> None:
    """What a slug is made of is always allowed, or nothing is made."""
    try:
        made = names.slug(name)
    except InvalidRoomName:
        return
    assert names.checked_name(made) == made


@given(st.text(max_size=200))
def test_checking_twice_is_checking_once(name: str) -> None:
    """A stored name is a name, unchanged."""
    try:
        stored = names.checked_name(name)
    except InvalidRoomName:
        return
    assert names.checked_name(stored) == stored
