"""What a file is called: names from strangers, made harmless, and told to browsers.

A name is only ever shown. Files are stored and found under random ids, so no name can lead
anywhere; what is taken out here would mislead people or programs that save the file.
"""

from __future__ import annotations

import unicodedata
from typing import Final
from urllib.parse import quote

LONGEST: Final = 255
"""UTF-8 bytes of a name, as file systems have it."""
_LONGEST_EXTENSION: Final = 16  # characters, with the dot
_NAMELESS: Final = "file"

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that nobody sees: controls, direction marks, surrogates, line separators."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible, but part of words and of emoji."""


def clean(name: str | None) -> str:
    """A name that can be shown and saved: the last part of a path, without invisible characters.

    Never empty, at most `LONGEST` bytes of UTF-8; of a name that is cut the extension stays.
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    # Dots at either end go, too: a file that begins with one is hidden on many systems.
    seen = "".join(
        character
        for character in unicodedata.normalize("NFC", last)
        if character in _JOINERS or unicodedata.category(character) not in _INVISIBLE
    )
    trimmed = " ".join(seen.split()).strip(". ")
    if not trimmed.strip("\u200c\u200d"):
        return _NAMELESS
    return _cut(trimmed)


def extension(name: str) -> str:
    """The extension in lower case, without the dot; empty when there is none."""
    stem, dot, last = name.rpartition(".")
    return last.lower() if stem and dot and last.isalnum() else ""


def url_path(file_id: str, name: str) -> str:
    """Where a file is found: `/file-upload/<id>/<percent-encoded name>`."""
    return f"/file-upload/{quote(file_id, safe='')}/{quote(name, safe='')}"


def disposition(name: str, *, inline: bool) -> str:
    """The value of `Content-Disposition`: plain ASCII for old programs, UTF-8 for the others."""
    if inline:
        return f"inline; filename*=UTF-8''{quote(name, safe='')}"
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def _cut(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    ending = extension(name)
    ending = f".{ending}" if ending and len(ending) < _LONGEST_EXTENSION else ""
    room = LONGEST - len(ending.encode())
    stem = name[: len(name) - len(ending)].encode()[:room].decode(errors="ignore")
    return stem.rstrip(". ") + ending
