"""RFC 6455 frames: what the parser takes, what it refuses, and what the builders make."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ddp import websocket
from hubbub.ddp.messages import ProtocolViolation
from hubbub.ddp.websocket import CLOSE, FRAGMENT, PING, TEXT, FrameParser
from tests.unit.ddp.client_frames import client_frame
from tests.unit.ddp.violations import violation_code

LIMIT = 1024 * 1024


def parse(data: bytes, *, limit: int = LIMIT, pieces: int | None = None) -> list[tuple[int, bytes]]:
    parser = FrameParser(limit)
    found = []
    step = pieces or max(1, len(data))
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
        while (frame := parser.next()) is not None:
            found.append(frame)
    return found


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 127, 65535, 65536, 70001])
def test_text_of_every_length_form(size: int) -> None:
    payload = b"abcdefghij" * (size // 10) + b"x" * (size % 10)
    assert parse(client_frame(TEXT, payload)) == [(TEXT, payload)]


def test_several_frames_in_one_read() -> None:
    data = client_frame(TEXT, b"a") + client_frame(PING, b"p") + client_frame(TEXT, b"b")
    assert parse(data) == [(TEXT, b"a"), (PING, b"p"), (TEXT, b"b")]


def test_fragments_with_a_control_frame_between() -> None:
    data = (
        client_frame(TEXT, b"gr\xc3", fin=False)
        + client_frame(PING, b"?")
        + client_frame(0, b"\xbc", fin=False)
        + client_frame(0, b"n")
    )
    assert parse(data) == [
        (FRAGMENT, b""),
        (PING, b"?"),
        (FRAGMENT, b""),
        (TEXT, "grün".encode()),
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(TEXT, b"hello", mask=None), 1002),
        (client_frame(TEXT, b"a", rsv=1), 1002),
        (client_frame(TEXT, b"a", rsv=2), 1002),
        (client_frame(TEXT, b"a", rsv=4), 1002),
        (client_frame(PING, b"a", rsv=1), 1002),
        *[(client_frame(opcode, b"a"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        (client_frame(PING, b"x" * 126), 1002),
        (client_frame(CLOSE, b"x" * 200), 1002),
        (client_frame(PING, b"a", fin=False), 1002),
        (client_frame(CLOSE, b"", fin=False), 1002),
        (client_frame(0, b"a"), 1002),
        (client_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"b"), 1002),
        (b"\x81\xfe\x00\x05" + b"\0" * 9, 1002),
        (b"\x81\xff" + struct.pack(">Q", 300) + b"\0" * 304, 1002),
        (b"\x81\xff" + struct.pack(">Q", 1 << 63), 1002),
        (client_frame(2, b"a"), 1007),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, b"\xed\xa0\x80"), 1007),
        (client_frame(TEXT, b"\xc3", fin=False) + client_frame(0, b"("), 1007),
        (client_frame(TEXT, b"", declared=LIMIT + 1), 1009),
        (client_frame(TEXT, b"", declared=1 << 62), 1009),
        (
            client_frame(TEXT, b"x" * 600_000, fin=False) + client_frame(0, b"", declared=500_000),
            1009,
        ),
    ],
)
def test_what_closes_the_connection(data: bytes, code: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse(data)
    assert caught.value.code == code


def test_a_message_of_exactly_the_limit_is_taken() -> None:
    assert parse(client_frame(TEXT, b"x" * LIMIT)) == [(TEXT, b"x" * LIMIT)]


def test_endless_fragments_are_cut_off_by_their_sum() -> None:
    parser = FrameParser(LIMIT)
    piece = client_frame(0, b"x" * 1000, fin=False)
    parser.feed(client_frame(TEXT, b"", fin=False))
    assert parser.next() == (FRAGMENT, b"")
    for _ in range(LIMIT // 1000):
        parser.feed(piece)
        assert parser.next() == (FRAGMENT, b"")
        assert parser.buffered <= LIMIT
    parser.feed(piece)
    assert violation_code(parser.next) == 1009


def test_nothing_is_kept_between_messages() -> None:
    parser = FrameParser(LIMIT)
    parser.feed(client_frame(TEXT, b"x" * 100_000))
    assert parser.next() is not None
    assert parser.buffered == 0
    parser.feed(client_frame(TEXT, b"abc")[:4])
    assert parser.next() is None
    assert parser.buffered == 4


def test_a_long_message_in_tiny_pieces_is_not_copied_anew_for_each() -> None:
    parser = FrameParser(LIMIT)
    data = client_frame(TEXT, b"x" * 5_000)
    frame, buffers = None, set()
    for start in range(0, len(data), 10):
        parser.feed(data[start : start + 10])
        frame = parser.next()
        buffers.add(id(parser._buffer))
    assert frame == (TEXT, b"x" * 5_000)
    assert len(buffers) <= 3  # the first piece, the buffer that grew, and none


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmasking_is_its_own_inverse(payload: bytes, mask: bytes) -> None:
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    assert websocket.unmask(masked, mask) == payload


FRAMES = st.lists(
    st.one_of(
        st.text(max_size=200).map(lambda text: [client_frame(TEXT, text.encode())]),
        st.binary(max_size=125).map(lambda payload: [client_frame(PING, payload)]),
        st.lists(st.text(max_size=60), min_size=2, max_size=4).map(
            lambda parts: [
                client_frame(0 if i else TEXT, part.encode(), fin=i == len(parts) - 1)
                for i, part in enumerate(parts)
            ]
        ),
    ),
    max_size=6,
)


@given(FRAMES, st.data())
def test_any_split_of_the_bytes_gives_the_same_messages(
    groups: list[list[bytes]], data: st.DataObject
) -> None:
    whole = b"".join(frame for group in groups for frame in group)
    expected = parse(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parser = FrameParser(LIMIT)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        parser.feed(whole[start:end])
        while (frame := parser.next()) is not None:
            found.append(frame)
    assert found == expected
    assert parse(whole, pieces=1) == expected


@given(st.binary(max_size=400), st.integers(1, 50))
def test_whatever_arrives_only_violations_escape(data: bytes, pieces: int) -> None:
    code = violation_code(lambda: parse(data, limit=200, pieces=pieces))
    assert code in {None, 1002, 1007, 1009}


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (websocket.text_frame(b"abc"), b"\x81\x03abc"),
        (websocket.text_frame(b""), b"\x81\x00"),
        (websocket.text_frame(b"x" * 125)[:2], b"\x81\x7d"),
        (websocket.text_frame(b"x" * 126)[:4], b"\x81\x7e\x00\x7e"),
        (websocket.text_frame(b"x" * 65535)[:4], b"\x81\x7e\xff\xff"),
        (websocket.text_frame(b"x" * 65536)[:10], b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        (websocket.ping_frame(b"a"), b"\x89\x01a"),
        (websocket.pong_frame(), b"\x8a\x00"),
        (websocket.close_frame(1012, "SERVICE_RESTART"), b"\x88\x11\x03\xf4SERVICE_RESTART"),
        (websocket.close_frame(1000), b"\x88\x02\x03\xe8"),
        (websocket.close_frame(1005), b"\x88\x00"),
        (websocket.close_frame(1008, "é" * 100)[:2], b"\x88\x7c"),  # cut between characters
    ],
)
def test_frames_of_the_server(frame: bytes, wanted: bytes) -> None:
    assert frame == wanted


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x03\xe9bye", (1001, "bye")),
        (b"\x0f\xa0", (4000, "")),
        (b"\x0b\xb8", (3000, "")),
    ],
)
def test_close_status(payload: bytes, status: tuple[int, str]) -> None:
    assert websocket.close_status(payload) == status


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        *[(struct.pack(">H", code), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)],
        (b"\x03\xe8\xff", 1007),
    ],
)
def test_close_status_that_must_not_be_sent(payload: bytes, code: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        websocket.close_status(payload)
    assert caught.value.code == code


def test_accept_key() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for wrong in ("", "abc", "dGhlIHNhbXBsZSBub25jZQ", "é", "AAAA", "dGhlIHNhbXBsZSBub25jZSE="):
        assert websocket.accept_key(wrong) is None
