"""Parameters as strangers send them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.errors import HubbubError
from services.gateway.rest.answers import InvalidParams
from services.gateway.rest.requests import (
    Parameters,
    UnreadableBody,
    json_object,
    parse_body,
    parse_date,
    parse_form,
    parse_json,
    parse_query,
)


@pytest.mark.parametrize(
    ("raw", "name", "value"),
    [
        pytest.param("rid=GENERAL?", "rid", "GENERAL", id="trailing-question-mark"),
        pytest.param("rid=a%3F", "rid", "a?", id="an-encoded-one-stays"),
        pytest.param("rid=a??", "rid", "a?", id="only-one-is-cut"),
        pytest.param("?", "rid", None, id="nothing-but-it"),
        pytest.param("a=1&a=2", "a", "2", id="last-wins-as-text"),
        pytest.param("text=a+b%20c", "text", "a b c", id="spaces"),
        pytest.param("text=a%2Bb", "text", "a+b", id="plus"),
        pytest.param('fields={"name":1}', "fields", '{"name":1}', id="unencoded-json"),
        pytest.param("a=b=c", "a", "b=c", id="equals-in-value"),
        pytest.param("a", "a", "", id="no-value"),
        pytest.param("=x&&&a=1", "a", "1", id="empty-pairs"),
    ],
)
def test_query_texts(raw: str, name: str, value: str | None) -> None:
    """Percent-encoded or not, with what clients append."""
    assert parse_query(raw).text(name) == value


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("ids[]=a&ids[]=b&_empty=?", ["a", "b"]),
        ("ids=a&ids=b", ["a", "b"]),
        ("ids%5B%5D=a&ids=b", ["a", "b"]),
        ("ids[]=a", ["a"]),
        ("ids=a", ["a"]),
        ("ids=a,b%2Cc, d", ["a", "b", "c", "d"]),
        ("ids[]=", []),
        ("", []),
    ],
)
def test_query_lists(raw: str, values: list[str]) -> None:
    """Repeated keys, `key[]`, and commas where they part."""
    assert parse_query(raw).texts("ids", split=True) == values


@pytest.mark.parametrize("raw", ["a=%ff", "a=%00", "%00=a", "a=%ed%a0%80", "a=\udcff"])
def test_queries_that_are_no_text(raw: str) -> None:
    """Not UTF-8, a surrogate, a NUL: refused as a whole."""
    with pytest.raises(HubbubError, match="Match failed"):
        parse_query(raw)


@given(st.text())
def test_any_query_is_read_or_refused(raw: str) -> None:
    """Whatever stands in an address, the only failure is a refusal."""
    with suppress(HubbubError):
        parse_query(raw)


@given(st.binary())
def test_any_body_is_read_or_refused(raw: bytes) -> None:
    """Whatever stands in a body, as JSON or as a form."""
    for content_type in ("application/json", "application/x-www-form-urlencoded", ""):
        with suppress(HubbubError):
            parse_body(raw, content_type)


@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}"])
def test_nothing_is_an_empty_object(raw: bytes) -> None:
    """An empty body has no parameters."""
    assert "a" not in parse_json(raw)


def test_null_is_absent() -> None:
    """In every reading of a value."""
    body = parse_json(b'{"a":null}')

    assert "a" not in body
    assert body.text("a") is None
    assert body.texts("a") == []
    assert body.mapping("a") is None
    assert body.optional_flag("a") is None
    with pytest.raises(InvalidParams, match="must have required property 'a'"):
        body.required_text("a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(value, True) for value in (True, "true", "True", 1, "1", 1.0)]
    + [(value, False) for value in (False, "False", 0, "0", "")],
)
def test_flags(value: Any, expected: bool) -> None:
    """However a boolean is spelt."""
    assert Parameters({"a": value}).flag("a", default=not expected) is expected


@pytest.mark.parametrize("value", [{"$ne": 1}, [], 2, "maybe", -1])
def test_what_is_no_flag(value: Any) -> None:
    """Operators, lists and other numbers."""
    with pytest.raises(InvalidParams, match="must be boolean"):
        Parameters({"a": value}).flag("a")


@pytest.mark.parametrize("value", [{"$gt": ""}, ["x"], True, 0, 1.5])
def test_json_texts_are_texts(value: Any) -> None:
    """In JSON a value must have its type; a list is none, unlike in a query."""
    with pytest.raises(InvalidParams, match="must be string"):
        Parameters({"a": value}).text("a")


@pytest.mark.parametrize("value", [[1], [{"$ne": 1}], ["a", None]])
def test_lists_hold_texts(value: Any) -> None:
    """Every element is looked at."""
    with pytest.raises(InvalidParams, match="must be string"):
        Parameters({"a": value}).texts("a")


@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("17", 17), (5, 5)]
    + [
        (value, None)
        for value in ("-1", "1.5", "x", "", True, -3, "9" * 16, "٣", [1], 2**70, {"$gt": 1})
    ],
)
def test_whole_numbers(value: Any, number: int | None) -> None:
    """Anything else is as if it were not there."""
    assert Parameters({"a": value}).whole("a") == number


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05.678Z", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T05:04:05 02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("1767323045678", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        ("0000", None),
        ("9" * 15, None),
        ("2026-13-01", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_dates(text: str, moment: datetime | None) -> None:
    """ISO 8601 and milliseconds; a plus that became a space is restored."""
    assert parse_date(text) == moment


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    """Never an exception."""
    found = parse_date(text)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize("text", ["[]", "1", "x", '{"a":"\\u0000"}', "{" * 1000, "\ud800"])
def test_what_is_no_json_object(text: str) -> None:
    """None, not an exception."""
    assert json_object(text) is None


def test_forms() -> None:
    """Urlencoded bodies are read like queries, but keep a question mark."""
    assert parse_form(b"user=a&password=b%3F&x=y?").text("x") == "y?"
    with pytest.raises(UnreadableBody):
        parse_form(b"user=\xc3\xa9")
