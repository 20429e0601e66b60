"""Pictures for those who have none: one or two letters on a colour that belongs to the name."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final
from xml.sax.saxutils import escape

COLORS: Final = (
    "#c0392b #ba4a00 #935116 #7d6608 #1e8449 #117864 #0e6655 #1a5276 #2471a3 #2e4053 #5b2c6f"
    " #7d3c98 #943126 #a04000 #196f3d #1f618d #6c3483 #515a5a #b03a2e #873600"
).split()
"""White letters are readable on each: contrast of at least 4.5."""

_NONE: Final = "?"


def color_of(name: str) -> str:
    """The colour of a name: always the same one, whichever process is asked."""
    digest = hashlib.sha256(name.casefold().encode("utf-8", "surrogatepass")).digest()
    return COLORS[int.from_bytes(digest[:4], "big") % len(COLORS)]


def initials_of(name: str) -> str:
    """The first letters of the first and the last word, or the first two of a single word."""
    words = "".join(
        character if _is_letter(character) else " "
        for character in unicodedata.normalize("NFC", name)
    ).split()
    if not words:
        return _NONE
    letters = words[0][:2] if len(words) == 1 else words[0][0] + words[-1][0]
    return letters.upper()


def svg(name: str, size: int) -> bytes:
    """The picture as SVG, `size` pixels wide and high. It holds no text but the letters."""
    letters = escape(initials_of(name))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}"'
        ' viewBox="0 0 200 200">'
        f'<rect width="200" height="200" fill="{color_of(name)}"/>'
        '<text x="50%" y="50%" dy="0.36em" text-anchor="middle" pointer-events="none"'
        ' fill="#ffffff" font-family="Helvetica,Arial,Lucida Grande,sans-serif"'
        f' font-size="90">{letters}</text></svg>'
    ).encode()


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"
