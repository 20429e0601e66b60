"""How deep, wide and strange a document may be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ddp import limits
from hubbub.ddp.limits import BadDocument
from hubbub.errors import BadRequest


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "text",
    [
        nested(64),
        b'{"a":' * 64 + b"1" + b"}" * 64,
        b"[" + b"[]," * 200 + b"[]]",
        orjson.dumps({str(i): i for i in range(10_000)}),
        orjson.dumps([0] * 100_000),
        b'"' + b"[{" * 500 + b'"',
        b"9007199254740993",
        b"-0",
    ],
)
def test_allowed(text: bytes) -> None:
    assert limits.loads(text) == orjson.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        nested(65),
        b'{"a":' * 65 + b"1" + b"}" * 65,
        nested(100_000),
        b"[" * 100_000,
        b"[" + b"[1]," * 30 + nested(64) + b"]",
        orjson.dumps({str(i): i for i in range(10_001)}),
        orjson.dumps([{str(i): i for i in range(101)}] * 100),
        b"[" + b"0," * 100_000 + b"0]",
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b"9" * 5_000,
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\x00"',
        b"\xef\xbb\xbf{}",
        b"",
        b"{} {}",
    ],
)
def test_refused(text: bytes) -> None:
    with pytest.raises(BadDocument):
        limits.loads(text)


@given(
    st.recursive(
        st.integers(0, 9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3)
        ),
        max_leaves=100,
    )
)
def test_the_cheap_tests_decide_like_the_full_one(document: Any) -> None:
    def depth(value: Any) -> int:
        below = (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        )
        return isinstance(value, dict | list) + max(map(depth, below), default=0)

    wrapped: Any = document
    for _ in range(60):
        wrapped = [wrapped]
    text = orjson.dumps(wrapped)
    if depth(wrapped) > limits.MAX_DEPTH:
        with pytest.raises(BadDocument):
            limits.loads(text)
    else:
        assert limits.loads(text) == wrapped


@pytest.mark.parametrize(
    "value", [0, -(2**63), 2**63 - 1, 1.5, 1e18, -0.0, "a\n", None, True, {"a": [{"b": "c"}]}]
)
def test_plain_values_pass(value: Any) -> None:
    limits.check_values(value)


@pytest.mark.parametrize(
    "text",
    [
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1180591620717411303424",
        b"18446744073709551616",
        b"1e300",
        b'"a\\u0000b"',
        b'{"a\\u0000":1}',
        b'[{"a":[{"b":["\\u0000"]}]}]',
        b'{"a":{"b":9223372036854775808}}',
    ],
)
def test_values_that_no_store_can_keep(text: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        limits.check_values(limits.loads(text))
    assert caught.value.code == 400
    assert caught.value.message == "Match failed [400]"
