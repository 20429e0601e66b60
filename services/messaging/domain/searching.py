"""What somebody typed into a search box, taken apart.

Nothing in it is a pattern or an operator: words and phrases are looked for as they stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hubbub.errors import BadRequest

_WORDS: Final = 32  # of one search; the rest does not narrow it further
_LITERAL: Final = re.compile(r"/(.+)/[imsx]*", re.DOTALL)
# Scripts that write words without spaces between: an index of words does not find parts there.
_UNSPACED: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a message has to hold, in any case."""

    parts: tuple[str, ...]
    """Each of them: words, and phrases whose words stand together."""
    literally: bool = False
    """As plain text, also within words."""

    @property
    def terms(self) -> str:
        """The parts for the database's index of words; every one is quoted, so all count."""
        return " ".join(f'"{part}"' for part in self.parts)


def wanted(text: str) -> Wanted:
    """What `text` asks for.

    Raises: BadRequest: `error-searchText-param-not-provided`: nothing but white space.
    """
    text = text.strip()
    if not text:
        raise BadRequest(
            'The required "searchText" query param is missing.',
            code="error-searchText-param-not-provided",
        )
    literal = _LITERAL.fullmatch(text)
    if literal is not None:
        return Wanted((literal[1],), literally=True)
    parts = _parts(text)
    if not any(_is_word(part) for part in parts) or _UNSPACED.search(text):
        return Wanted(parts or (text,), literally=True)
    return Wanted(parts)


def _parts(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    pieces = text.replace("\\", " ").split('"')
    last = len(pieces) - 1
    for index, piece in enumerate(pieces):
        # Odd pieces stand between two quotes; a last one without its closing quote does not.
        if index % 2 and index < last:
            found[" ".join(piece.split())] = None
        else:
            found |= dict.fromkeys(piece.split())
    found.pop("", None)
    return tuple(found)[:_WORDS]


def _is_word(part: str) -> bool:
    return any(character.isalnum() for character in part)
