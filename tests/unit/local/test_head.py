"""Heads of requests are understood exactly, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.local.door.head import is_complete, parse

UPGRADE = (
    b"GET /websocket?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\n\r\n"
)


def test_an_upgrade_is_seen() -> None:
    """Both headers must say it; what follows the head is handed back."""
    head, rest = parse(UPGRADE + b"first bytes")

    assert head.is_upgrade
    assert (head.method, head.path) == ("GET", "/websocket")
    assert rest == b"first bytes"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"Host: a\r\n", id="neither"),
        pytest.param(b"Upgrade: websocket\r\n", id="no connection"),
        pytest.param(b"Connection: upgrade\r\n", id="no upgrade"),
    ],
)
def test_plain_requests_are_plain(headers: bytes) -> None:
    """One of the two headers is not enough."""
    head, _ = parse(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")

    assert not head.is_upgrade


@pytest.mark.parametrize(
    ("before", "chain"),
    [
        pytest.param(b"", b"10.0.0.1", id="first"),
        pytest.param(b"X-Forwarded-For: 1.1.1.1\r\n", b"1.1.1.1, 10.0.0.1", id="appended"),
        pytest.param(
            b"x-forwarded-for: 1.1.1.1\r\nX-FORWARDED-FOR: 2.2.2.2\r\n",
            b"1.1.1.1, 2.2.2.2, 10.0.0.1",
            id="several",
        ),
    ],
)
def test_the_client_is_appended(before: bytes, chain: bytes) -> None:
    """Everything else of the head stays byte for byte."""
    head, _ = parse(b"GET /a HTTP/1.1\r\nHost: a\r\n" + before + b"x-ODD:  v \r\n\r\n")

    assert head.forwarded("10.0.0.1") == (
        b"GET /a HTTP/1.1\r\nHost: a\r\nx-ODD:  v \r\nX-Forwarded-For: " + chain + b"\r\n\r\n"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"GET /\r\n\r\n", id="no version"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", id="another version"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", id="space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", id="folded"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b", id="not complete"),
    ],
)
def test_what_is_no_head_is_refused(wrong: bytes) -> None:
    """Ambiguous heads are how requests are smuggled past a front door."""
    with pytest.raises(ValueError, match=r"head|line"):
        parse(wrong)


@given(st.binary(max_size=300))
def test_garbage_never_escapes(data: bytes) -> None:
    """Whatever arrives, the only failure is ValueError."""
    try:
        head, rest = parse(data)
    except ValueError:
        return

    assert is_complete(data)
    assert head.raw + rest == data
