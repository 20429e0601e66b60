"""Conformance: connection, framing, handshake. Tests are named after the checklist's numbers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from urllib.parse import urlparse

import aiohttp
import pytest
from websockets.asyncio.client import connect

from tests.conformance.conftest import Anonymous, Running, SignIn
from tests.conformance.ddp import opened
from tests.conformance.rest import User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

ALPHABET = set("23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz")


@pytest.mark.parametrize("path", ["/websocket", "/websocket/", "/websocket?x=1"])
async def test_001_raw_framing_on_every_spelling(hubbub: Running, path: str) -> None:
    """A trailing slash and a query change nothing."""
    async with opened(hubbub.websocket.replace("/websocket", path)) as client:
        assert json.loads(client.texts[1])["msg"] == "connected"


async def test_002_sockjs_frames_both_ways(hubbub: Running) -> None:
    """`o`, then arrays; every element of a client's array is handled."""
    url = hubbub.websocket.replace("/websocket", "/sockjs/123/abcdefgh/websocket")
    async with opened(url, sockjs=True) as client:
        assert client.texts[0] == "o"
        two = [json.dumps({"msg": "ping", "id": name}) for name in ("a", "b")]
        await client.socket.send(json.dumps(two))

        await client.wait(msg="pong", id="a")
        await client.wait(msg="pong", id="b")
        assert all(text.startswith('a["') for text in client.texts[1:])


async def test_003_sockjs_info(hubbub: Running) -> None:
    """What a SockJS client asks before it connects."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(hubbub.url + "/sockjs/info?cb=1") as answer,
    ):
        body = await answer.json()

        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "no-store" in answer.headers["Cache-Control"]
    assert body["websocket"] is True
    assert isinstance(body["entropy"], int)
    assert "base_url" not in body


async def test_004_first_frame_is_the_server_id(hubbub: Running) -> None:
    """Exactly these bytes: an old client compares the text."""
    async with opened(hubbub.websocket, handshake=False) as client:
        await eventually(lambda: client.texts)

        assert client.texts == ['{"server_id":"0"}']


async def test_005_connected_with_a_new_session(hubbub: Running) -> None:
    """An offered, unknown session is no error, and no id is given twice."""
    sessions = []
    for offered in (None, "no-such-session", "?" * 300):
        async with opened(hubbub.websocket, handshake=False) as client:
            sessions.append(await client.connect(offered))

    assert len(set(sessions)) == 3
    assert all(len(session) == 24 and set(session) <= ALPHABET for session in sessions)


async def test_005_no_extension_is_negotiated(hubbub: Running) -> None:
    """Deflate is offered by the client and declined by the server."""
    async with connect(hubbub.websocket, compression="deflate", proxy=None) as websocket:
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers


async def test_006_an_unknown_version_fails(hubbub: Running) -> None:
    """The server names the version it speaks and closes normally."""
    async with opened(hubbub.websocket, handshake=False) as client:
        await client.send({"msg": "connect", "version": "2", "support": ["2"]})

        assert await client.wait(msg="failed") == {"msg": "failed", "version": "1"}
        assert await client.closed() == 1000


@pytest.mark.parametrize(
    ("support", "answer"),
    [
        pytest.param(["pre2"], "connected", id="only the old version"),
        pytest.param(["pre2", "1"], "failed", id="could speak the new one"),
    ],
)
async def test_006_old_versions(hubbub: Running, support: list[str], answer: str) -> None:
    """A client that knows nothing newer than pre2 is served."""
    async with opened(hubbub.websocket, handshake=False) as client:
        await client.send({"msg": "connect", "version": "pre2", "support": support})

        await client.wait(msg=answer)


async def test_007_messages_in_the_segment_of_the_handshake(hubbub: Running) -> None:
    """Whatever is pipelined behind the upgrade is handled, in order."""
    place = urlparse(hubbub.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    request = (
        f"GET /websocket HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    frames = b"".join(
        _masked(message)
        for message in (
            {"msg": "connect", "version": "1", "support": ["1"]},
            {"msg": "sub", "id": "s", "name": "meteor.loginServiceConfiguration", "params": []},
            {"msg": "method", "id": "m", "method": "license:isEnterprise", "params": []},
        )
    )
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(request + frames)
    try:
        received = b""
        async with asyncio.timeout(10):
            while not all(word in received for word in (b'"ready"', b'"result"', b'"updated"')):
                received += await reader.read(4096)
        assert b'"result":false' in received
    finally:
        writer.close()
        await writer.wait_closed()


def _masked(message: Mapping[str, object]) -> bytes:
    payload = json.dumps(message).encode()
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    header = bytes([0x81])
    if len(payload) < 126:
        header += bytes([0x80 | len(payload)])
    else:
        header += bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
    return header + mask + body


async def test_008_pong_repeats_the_id_if_any(anonymous: Anonymous) -> None:
    """Also before a login."""
    client = await anonymous()
    await client.send({"msg": "ping"}, {"msg": "ping", "id": "7"})

    await client.wait(msg="pong", id="7")
    assert client.texts[2] == '{"msg":"pong"}'


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param("no json", 1007, id="garbage"),
        pytest.param("7", 1007, id="no object"),
        pytest.param(b"\x00\x01", 1007, id="binary"),
        pytest.param('{"msg":"ping","id":"' + "x" * 2**21 + '"}', 1009, id="two megabytes"),
        pytest.param('{"msg":"method","method":"x","params":[]}', 1002, id="method without id"),
        pytest.param('{"msg":"sub","id":"1"}', 1002, id="sub without name"),
        pytest.param('{"msg":"unsub"}', 1002, id="unsub without id"),
        pytest.param('{"msg":"ping","id":NaN}', 1007, id="not a number"),
        pytest.param('{"msg":"ping","id":' + "[" * 100 + "]" * 100 + "}", 1007, id="deep"),
    ],
)
async def test_010_malformed_frames_close(
    anonymous: Anonymous, frame: str | bytes, code: int
) -> None:
    """Each with its code, and a neighbour notices nothing."""
    client, neighbour = await anonymous(), await anonymous()
    await client.socket.send(frame)

    assert await client.closed() == code
    await neighbour.settle()


@pytest.mark.parametrize(
    "frame", [{"msg": "nonsense"}, {"no": "msg"}, {"msg": "result", "id": "1"}]
)
async def test_010_unknown_messages_are_answered(
    anonymous: Anonymous, frame: dict[str, str]
) -> None:
    """The socket stays open."""
    client = await anonymous()
    await client.send(frame)

    error = await client.wait(msg="error")
    assert error == {"msg": "error", "reason": "Bad request", "offendingMessage": frame}
    await client.settle()


async def test_010_first_message_must_be_connect(hubbub: Running) -> None:
    """Anything else closes."""
    async with opened(hubbub.websocket, handshake=False) as client:
        await client.send({"msg": "method", "id": "1", "method": "x", "params": []})

        assert (await client.wait(msg="error"))["reason"] == "Must connect first"
        assert await client.closed() == 1002


async def test_010_a_second_connect_is_an_error(anonymous: Anonymous) -> None:
    """It is answered; nothing else happens."""
    client = await anonymous()
    await client.send({"msg": "connect", "version": "1", "support": ["1"]})

    assert (await client.wait(msg="error"))["reason"] == "Already connected"
    await client.settle()


async def test_011_a_pong_before_connect_is_tolerated(hubbub: Running) -> None:
    """Some clients answer a ping that was never sent."""
    async with opened(hubbub.websocket, handshake=False) as client:
        await client.send({"msg": "pong"}, {"msg": "ping"})

        await client.connect()


async def test_015_numeric_ids_come_back_as_numbers(sign_in: SignIn, ana: User) -> None:
    """And parameters may be missing or null."""
    client = await sign_in(ana)
    await client.send(
        {"msg": "method", "id": 1001, "method": "subscriptions/get"},
        {"msg": "sub", "id": 1002, "name": "userData", "params": None},
    )

    assert isinstance((await client.answer(1001))["result"], list)
    await client.wait(msg="ready", subs=[1002])
