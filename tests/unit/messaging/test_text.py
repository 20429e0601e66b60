"""Mentions, channels and links in texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.domain import text


@pytest.mark.parametrize(
    ("message", "names", "groups"),
    [
        pytest.param("hi @bob", [("bob",)], [], id="plain"),
        pytest.param("@bob.", [("bob.", "bob")], [], id="full stop"),
        pytest.param("(@bob), *@eve*!", [("bob",), ("eve",)], [], id="punctuation"),
        pytest.param("@all @here @bob", [("bob",)], ["all", "here"], id="groups"),
        pytest.param("mail me: a@bob.org", [], [], id="address"),
        pytest.param("@bob @bob", [("bob",)], [], id="twice"),
        pytest.param("`@bob` ```\n@eve\n``` @ada", [("ada",)], [], id="code"),
        pytest.param("`@bob", [("bob",)], [], id="no code without an end"),
        pytest.param("@ @@ @.", [], [], id="nothing"),
        pytest.param("> @bob", [("bob",)], [], id="quote"),
        pytest.param("@bob-x_y.z", [("bob-x_y.z",)], [], id="all characters"),
        pytest.param("https://medium.com/@bob", [], [], id="path of an address"),
        pytest.param("@everyone", [("everyone",)], [], id="not a group"),
        pytest.param("@ALL", [("ALL",)], [], id="case counts"),
    ],
)
def test_mentions(message: str, names: list[tuple[str, ...]], groups: list[str]) -> None:
    """Names in order, each once, groups apart."""
    found = text.mentions(message)

    assert list(found.names) == names
    assert found.groups == frozenset(groups)


@pytest.mark.parametrize(
    ("message", "urls"),
    [
        pytest.param("see https://a.org/x?y=1#z.", ["https://a.org/x?y=1#z"], id="full stop"),
        pytest.param("(http://a.org)", ["http://a.org"], id="parentheses"),
        pytest.param("http://a.org/b_(c)", ["http://a.org/b_(c)"], id="own parentheses"),
        pytest.param("`http://a.org`", [], id="code"),
        pytest.param("http://", [], id="no host"),
        pytest.param("http://[::1", [], id="broken"),
        pytest.param("javascript://x.org/%0aalert(1)", [], id="script"),
        pytest.param("http://a.org http://a.org", ["http://a.org"], id="twice"),
        pytest.param("HTTPS://A.org", ["HTTPS://A.org"], id="capitals"),
    ],
)
def test_urls(message: str, urls: list[str]) -> None:
    """Addresses of the web, without what closes the sentence."""
    assert text.urls(message) == urls


def test_channels() -> None:
    """Like mentions, with a hash."""
    assert text.channels("#general, a#b `#c` #x.") == ["general", "x.", "x"]


@pytest.mark.parametrize(
    ("shown", "length"), [("", 0), ("ab", 2), ("ä", 1), ("😀", 2), ("👨‍👩‍👧", 8)], ids=repr
)
def test_length_is_counted_as_clients_count(shown: str, length: int) -> None:
    """UTF-16 units, as JavaScript's `length`."""
    assert text.utf16_length(shown) == length


@pytest.mark.parametrize(
    ("message", "word", "held"),
    [
        ("More Coffee, please", "coffee", True),
        ("decoffee", "coffee", False),
        ("coffees", "coffee", False),
        ("coffees coffee", "coffee", True),
        ("anything", " ", False),
        ("STRASSE", "straße", True),
    ],
)
def test_words(message: str, word: str, held: bool) -> None:
    """A word of its own, in any case."""
    assert text.holds_word(message, word) is held


@pytest.mark.parametrize(
    "message",
    [
        "@" * 5000,
        "@all " * 1000,
        "`" * 4999,
        "```" * 1666,
        "http://" * 714,
        "http://a.b/" + "(" * 4980,
        "http://a.b/" + ")" * 4980,
        "http://a.b/" + "." * 4980,
        "[" * 5000,
        ("@" + "a" * 50 + ".") * 96,
        "#a" * 2500,
        "http://x.y " * 450,
        "a" * 4990 + "@" * 10,
    ],
    ids=lambda message: message[:12],
)
def test_hostile_texts_take_no_time(message: str) -> None:
    """10 ms for any message that may be sent."""
    best = 1.0
    for _ in range(3):
        begin = time.perf_counter()
        found = text.mentions(message), text.channels(message), text.urls(message)
        best = min(best, time.perf_counter() - begin)
        assert found

    assert best < 0.010


@given(st.text(max_size=300))
def test_any_text_is_read(message: str) -> None:
    """Whatever a text is, its parts are found in it, and code is blanked in place."""
    found = text.mentions(message)

    assert len(text.without_code(message)) == len(message)
    assert all(f"@{name}" in message for name in found.spellings)
    assert all(url in message for url in text.urls(message))
    assert len(found.names) <= text.MAX_MENTIONS


@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), max_size=20))
def test_every_mention_is_found(names: list[str]) -> None:
    """Names between spaces are found, in order, each once."""
    found = text.mentions(" ".join(f"@{name}" for name in names))

    wanted = [name for name in dict.fromkeys(names) if name not in text.GROUPS]
    assert [spellings[0] for spellings in found.names] == wanted
    assert found.groups == text.GROUPS & set(names)
