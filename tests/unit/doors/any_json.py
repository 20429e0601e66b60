"""Parameters as strangers send them, near to what a method takes and far from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from hubbub.doors.methods import Method

NOON = {"$date": 1_767_268_800_000}

_WORDS = st.sampled_from(
    [
        "",
        " ",
        "GENERAL",
        "general",
        "@all",
        "c",
        "p",
        "d",
        "online",
        "*",
        ">",
        "a.b",
        "a/b",
        "\u202e",
        "$where",
        "__proto__",
        "x" * 300,
        "\ud7ff",
        "İ",
        "ﬀ",
        "＠",
        "0",
        "-1",
        "true",
        "NaN",
    ]
)
_NUMBERS = st.sampled_from([0, 1, -1, 100, 101, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, 1e300])
_SPECIAL = st.sampled_from(
    [
        NOON,
        {"$date": 1e17},
        {"$date": "x"},
        {"$date": -1e17},
        {"$binary": "!"},
        {"$InfNaN": 1},
        {"$escape": {"$escape": {}}},
        {"$type": "oid", "$value": "x"},
        {"$ne": None},
        {"$gt": ""},
        {"$in": []},
        {"$regex": ".*"},
        {"$where": "sleep(1)"},
        {"a": {"$ne": 1}},
    ]
)
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.integers(-(2**63), 2**63 - 1) | _WORDS
_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)


def anything(keys: list[str]) -> st.SearchStrategy[Any]:
    """Any JSON value; objects often have some of `keys`."""
    names = st.sampled_from(keys) if keys else st.just("_id")
    return st.recursive(
        _LEAVES | _TEXTS | _SPECIAL,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(names | _TEXTS, inner, max_size=6)
            | st.dictionaries(names, inner, max_size=6)
        ),
        max_leaves=12,
    )


def parameters_of(method: Method) -> st.SearchStrategy[list[Any]]:
    """Lists of parameters for `method`, too short and too long ones among them."""
    keys = sorted(set(_keys(method)))
    return st.lists(anything(keys), max_size=len(method._parameters) + 2)


def _keys(method: Method) -> Iterator[str]:
    for parameter in method._parameters:
        yield from _properties(parameter.adapter.json_schema())


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        for value in schema.values():
            yield from _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _properties(value)
