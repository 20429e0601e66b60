"""How big, deep and strange a JSON document from a stranger may be.

Text is parsed by orjson only: it refuses NaN, infinities, numbers that overflow a double, lone
surrogates and nesting over 1,024 without recursion of our own. What it lets through is checked
here. The size is looked at only when the text is long enough, or has enough brackets, to exceed
a limit at all.
"""

from __future__ import annotations

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
    for _ in range(MAX_DEPTH):
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


def check_values(value: Any) -> None:
    """Refuse what no store can keep: NUL characters, integers beyond 64 bit signed.

    orjson turns integers over 64 bit into floats, so a number of that size counts as one
    however it was written.

    Raises:
        BadRequest: `Match failed`, code 400.
    """
    pending = [value]
    for item in pending:  # grows while it is walked
        kind = type(item)
        if kind is str:
            if "\x00" in item:
                raise match_failed()
        elif kind is dict:
            pending.extend(item)
            pending.extend(item.values())
        elif kind is list:
            pending.extend(item)
        elif kind is int:
            if not MIN_INT <= item <= MAX_INT:
                raise match_failed()
        elif kind is float and not MIN_INT < item < -MIN_INT:
            raise match_failed()


def match_failed() -> BadRequest:
    """The error that clients know for arguments of a wrong shape."""
    return BadRequest("Match failed", code=400)
