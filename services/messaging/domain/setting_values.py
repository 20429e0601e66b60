"""Which values a setting may have. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hubbub.contracts.workspace import SETTINGS

MAX_TEXT: Final = 100_000
"""Characters of a text."""
MAX_ITEMS: Final = 500
"""Entries of a list."""
MAX_NUMBER: Final = 2**53 - 1
"""Clients keep numbers as doubles."""

_COLOR: Final = "color"
_EDITORS: Final = ("color", "expression")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a setting's values."""

    type: str
    choices: tuple[str, ...] = ()
    least: int = 0
    read_only: bool = False


class WrongValue(Exception):
    """The value does not fit. The text says what is expected: `must be boolean`."""


def kind_of(document: Mapping[str, Any]) -> Kind:
    """The kind of a stored setting: as this version knows it, else as the document says."""
    standard = SETTINGS.get(str(document["_id"]))
    if standard is not None:
        return Kind(standard.type, standard.choices, standard.least, standard.read_only)
    return Kind(
        str(document.get("type", "")),
        _choices(document.get("values")),
        least=-MAX_NUMBER,
        read_only=document.get("readonly") is True or document.get("type") in _NOT_VALUES,
    )


_NOT_VALUES: Final = frozenset({"action", "asset"})
"""Types of other servers' settings that are no values: buttons, uploaded files."""


def is_secret(document: Mapping[str, Any]) -> bool:
    """Whether a setting's value must not be written down elsewhere."""
    if document.get("type") == "password" or document.get("secret") is True:
        return True
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(document["_id"])).lower())
    return not _SECRET_WORDS.isdisjoint(words)


_SECRET_WORDS: Final = frozenset("password secret token key private".split())


def checked(kind: Kind, value: Any) -> Any:
    """`value` as it is stored. Raises: WrongValue."""
    match kind.type:
        case "boolean":
            if not isinstance(value, bool):
                raise WrongValue("must be boolean")
            return value
        case "int":
            return _number(kind, value)
        case "multiSelect":
            return _list(kind, value)
        case _:
            return _text(kind, value)


def checked_editor(kind: Kind, editor: str | None) -> str | None:
    """How a colour was entered. Raises: WrongValue."""
    if kind.type != _COLOR:
        return None
    if editor not in _EDITORS:
        raise WrongValue("must be equal to one of the allowed values")
    return editor


def _number(kind: Kind, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongValue("must be integer")
    if value < kind.least:
        raise WrongValue(f"must be >= {kind.least}")
    if value > MAX_NUMBER:
        raise WrongValue(f"must be <= {MAX_NUMBER}")
    return value


def _text(kind: Kind, value: Any) -> str:
    if not isinstance(value, str):
        raise WrongValue("must be string")
    if len(value) > MAX_TEXT:
        raise WrongValue(f"must NOT have more than {MAX_TEXT} characters")
    if "\x00" in value:
        raise WrongValue("must NOT contain NUL")
    _check_choices(kind, [value])
    return value


def _list(kind: Kind, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise WrongValue("must be array")
    if len(value) > MAX_ITEMS:
        raise WrongValue(f"must NOT have more than {MAX_ITEMS} items")
    if not all(isinstance(item, str) and len(item) <= MAX_TEXT for item in value):
        raise WrongValue("must be string")
    _check_choices(kind, value)
    return list(dict.fromkeys(value))


def _check_choices(kind: Kind, values: Collection[str]) -> None:
    if kind.choices and not set(kind.choices).issuperset(values):
        raise WrongValue("must be equal to one of the allowed values")


def _choices(values: object) -> tuple[str, ...]:
    """The keys in a stored list of `{"key", "i18nLabel"}`."""
    if not isinstance(values, list):
        return ()
    keys = (value.get("key") for value in values if isinstance(value, dict))
    return tuple(str(key) for key in keys if key is not None)
