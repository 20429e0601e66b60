"""SockJS framing."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ddp import messages, sockjs
from hubbub.ddp.messages import ProtocolViolation
from tests.unit.ddp.violations import violation_code


def test_the_frames_of_a_server() -> None:
    assert sockjs.OPEN == b"o"
    assert sockjs.HEARTBEAT == b"h"
    assert sockjs.wrap(messages.SERVER_ID) == b'a["{\\"server_id\\":\\"0\\"}"]'
    assert sockjs.wrap_all([b'{"a":1}', b'{"b":"\xc3\xa9"}']) == (
        b'a["{\\"a\\":1}","{\\"b\\":\\"\xc3\xa9\\"}"]'
    )
    assert sockjs.close(1012, "SERVICE_RESTART") == b'c[1012,"SERVICE_RESTART"]'


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"", []),
        (b" \n", []),
        (b"[]", []),
        (b'[""]', []),
        (b'["{\\"a\\":1}"]\n', [b'{"a":1}']),
        (b'["{\\"a\\":1}", "{\\"b\\":2}","x"]', [b'{"a":1}', b'{"b":2}', b"x"]),
        (b'"{\\"a\\":1}"', [b'{"a":1}']),
        (b'{"a":1}\n', [b'{"a":1}']),
        (b"garbage", [b"garbage"]),
        (b"5", [b"5"]),
    ],
)
def test_the_messages_in_a_frame_of_a_client(payload: bytes, found: list[bytes]) -> None:
    assert sockjs.unwrap(payload) == found


@pytest.mark.parametrize(
    "payload", [b"[1]", b"[", b'["a",{}]', b'["\\ud800"]', b"[" * 5_000, b'"a']
)
def test_what_is_no_frame_of_a_client(payload: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        sockjs.unwrap(payload)
    assert caught.value.code == 1007


@given(
    st.lists(
        st.text(min_size=1).filter(
            lambda text: text == text.strip() and text.strip(" \t\n\r\x0b\x0c")
        )
    )
)
def test_every_element_comes_out_in_order(texts: list[str]) -> None:
    wanted = [text.encode().strip() for text in texts]
    assert sockjs.unwrap(orjson.dumps(texts)) == wanted


@given(st.binary())
def test_whatever_arrives_only_violations_escape(payload: bytes) -> None:
    assert violation_code(lambda: sockjs.unwrap(payload)) in {None, 1007}
