"""Names that look like others."""

from __future__ import annotations

import pytest

from hubbub.errors import BadRequest
from services.account import lookalikes, names

ANYTHING = r"[\w.\-]+"  # what a workspace may allow


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bob", "BOB"),
        ("bob", "ｂｏｂ"),
        ("ana", "аnа"),
        ("paypal", "раураl"),
        ("istanbul", "İstanbul"),
        ("ilya", "ıLYA"),
        ("jose", "José"),
        ("jose", "Jose\u0301"),
        ("ana", "a\u200bna"),
        ("omega", "οmega"),
    ],
)
def test_same_shape(one: str, other: str) -> None:
    """Case, width, accents, invisible characters and letters of other scripts do not tell."""
    assert lookalikes.shape(one) == lookalikes.shape(other)


@pytest.mark.parametrize(("one", "other"), [("ana", "anna"), ("bob", "bob1"), ("user1", "userl")])
def test_other_shape(one: str, other: str) -> None:
    """What people do tell apart; digits are no letters."""
    assert lookalikes.shape(one) != lookalikes.shape(other)


@pytest.mark.parametrize("name", ["аna", "pаypal", "οmega", "annа.b"])
def test_mixed_scripts_are_refused(name: str) -> None:
    """Even where the workspace allows every letter."""
    assert lookalikes.mixes_scripts(name)
    with pytest.raises(BadRequest):
        names.username(name, ANYTHING)


@pytest.mark.parametrize("name", ["анна", "ολγα", "ana-1", "花子", "花子ana", "josé"])
def test_single_scripts(name: str) -> None:
    """Scripts whose letters nobody takes for each other's may stand together."""
    assert names.username(name, ANYTHING) == name


@pytest.mark.parametrize(
    "name",
    ["a\u200bna", "a\u202ena", "a\x00na", "ana\u2066", "a" + "\u0301" * 5, "\ue000ana", "ana\n"],
)
def test_invisible_characters_are_refused(name: str) -> None:
    """In usernames, with the widest pattern there is, or trimmed at the end."""
    try:
        assert names.username(name, r"(?s:.+)") == "ana"
    except BadRequest:
        assert name != "ana\n"


def test_display_names_lose_what_nobody_sees() -> None:
    """Controls, direction marks, zero-width characters; emoji with joiners stay whole."""
    assert names.display_name(" A\x00n\u202ea\u200b \n") == "Ana"
    assert names.display_name("👩\u200d💻 Ana") == "👩\u200d💻 Ana"
    assert names.display_name("Jose\u0301") == "José"
    assert names.display_name("Z" + "\u0335" * 10_000 + "o") == "Z" + "\u0335" * 3 + "o"
    with pytest.raises(BadRequest):
        names.display_name("x" * 129)


def test_suggestions() -> None:
    """From the name, then from the address, then numbered; always something."""
    found = list(names.suggestions("Ána Maria López", ["am@x.org"], 2))
    assert found[:2] == ["ana.maria.lopez", "ana"]
    assert "am" in found
    assert found[-2:] == ["ana.maria.lopez-1", "ana.maria.lopez-2"]
    assert list(names.suggestions("花子", [], 1)) == ["user", "user-1"]
    assert all(len(one) <= names.MAX_USERNAME for one in names.suggestions("x" * 500, [], 20))
