"""Names of channels and private groups."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from hubbub.contracts.rooms import InvalidRoomName

MAX_NAME: Final = 120  # characters
DEFAULT_PATTERN: Final = "[0-9a-zA-Z-_.]+"

# Only a single repeated character class is used from the settings: it is linear, whatever an
# administrator writes into it.
_ONE_CLASS = re.compile(r"\^?\[(?!\^?\])(?:[^\[\]\\]|\\[^\n])+\]\+\$?")


def checked_name(name: str, pattern: str = DEFAULT_PATTERN) -> str:
    """`name` as it is stored: trimmed and in one Unicode form (NFKC).

    Raises:
        InvalidRoomName: empty, longer than 120 characters, or with characters that the
            workspace does not allow.
    """
    stored = unicodedata.normalize("NFKC", name).strip()
    if not 0 < len(stored) <= MAX_NAME or not _compiled(pattern).fullmatch(stored):
        raise InvalidRoomName(
            f"{name[:MAX_NAME]} is not a valid room name",
            details={"channel_name": name[:MAX_NAME]},
        )
    return stored


def slug(name: str) -> str:
    """A name for addresses made of a free display name.

    Letters lose their accents, everything that is not allowed becomes a hyphen.

    Raises:
        InvalidRoomName: nothing is left.
    """
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark))
    made = re.sub(r"[^0-9a-zA-Z._]+", "-", plain).strip("-")[:MAX_NAME].strip("-")
    if not made:
        raise InvalidRoomName(f"{name[:MAX_NAME]} is not a valid room name")
    return made


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    if not _ONE_CLASS.fullmatch(pattern):
        pattern = DEFAULT_PATTERN
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(DEFAULT_PATTERN)
