"""Our parser against nats-py's own, and the door that it opens."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser as ReferenceParser
from structlog.testing import capture_logs

from hubbub.bus.parser import Parser


class Recorder:
    """Takes what a parser finds."""

    def __init__(self) -> None:
        self.found: list[tuple[Any, ...]] = []
        self.stats = {"in_msgs": 0, "in_bytes": 0}

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.found.append((sid, bytes(subject), bytes(reply), data, headers or b""))

    async def _process_ping(self) -> None:
        self.found.append(("ping",))

    async def _process_pong(self) -> None:
        self.found.append(("pong",))

    async def _process_err(self, err_msg: str) -> None:
        self.found.append(("err", err_msg))

    async def _process_info(self, info: dict[str, object]) -> None:
        self.found.append(("info", info))


tokens = st.text("abcXYZ019_-.$", min_size=1, max_size=12).map(str.encode)
payloads = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"\r\n", b"MSG a 1 1\r\n", b"PING\r\n"])
)


@st.composite
def operations(draw: st.DrawFn) -> bytes:
    """One thing that a server may send."""
    kind = draw(st.sampled_from(["msg", "msg", "hmsg", "hmsg", "other"]))
    if kind == "other":
        return draw(
            st.sampled_from(
                [
                    b"PING\r\n",
                    b"PONG\r\n",
                    b"+OK\r\n",
                    b"-ERR 'Stale Connection'\r\n",
                    b'INFO {"server_id":"x","max_payload":5}\r\n',
                ]
            )
        )
    subject = draw(tokens)
    sid = draw(st.integers(1, 10**6))
    reply = draw(st.one_of(st.just(b""), tokens.map(lambda token: token + b" ")))
    payload = draw(payloads)
    if kind == "msg":
        return b"MSG %b %d %b%d\r\n%b\r\n" % (subject, sid, reply, len(payload), payload)
    headers = b"NATS/1.0\r\n%b: %b\r\n\r\n" % (draw(tokens), draw(tokens))
    return b"HMSG %b %d %b%d %d\r\n%b%b\r\n" % (
        subject, sid, reply, len(headers), len(headers) + len(payload), headers, payload,
    )  # fmt: skip


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(operations(), max_size=8), st.lists(st.integers(0, 10**6), max_size=6))
async def test_finds_what_nats_py_finds(sent: list[bytes], places: list[int]) -> None:
    """Whatever a server sends, in pieces of any size."""
    data = b"".join(sent)
    ours, reference = Recorder(), Recorder()
    parser, expected = Parser(ours, {}), ReferenceParser(reference)
    for piece in cut(data, places):
        await parser.parse(piece)
    await expected.parse(data)

    assert ours.found == reference.found
    assert len(ours.found) == len(sent) - sent.count(b"+OK\r\n")


@given(st.lists(operations(), max_size=8), st.lists(st.integers(0, 10**6), max_size=6))
async def test_doors_get_the_same(sent: list[bytes], places: list[int]) -> None:
    """A door sees exactly the messages of its subscription."""
    behind: list[tuple[bytes, bytes, bytes, bytes | None]] = []

    class EveryDoor(dict[int, Any]):
        def get(self, key: int, default: object = None) -> Any:
            return lambda *message: behind.append(message)

    plain, recorder = Recorder(), Recorder()
    await Parser(plain, {}).parse(b"".join(sent))
    parser = Parser(recorder, EveryDoor())
    for piece in cut(b"".join(sent), places):
        await parser.parse(piece)

    messages = [found[1:] for found in plain.found if isinstance(found[0], int)]
    assert [(s, r, p, h or b"") for s, r, p, h in behind] == messages
    assert recorder.stats["in_msgs"] == len(messages)
    assert recorder.stats["in_bytes"] == sum(len(message[2]) for message in messages)


async def test_a_large_message_in_many_pieces() -> None:
    """Put together once, when it is whole."""
    recorder = Recorder()
    parser = Parser(recorder, {})
    payload = bytes(1_000_000)
    data = b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (len(payload), payload)
    for start in range(0, len(data), 32768):
        await parser.parse(data[start : start + 32768])

    assert recorder.found == [(1, b"a", b"", payload, b""), ("ping",)]


@pytest.mark.parametrize(
    "data",
    [
        b"HELLO\r\n",
        b"MSG a\r\n",
        b"MSG a 1 b c 5\r\n",
        b"MSG a x 1\r\nb\r\n",
        b"MSG a 1 -5\r\n",
        b"HMSG a 1 5\r\n",
        b"HMSG a 1 9 5\r\n",
        b"INFO {\r\n",
        b"x" * (1024 * 1024 + 1),
    ],
    ids=lambda data: data[:16].decode(),
)
async def test_nonsense_is_refused(data: bytes) -> None:
    """With the error on which the client connects anew."""
    with pytest.raises(ProtocolError):
        await Parser(Recorder(), {}).parse(data)


async def test_a_door_that_raises_stops_nobody() -> None:
    """The reader of the connection lives on, and the defect is logged."""
    seen: list[bytes] = []

    def door(subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
        seen.append(payload)
        raise ZeroDivisionError

    with capture_logs() as logs:
        await Parser(Recorder(), {1: door}).parse(b"MSG a 1 1\r\nx\r\nMSG a 1 1\r\ny\r\n")

    assert seen == [b"x", b"y"]
    assert [line["event"] for line in logs] == ["door_failed"] * 2


async def test_reset_forgets_a_half_message() -> None:
    """A new connection starts afresh."""
    recorder = Recorder()
    parser = Parser(recorder, {})
    await parser.parse(b"MSG a 1 100\r\nhalf")
    parser.reset()
    await parser.parse(b"PONG\r\n")

    assert recorder.found == [("pong",)]
