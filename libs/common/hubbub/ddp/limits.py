"""How big, deep and strange a JSON document from a stranger may be.

Text is parsed by orjson only: it refuses NaN, infinities, numbers that overflow a double, lone
surrogates and nesting over 1,024 without recursion of our own. What it lets through is checked
here, with tests on the text that cost nothing for an ordinary document: a walk over the values
happens only when the text could contain something forbidden.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from hubbub.errors import BadRequest

MAX_DEPTH = 64  # objects and arrays inside each other
MAX_KEYS = 10_000  # keys of all objects together
MAX_ELEMENTS = 100_000  # elements of all arrays together
MAX_INT = 2**63 - 1
MIN_INT = -(2**63)

_SHORTEST_KEY = 5  # bytes: `"":0,`
_SHORTEST_ELEMENT = 2  # bytes: `0,`
_LONG_NUMBER = re.compile(rb"[0-9]{19}|[0-9.][eE][+]?[0-9]")


class BadDocument(Exception):
    """The text is no JSON, or deeper or wider than allowed."""


def loads(text: bytes) -> Any:
    """Parse a JSON document of a stranger.

    Raises:
        BadDocument: no JSON; NaN, infinity or a lone surrogate in it; too deep or too wide.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadDocument(error.msg) from None
    if (
        len(text) >= MAX_KEYS * _SHORTEST_KEY
        or len(text) >= MAX_ELEMENTS * _SHORTEST_ELEMENT
        or text.count(b"[") + text.count(b"{") > MAX_DEPTH
    ):
        _check_size(document)
    return document


def _check_size(document: Any) -> None:
    keys = elements = 0
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                keys += len(value)
                below.extend(value.values())
            elif isinstance(value, list):
                elements += len(value)
                below.extend(value)
            if keys > MAX_KEYS or elements > MAX_ELEMENTS:
                raise BadDocument("too many keys or elements")
        level = below
        if not level:
            return
    if any(isinstance(value, dict | list) for value in level):
        raise BadDocument("nested too deep")


def is_plain(text: bytes) -> bool:
    """Whether `text` cannot hold a value that `check_values` refuses. May err towards False."""
    return b"\\u0000" not in text and _LONG_NUMBER.search(text) is None


def check_values(value: Any) -> None:
    """Refuse what no store can keep: NUL characters, integers beyond 64 bit signed.

    orjson turns integers over 64 bit into floats, so a whole float of that size counts as one.

    Raises:
        BadRequest: `Match failed`, code 400.
    """
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\x00" in item:
                raise match_failed()
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, int | float) and not MIN_INT <= item <= MAX_INT:
            raise match_failed()


def match_failed() -> BadRequest:
    """The error that clients know for arguments of a wrong shape."""
    return BadRequest("Match failed", code=400)
