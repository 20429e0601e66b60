"""Headers of calls and events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.bus.context import CallContext
from hubbub.bus.headers import (
    CallHead,
    caller_tail,
    context_lines,
    event_head,
    event_headers,
    header_block,
    parse_call_head,
    request_headers,
)

TAIL = caller_tail("account/account-x1")


def block(context: CallContext, *, attempt: int = 1) -> bytes:
    return request_headers(4_990, attempt, context_lines(context), TAIL)


def test_a_call_outside_any_request_says_little() -> None:
    """Headers are left out where there is nothing to say."""
    assert block(CallContext()) == (
        b"NATS/1.0\r\nHubbub-Patience: 4990\r\nHubbub-Caller: account/account-x1\r\n\r\n"
    )


@pytest.mark.parametrize("_", ["first time", "remembered"])
def test_everything_arrives(_: str) -> None:
    """What a context holds is handed on."""
    context = CallContext(
        request_id="r1", user_id="ü", depth=3, trace_parent="00-a-b-01", trace_state="k=v"
    )

    assert parse_call_head(block(context, attempt=2)) == CallHead(
        request_id="r1",
        user_id="ü",
        depth=3,
        retrying=True,
        caller="account/account-x1",
        trace_parent="00-a-b-01",
        trace_state="k=v",
        patience_ms=4_990,
    )
    assert parse_call_head(block(CallContext())) == CallHead(
        caller="account/account-x1", patience_ms=4_990
    )


def test_what_callers_of_an_older_version_say_is_read() -> None:
    """They name a date, and name it first."""
    raw = b"NATS/1.0\r\nHubbub-Deadline: 1700000000123\r\nHubbub-Caller: a/a-1\r\n\r\n"
    for _ in ("first time", "remembered"):
        assert parse_call_head(raw) == CallHead(caller="a/a-1", deadline_ms=1_700_000_000_123)


def test_line_breaks_cannot_add_headers() -> None:
    """An id from outside stays one value."""
    context = CallContext(request_id="r\r\nHubbub-User: admin", user_id="u\n\r\n{}")

    head = parse_call_head(block(context))

    assert head.request_id == "r  Hubbub-User: admin"
    assert head.user_id == "u   {}"


@given(st.binary(max_size=200))
def test_garbage_is_ignored(garbage: bytes) -> None:
    """Headers never make a call fail."""
    assert parse_call_head(b"NATS/1.0\r\n" + garbage).depth >= 0
    assert parse_call_head(b"NATS/1.0\r\nHubbub-Patience: " + garbage).patience_ms >= 0
    assert parse_call_head(b"NATS/1.0\r\nHubbub-Deadline: " + garbage).deadline_ms >= 0
    assert parse_call_head(garbage) is not None


def test_no_headers_at_all() -> None:
    """Somebody without our library calls."""
    assert parse_call_head(None) == CallHead()
    assert event_head(None) == CallHead()


def test_an_event_ends_deadline_and_depth() -> None:
    """What a listener does is a request of its own."""
    context = CallContext(request_id="r1", user_id="u1", depth=4, deadline=12.0, retrying=True)

    headers = event_headers(context, "account/a-1")

    assert event_head(headers) == CallHead(request_id="r1", user_id="u1", caller="account/a-1")
    assert header_block({"A": "b"}) == b"NATS/1.0\r\nA: b\r\n\r\n"
