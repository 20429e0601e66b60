"""EJSON: what leaves, what comes back, and what is refused."""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ddp import ejson
from hubbub.ddp.ejson import EjsonError

MOMENT = datetime(2023, 11, 14, 22, 13, 20, 12_000, tzinfo=UTC)
MS = 1_700_000_000_012


class ObjectId:
    """Stands for the driver's class, which is known by its name alone."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MOMENT, '{"$date":1700000000012}'),
        (MOMENT.replace(tzinfo=None), '{"$date":1700000000012}'),
        (MOMENT.astimezone(timezone(timedelta(hours=5))), '{"$date":1700000000012}'),
        (MOMENT + timedelta(microseconds=999), '{"$date":1700000000012}'),
        (datetime(1969, 12, 31, 23, 59, 59, 999_500, tzinfo=UTC), '{"$date":-1}'),
        (b"\xfb\xff", '{"$binary":"+/8="}'),
        (math.inf, '{"$InfNaN":1}'),
        (-math.inf, '{"$InfNaN":-1}'),
        (math.nan, '{"$InfNaN":0}'),
        (ObjectId("65540d4a0000000000000001"), '"65540d4a0000000000000001"'),
        ({"$date": 5}, '{"$escape":{"$date":5}}'),
        ({"$binary": "AA=="}, '{"$escape":{"$binary":"AA=="}}'),
        ({"$InfNaN": 1}, '{"$escape":{"$InfNaN":1}}'),
        ({"$escape": {}}, '{"$escape":{"$escape":{}}}'),
        ({"$regexp": "a", "$flags": "i"}, '{"$escape":{"$regexp":"a","$flags":"i"}}'),
        ({"$type": "oid", "$value": "1"}, '{"$type":"oid","$value":"1"}'),
        ({"$gt": MOMENT}, '{"$gt":{"$date":1700000000012}}'),
        (
            {"at": MOMENT, "x": {"$date": 1}},
            '{"at":{"$date":1700000000012},"x":{"$escape":{"$date":1}}}',
        ),
        ({"z": 1, "a": [None, True, ""], "m": "$date"}, '{"z":1,"a":[null,true,""],"m":"$date"}'),
        ({"n": None, "f": [1.5, math.nan]}, '{"n":null,"f":[1.5,{"$InfNaN":0}]}'),
        (OrderedDict(b=1, a=(1, 2)), '{"b":1,"a":[1,2]}'),
        ("null", '"null"'),
        (2**53 + 1, "9007199254740993"),
    ],
)
def test_written_form(value: Any, text: str) -> None:
    assert ejson.dumps(value) == text.encode()
    assert orjson.dumps(ejson.encode(value)) == text.encode()


@pytest.mark.parametrize("value", [object(), {1: 2}, 2**64, "\ud800", {"a": {1, 2}}])
def test_values_without_a_written_form(value: Any) -> None:
    with pytest.raises(EjsonError):
        ejson.dumps(value)


def test_endless_nesting_is_an_error_not_a_crash() -> None:
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    with pytest.raises(EjsonError):
        ejson.dumps(value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ({"$date": MS}, MOMENT),
        ({"$date": 0}, datetime(1970, 1, 1, tzinfo=UTC)),
        ({"$date": float(MS)}, MOMENT),
        ({"$date": 253_402_300_799_999}, datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ({"$binary": "+/8="}, b"\xfb\xff"),
        ({"$InfNaN": -1}, -math.inf),
        ({"$escape": {"$date": 5}}, {"$date": 5}),
        ({"$escape": {"$date": {"$date": 0}}}, {"$date": datetime(1970, 1, 1, tzinfo=UTC)}),
        ({"$type": "oid", "$value": {"$date": 1}}, {"$type": "oid", "$value": {"$date": 1}}),
        ({"$ne": None}, {"$ne": None}),
        ({"$date": 5, "more": 1}, {"$date": 5, "more": 1}),
    ],
)
def test_read_form(written: Any, value: Any) -> None:
    assert ejson.decode([written]) == [value]


@pytest.mark.parametrize(
    "written",
    [
        {"$date": 1e17},
        {"$date": -1e17},
        {"$date": -1},
        {"$date": 253_402_300_800_000},
        {"$date": "x"},
        {"$date": None},
        {"$date": True},
        {"$date": math.nan},
        {"$binary": "!"},
        {"$binary": "AA"},
        {"$binary": "AA==AA=="},
        {"$binary": "é"},
        {"$binary": 5},
        {"$InfNaN": 2},
        {"$InfNaN": True},
        {"$InfNaN": "1"},
        {"$escape": 5},
    ],
)
def test_refused_when_read(written: Any) -> None:
    with pytest.raises(EjsonError):
        ejson.decode({"a": [written]})


def test_nesting_is_bounded_when_read() -> None:
    value: Any = 1
    for _ in range(1_000):
        value = {"$escape": value if isinstance(value, dict) else {"a": value}}
    with pytest.raises(EjsonError):
        ejson.decode(value)


def test_rest_form() -> None:
    document = {
        "ts": MOMENT,
        "naive": datetime(2023, 1, 2, 3, 4, 5, 678_999),  # noqa: DTZ001
        "east": MOMENT.astimezone(timezone(timedelta(hours=5))),
        "list": [MOMENT, {"_id": ObjectId("aa"), "b": b"\x00"}],
        "n": None,
        "x": 1.5,
    }
    assert ejson.to_iso(document) == {
        "ts": "2023-11-14T22:13:20.012Z",
        "naive": "2023-01-02T03:04:05.678Z",
        "east": "2023-11-14T22:13:20.012Z",
        "list": ["2023-11-14T22:13:20.012Z", {"_id": "aa", "b": "AA=="}],
        "n": None,
        "x": 1.5,
    }


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=20)
    | st.datetimes(
        min_value=datetime(1970, 1, 1),  # noqa: DTZ001
        max_value=datetime(9999, 12, 31),  # noqa: DTZ001
        timezones=st.just(UTC),
    ).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
)
KEYS = st.text(max_size=6) | st.sampled_from(
    ["$date", "$binary", "$InfNaN", "$escape", "$regexp", "$flags", "$type"]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_reads_back_equal(value: Any) -> None:
    text = ejson.dumps(value)
    assert text == orjson.dumps(ejson.encode(value))
    assert ejson.decode(orjson.loads(text)) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=20,
)


@given(JSON)
def test_reading_anything_raises_only_its_own_error(value: Any) -> None:
    with suppress(EjsonError):
        ejson.decode(value)
