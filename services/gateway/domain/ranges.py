"""Parts of files and copies that clients still have (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*")
_TAGS: Final = re.compile(r'(?:W/)?"([^"]*)"')


class Unsatisfiable(Exception):
    """No byte of the wanted part exists."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `end`, the last one included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start + 1

    def content_range(self, size: int) -> str:
        """The header that says which part of how much an answer holds."""
        return f"bytes {self.start}-{self.end}/{size}"


def wanted_part(header: str | None, size: int) -> Part | None:
    """The part that a `Range` header asks for; None: everything.

    Several parts at once, other units and nonsense mean everything, as the standard allows.

    Raises: Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable
        return Part(size - length, size - 1)
    start = int(first)
    if last and int(last) < start:
        return None  # not a range at all
    if start >= size:
        raise Unsatisfiable
    return Part(start, min(int(last), size - 1) if last else size - 1)


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Whether the client's copy, named by `If-None-Match`, is the present one.

    Args:
        tag: of the present one, without quotes.
    """
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in _TAGS.findall(if_none_match)


def part_is_of_current(if_range: str | None, tag: str) -> bool:
    """Whether a part may be sent: `If-Range` is absent or names the present file.

    Dates are never taken: files here have no date a client knows.
    """
    return if_range is None or if_range.strip() == f'"{tag}"'
