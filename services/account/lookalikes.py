"""Characters that look like others, so that nobody can pass for somebody else. Pure.

Usernames are letters, digits, `-`, `_` and `.` of ASCII unless the workspace allows more; this
matters where it does. Only letters whose usual shape is that of a Latin one are listed.
"""

from __future__ import annotations

import unicodedata

INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069"
    "\u3164\ufeff\uffa0"
)
"""Characters that nobody sees, or that turn the direction of a text. The joiners of emoji and of
some scripts (U+200C, U+200D) are not among them."""

_SHAPES = {
    # Cyrillic
    "а": "a", "в": "b", "е": "e", "ё": "e", "ѕ": "s", "і": "i", "ї": "i", "ј": "j", "к": "k",
    "м": "m", "н": "h", "о": "o", "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "һ": "h",
    "ԁ": "d", "ԛ": "q", "ԝ": "w", "ь": "b", "ӏ": "l", "г": "r",
    # Greek
    "α": "a", "β": "b", "γ": "y", "ε": "e", "ζ": "z", "η": "n", "ι": "i", "κ": "k", "μ": "u",
    "ν": "v", "ο": "o", "ρ": "p", "σ": "o", "τ": "t", "υ": "u", "χ": "x", "ω": "w",
    # Armenian
    "օ": "o", "ս": "u", "հ": "h", "ց": "g", "ո": "n", "յ": "j",
    # Latin
    "ı": "i", "ȷ": "j", "ɑ": "a", "ɡ": "g", "ɩ": "i", "ſ": "s", "ⅼ": "l",
}  # fmt: skip

_HIGHEST_PILE = 3  # accents on one letter

_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN")
"""Scripts whose letters are taken for each other's."""


def shape(name: str) -> str:
    """What `name` looks like, in lower case without accents: names of one shape are similar."""
    folded = unicodedata.normalize("NFKD", name.casefold())
    plain = (one for one in folded if not unicodedata.combining(one) and one not in INVISIBLE)
    return "".join(_SHAPES.get(one, one) for one in plain)


def mixes_scripts(name: str) -> bool:
    """Whether `name` has letters of two scripts that are taken for each other's."""
    return len({script for one in name if (script := _script(one)) is not None}) > 1


def without_piles(text: str) -> str:
    """`text` without the accents that stand on more than three others: no script needs them, and
    they cover the lines above and below."""
    kept: list[str] = []
    pile = 0
    for character in text:
        pile = pile + 1 if unicodedata.combining(character) else 0
        if pile <= _HIGHEST_PILE:
            kept.append(character)
    return "".join(kept)


def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    name = unicodedata.name(character, "")
    return next((script for script in _SCRIPTS if name.startswith(script)), None)
