"""Which values a setting may have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.contracts.workspace import SETTINGS
from services.messaging.domain.setting_values import (
    Kind,
    WrongValue,
    checked,
    checked_editor,
    is_secret,
    kind_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.id)
def test_a_new_workspace_has_allowed_values(setting: Any) -> None:
    """What it begins with could be stored again."""
    assert checked(kind_of({"_id": setting.id}), setting.value) == setting.value


@given(st.sampled_from(["boolean", "int", "string", "select", "multiSelect", "", "code"]), JSON)
def test_anything_is_taken_or_refused(kind: str, value: Any) -> None:
    """In the words of the API, never with another error; what is taken has its type."""
    types = {"boolean": bool, "int": int, "multiSelect": list}
    problem, stored = "", value
    try:
        stored = checked(Kind(kind), value)
    except WrongValue as wrong:
        problem = str(wrong)

    assert problem.startswith("must ") or type(stored) is types.get(kind, str)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (Kind("int", least=1), 0, "must be >= 1"),
        (Kind("int"), True, "must be integer"),
        (Kind("string"), "a\x00b", "must NOT contain NUL"),
        (Kind("string"), "x" * 100_001, "must NOT have more than 100000 characters"),
        (Kind("multiSelect"), ["x"] * 501, "must NOT have more than 500 items"),
        (Kind("multiSelect", ("a", "b")), ["a", "c"], "must be equal to one of the allowed values"),
    ],
)
def test_refusals(kind: Kind, value: Any, problem: str) -> None:
    """What is said."""
    with pytest.raises(WrongValue, match=f"^{problem}$"):
        checked(kind, value)


def test_numbers_and_lists_are_tidied() -> None:
    """`5.0` is five; a list holds each entry once."""
    assert checked(Kind("int"), 5.0) == 5
    assert checked(Kind("int", least=-1), -1) == -1
    assert checked(Kind("multiSelect"), ["a", "b", "a"]) == ["a", "b"]


def test_colours_say_how_they_were_entered() -> None:
    """Other settings have no editor."""
    assert checked_editor(Kind("color"), "color") == "color"
    assert checked_editor(Kind("string"), "color") is None
    with pytest.raises(WrongValue):
        checked_editor(Kind("color"), None)


def test_settings_of_other_servers() -> None:
    """Their documents say what is allowed; buttons and files are no values."""
    choice = {"_id": "Other", "type": "select", "values": [{"key": "a"}, {"key": "b"}]}
    with pytest.raises(WrongValue):
        checked(kind_of(choice), "c")
    assert checked(kind_of(choice), "a") == "a"
    assert checked(kind_of({"_id": "Other", "type": "int"}), -5) == -5
    assert kind_of({"_id": "Other", "type": "asset"}).read_only
    assert kind_of({"_id": "uniqueID", "type": "string"}).read_only


@pytest.mark.parametrize(
    ("document", "secret"),
    [
        ({"_id": "Site_Name", "type": "string"}, False),
        ({"_id": "SMTP_Password", "type": "string"}, True),
        ({"_id": "Accounts_OAuth_Github_secret", "type": "string"}, True),
        ({"_id": "Push_apn_privateKey", "type": "string"}, True),
        ({"_id": "Whatever", "type": "password"}, True),
        ({"_id": "Message_MaxAllowedSize", "type": "int"}, False),
    ],
)
def test_what_is_secret(document: dict[str, Any], secret: bool) -> None:
    """It is not written down elsewhere."""
    assert is_secret(document) is secret
