"""What a message's text refers to: people, channels, links.

Every parser here is linear in the length of the text: one character class per quantifier, and
no search is repeated from the same place. 5 000 characters of anything take milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

MAX_MENTIONS: Final = 100  # different names per message
MAX_URLS: Final = 100  # links per message; the rest stays plain text

_NAME = r"[0-9A-Za-z._\-]+"
# A mention begins a word, or follows an opening sign or an emphasis mark; `a@b.c` is none.
_BEFORE = r"(?<![^\s>(\[{*_~`\"',;:!?])"
_MENTION = re.compile(_BEFORE + "@(" + _NAME + ")")
_CHANNEL = re.compile(_BEFORE + "#(" + _NAME + ")")
_URL = re.compile(r"https?://[^\s<>\"`{}|\\^\x00-\x1f]+", re.IGNORECASE)
_TRAILING = ".,;:!?'*_~"

GROUPS: Final = frozenset({"all", "here"})
"""Names that mean everybody in the room."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """Names that a text mentions, in order, without the at sign.

    Each is a tuple of spellings to try: `@bob.` may mean `bob.` or `bob`.
    """

    names: tuple[tuple[str, ...], ...] = ()
    groups: frozenset[str] = frozenset()

    @property
    def spellings(self) -> list[str]:
        """Every spelling of every name, without repeats."""
        return list(dict.fromkeys(spelling for name in self.names for spelling in name))


def utf16_length(text: str) -> int:
    """The length of `text` as JavaScript counts it."""
    return len(text) + sum(1 for character in text if character > "\uffff")


def without_code(text: str) -> str:
    """`text` with code, between one or three backticks, blanked out. Positions stay."""
    for fence in ("```", "`"):
        if fence in text:
            text = _blank_between(text, fence)
    return text


def mentions(text: str) -> Mentions:
    """Who `text` mentions outside of code."""
    if "@" not in text:
        return Mentions()
    groups: set[str] = set()
    names: dict[tuple[str, ...], None] = {}
    for match in _MENTION.finditer(without_code(text)):
        spellings = _spellings(match[1])
        if not spellings:
            continue
        if spellings[-1] in GROUPS:
            groups.add(spellings[-1])
        elif len(names) < MAX_MENTIONS:
            names[spellings] = None
    return Mentions(tuple(names), frozenset(groups))


def channels(text: str) -> list[str]:
    """Names of channels that `text` refers to outside of code, every spelling to try."""
    if "#" not in text:
        return []
    found: dict[str, None] = {}
    for match in _CHANNEL.finditer(without_code(text)):
        found |= dict.fromkeys(_spellings(match[1]))
        if len(found) >= MAX_MENTIONS:
            break
    return list(found)[:MAX_MENTIONS]


def urls(text: str) -> list[str]:
    """The web addresses in `text`, in order, each once."""
    if "://" not in text:
        return []
    found: dict[str, None] = {}
    for match in _URL.finditer(without_code(text)):
        url = _without_trailing(match[0])
        if _has_host(url):
            found[url] = None
        if len(found) == MAX_URLS:
            break
    return list(found)


def holds_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text` as a word of its own, in any case."""
    word = word.strip().casefold()
    folded = text.casefold()
    if not word:
        return False
    start = folded.find(word)
    while start >= 0:
        end = start + len(word)
        before = folded[start - 1 : start]
        if not before.isalnum() and not folded[end : end + 1].isalnum():
            return True
        start = folded.find(word, end)
    return False


def _blank_between(text: str, fence: str) -> str:
    parts = text.split(fence)
    # Odd parts lie between two fences; a last one without its closing fence is plain text.
    last = len(parts) - 1
    for index in range(1, last, 2):
        parts[index] = " " * len(parts[index])
    return fence.join(parts) if last else text


def _spellings(name: str) -> tuple[str, ...]:
    stripped = name.rstrip(".-_")
    return tuple(spelling for spelling in dict.fromkeys((name, stripped)) if spelling.strip("."))


def _without_trailing(url: str) -> str:
    end = len(url)
    surplus = url.count(")") - url.count("(")
    while end and (url[end - 1] in _TRAILING or (url[end - 1] in ")]" and surplus > 0)):
        surplus -= url[end - 1] == ")"
        end -= 1
    return url[:end]


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False
