"""The public port with real sockets, on both event loops: routes, handshakes, frames, endings."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import websockets
from prometheus_client import CollectorRegistry

from hubbub.ddp.messages import Connect, Method
from hubbub.ddp.stream import stream_frame
from hubbub.ddp.websocket import CLOSE, TEXT
from services.ddp_streamer.connection import Connection
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.listener import PublicListener
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.settings import StreamerSettings
from tests.unit.ddp.client_frames import client_frame
from tests.unit.ddp_streamer.corpus import Case, cases
from tests.unit.ddp_streamer.fakes import FakeSession
from tests.unit.ddp_streamer.rawclient import CONNECT, RawClient, handshake
from tests.unit.ddp_streamer.stage import reading
from tests.waiting import eventually

CALL = b'{"msg":"method","id":"1","method":"echo","params":[1]}'


class Streamer:
    """A listener with sessions that only answer."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.healthy = True
        self.metrics = StreamerMetrics(CollectorRegistry())
        self._stack = AsyncExitStack()
        self.listener: PublicListener

    async def start(self, **changes: Any) -> int:
        """Start with these settings; the port."""
        settings = StreamerSettings(
            host="127.0.0.1",
            port=0,
            max_anonymous_per_address=0,
            close_timeout=1.0,
            **changes,
        )
        self.listener = await self._stack.enter_async_context(
            PublicListener(settings, self.metrics, self.session, healthy=lambda: self.healthy)
        )
        return self.listener.port

    def session(self, connection: Connection) -> FakeSession:
        session = FakeSession(connection)
        self.sessions.append(session)
        return session

    async def stop(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def streamer() -> AsyncIterator[Streamer]:
    streamer = Streamer()
    try:
        yield streamer
    finally:
        await streamer.stop()


async def get(port: int, path: str, **headers: str) -> tuple[str, bytes]:
    """Head and body of a plain GET."""
    client = await RawClient.dial(port)
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    client.writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await client.head()
    async with asyncio.timeout(5):
        body = await client.reader.read()
    await client.end()
    return head, body


# --- HTTP ---------------------------------------------------------------------------------------


async def test_plain_requests(streamer: Streamer) -> None:
    port = await streamer.start(root_path="/chat/")
    head, body = await get(port, "/chat/health")
    assert (head[:12], body) == ("HTTP/1.1 200", b"ok")
    streamer.healthy = False
    head, body = await get(port, "/chat/health/?x=1")
    assert (head[:12], body) == ("HTTP/1.1 500", b"not healthy")

    head, body = await get(port, "/chat/sockjs/info?cb=1")
    info = json.loads(body)
    assert 0 <= info.pop("entropy") < 2**32
    assert info == {"websocket": True, "origins": ["*:*"], "cookie_needed": False, "ms": True}
    assert "Access-Control-Allow-Origin: *\r\n" in head
    assert "Content-Type: application/json" in head
    assert "Cache-Control: no-store" in head
    head, _ = await get(port, "/chat/sockjs/info", Origin="https://a.example")
    assert "Access-Control-Allow-Origin: https://a.example\r\n" in head
    assert "Access-Control-Allow-Credentials: true\r\n" in head

    for path in ("/health", "/chat/sockjs/000/abc/xhr_streaming", "/chat/iframe.html", "/"):
        head, _ = await get(port, path)
        assert head[:12] == "HTTP/1.1 404"
        assert "Content-Type: text/plain" in head


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("/websocket", b'{"server_id":"0"}'),
        ("/websocket/?x=1", b'{"server_id":"0"}'),
        ("/sockjs/websocket", b'{"server_id":"0"}'),
        ("/sockjs/437/x1y2z3/websocket?t=1", b"o"),
    ],
)
async def test_upgrade_paths(streamer: Streamer, path: str, first: bytes) -> None:
    client = await RawClient.open(await streamer.start(), path)
    assert await client.text() == first
    await client.end()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (handshake("/nowhere"), "404"),
        (handshake("/sockjs/000/abc/xhr"), "404"),
        (handshake(Sec_WebSocket_Key="x"), "400"),
        (handshake(Sec_WebSocket_Version="8"), "426"),
        (handshake(Upgrade=""), "400"),
        (handshake(Connection="close"), "400"),
        (handshake(Content_Length="2") + b"{}", "400"),
        (handshake(Origin="https://evil.example"), "403"),
        (handshake().replace(b"GET", b"POST"), "400"),
        (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), "400"),
        (handshake(X="y" * 20_000), "400"),
        (b"nonsense\r\n\r\n", "400"),
    ],
)
async def test_handshakes_that_are_refused(
    streamer: Streamer, request_text: bytes, status: str
) -> None:
    port = await streamer.start(allowed_origins="https://chat.example")
    client = await RawClient.dial(port)
    client.writer.write(request_text)
    assert (await client.head()).split()[1] == status
    await client.end()
    assert streamer.sessions == []


async def test_no_extension_and_no_subprotocol_is_negotiated(streamer: Streamer) -> None:
    port = await streamer.start()
    client = await RawClient.dial(port)
    client.writer.write(
        handshake(
            Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
            Sec_WebSocket_Protocol="ddp",
        )
    )
    head = (await client.head()).lower()
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
    assert "extensions" not in head
    assert "protocol:" not in head
    await client.end()


async def test_half_a_request_does_not_stay_open(streamer: Streamer) -> None:
    port = await streamer.start(header_timeout=0.2)
    client = await RawClient.dial(port)
    client.writer.write(b"GET /websocket HTT")
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""
    await client.end()


async def test_the_client_address_behind_a_proxy(streamer: Streamer) -> None:
    port = await streamer.start(forwarded_count=1)
    client = await RawClient.dial(port)
    client.writer.write(handshake(X_Forwarded_For="6.6.6.6, 198.51.100.7", User_Agent="bot/1"))
    await client.head()
    await eventually(lambda: streamer.sessions)
    peer = streamer.sessions[0].connection.peer
    assert (peer.address, peer.user_agent, peer.sockjs) == ("198.51.100.7", "bot/1", False)
    await client.end()


async def test_the_hard_limit_and_draining_answer_503(streamer: Streamer) -> None:
    port = await streamer.start(max_connections=1, hard_limit_ratio=1.0)
    first = await RawClient.open(port)
    second = await RawClient.dial(port)
    second.writer.write(handshake())
    head = await second.head()
    assert head.split()[1] == "503"
    assert "Retry-After: " in head
    await second.end()
    await first.end()


async def test_handshakes_wait_for_their_turn(streamer: Streamer) -> None:
    port = await streamer.start(handshakes_per_second=20.0, handshake_wait=0.5)
    begun = asyncio.get_running_loop().time()
    clients = [await RawClient.dial(port) for _ in range(60)]
    for client in clients:
        client.writer.write(handshake())
    statuses = [(await client.head()).split()[1] for client in clients]
    took = asyncio.get_running_loop().time() - begun
    # 40 at once, 10 in half a second; a slow machine gives more time.
    assert 48 <= statuses.count("101") <= 40 + 20 * took + 1
    assert statuses.count("503") == 60 - statuses.count("101")
    assert took >= 0.4
    for client in clients:
        await client.end()


# --- frames -------------------------------------------------------------------------------------


async def test_frames_behind_the_handshake_in_one_segment(streamer: Streamer) -> None:
    port = await streamer.start()
    sub = b'{"msg":"sub","id":"2","name":"p","params":[]}'
    frames = b"".join(client_frame(TEXT, text) for text in (CONNECT, CALL, sub))
    client = await RawClient.open(port, behind=frames)
    received = [await client.text() for _ in range(5)]
    assert received == [
        b'{"server_id":"0"}',
        b'{"msg":"connected","session":"ssssssssssssssssssssssss"}',
        b'{"msg":"result","id":"1","result":[1]}',
        b'{"msg":"updated","methods":["1"]}',
        b'{"msg":"ready","subs":["2"]}',
    ]
    await client.end()


@pytest.mark.parametrize("size", [10, 70_000, 300_000, 900_000])
async def test_a_long_message_right_behind_the_handshake(streamer: Streamer, size: int) -> None:
    port = await streamer.start()
    long = b'{"msg":"method","id":"1","method":"echo","params":["' + b"x" * size + b'"]}'
    client = await RawClient.open(
        port, behind=client_frame(TEXT, CONNECT) + client_frame(TEXT, long)
    )
    await client.text()
    await client.text()
    assert len(await client.text()) > size
    await client.end()


@pytest.mark.parametrize("split", range(1, len(handshake()) + 20, 23))
async def test_a_handshake_and_a_frame_cut_anywhere(streamer: Streamer, split: int) -> None:
    port = await streamer.start()
    data = handshake() + client_frame(TEXT, CONNECT)
    client = await RawClient.dial(port)
    client.writer.write(data[:split])
    await client.writer.drain()
    await asyncio.sleep(0.01)  # so that the two parts arrive apart
    client.writer.write(data[split:])
    await client.head()
    assert await client.text() == b'{"server_id":"0"}'
    assert (await client.text()).startswith(b'{"msg":"connected"')
    await client.end()


async def test_aiohttp_forgets_a_connection_that_was_handed_over(streamer: Streamer) -> None:
    port = await streamer.start()
    clients = [await RawClient.greeted(port) for _ in range(5)]
    await eventually(lambda: not streamer.listener._http.connections)
    assert len(streamer.listener.connections) == 5
    tasks = asyncio.all_tasks()
    assert len(tasks) == 1  # this test: no task belongs to a connection
    for client in clients:
        await client.end()
    await eventually(lambda: len(streamer.listener.connections) == 0)
    assert [session.ended for session in streamer.sessions] == [[(1006, "")]] * 5


async def test_the_websockets_library_talks_to_it(streamer: Streamer) -> None:
    port = await streamer.start()
    async with websockets.connect(f"ws://127.0.0.1:{port}/websocket") as client:
        assert await client.recv() == '{"server_id":"0"}'
        await client.send(CONNECT.decode() + "\n")
        await client.recv()
        await client.send([CALL.decode()[:20], CALL.decode()[20:40], CALL.decode()[40:]])
        assert await client.recv() == '{"msg":"result","id":"1","result":[1]}'
        await (await client.ping("x"))
        await client.recv()
        await client.send('{"msg":"foo"}')
        assert json.loads(await client.recv())["reason"] == "Bad request"
    assert client.protocol.close_code == 1000
    await eventually(lambda: streamer.sessions[0].ended == [(1000, "")])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("garbage", 1007),
        (b"binary", 1007),
        ("x" * (1024 * 1024 + 1), 1009),
        ('{"msg":"method","method":"x"}', 1002),
        ('{"msg":"sub","id":"1"}', 1002),
    ],
)
async def test_the_websockets_library_sees_the_close_codes(
    streamer: Streamer, message: str | bytes, code: int
) -> None:
    port = await streamer.start()
    async with websockets.connect(f"ws://127.0.0.1:{port}/websocket") as client:
        await client.recv()
        await client.send(CONNECT.decode())
        await client.recv()
        await client.send(message)
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    await eventually(lambda: streamer.sessions[0].ended)


async def _answers(case: Case, port: int) -> None:
    client = await RawClient.greeted(port)
    client.writer.write(case.data)
    if "close" in case.expected:
        assert await client.close_code() == case.expected["close"]
    else:
        answer = json.loads(await client.text())
        if "reply" in case.expected:
            assert answer == json.loads(case.expected["reply"])
        elif "refused" in case.expected:
            assert answer["error"]["reason"] == case.expected["refused"]
        else:
            assert "result" in answer
    await client.end()


async def test_bad_input_harms_no_neighbour_and_leaves_no_memory(streamer: Streamer) -> None:
    port = await streamer.start()
    neighbour = await RawClient.greeted(port)

    async def once() -> None:
        for case in cases():
            await _answers(case, port)
            neighbour.send(b'{"msg":"ping"}')
            assert await neighbour.text() == b'{"msg":"pong"}'
            del streamer.sessions[1:]
        await eventually(lambda: len(streamer.listener.connections) == 1)
        gc.collect()

    await once()
    await once()
    before = resident()
    for _ in range(3):
        await once()
    # Keeping what only the oversized cases sent would be far more.
    assert resident() - before < 4 << 20
    await neighbour.end()


# --- slow clients and endings -------------------------------------------------------------------


async def test_a_client_that_stops_reading_is_closed_and_its_memory_returns(
    streamer: Streamer,
) -> None:
    port = await streamer.start(stall_timeout=60.0)
    healthy = await RawClient.greeted(port)
    slow = await RawClient.dial(port, receive_buffer=4096)
    slow.writer.write(handshake() + client_frame(TEXT, CONNECT))
    await slow.head()
    await eventually(lambda: len(streamer.sessions) == 2 and streamer.sessions[1].got)
    connections = [session.connection for session in streamer.sessions]
    gc.collect()
    before = resident()
    number = 0
    while not connections[1].closed:
        args = b'["%08d%s"]' % (number, b"x" * 2_000)
        frame = SharedFrame(stream_frame("room-messages", "GENERAL", args))
        for connection in connections:
            connection.send_shared(frame)
        assert await healthy.text() == frame.message
        assert connections[1].backlog <= 4 * 1024 * 1024
        number += 1
        assert number < 20_000
    await eventually(lambda: streamer.sessions[1].ended == [(1013, "SLOW_CONSUMER")])
    assert not connections[0].closed
    assert len(streamer.listener.connections) == 1
    gc.collect()
    assert resident() - before < 3 << 20
    await slow.end()
    await healthy.end()


async def test_a_slow_client_that_reads_again_gets_every_frame_in_order(
    streamer: Streamer,
) -> None:
    port = await streamer.start()
    slow = await RawClient.dial(port, receive_buffer=4096)
    slow.writer.write(handshake() + client_frame(TEXT, CONNECT))
    await slow.head()
    await eventually(lambda: streamer.sessions and streamer.sessions[0].got)
    connection = streamer.sessions[0].connection
    sent: list[bytes] = []
    while connection.backlog < 2 * 1024 * 1024:
        args = b'["%08d%s"]' % (len(sent), b"x" * 5_000)
        frame = SharedFrame(stream_frame("room-messages", "GENERAL", args))
        assert connection.send_shared(frame)
        sent.append(frame.message)
        if not len(sent) % 10:
            await asyncio.sleep(0)
    await slow.text()
    await slow.text()
    for message in sent:
        assert await slow.text() == message
    assert connection.backlog == 0
    await slow.end()


async def test_a_close_reaches_the_client_behind_what_was_queued(streamer: Streamer) -> None:
    port = await streamer.start()
    client = await RawClient.greeted(port)
    connection = streamer.sessions[0].connection
    for number in range(100):
        connection.send(b'{"msg":"ready","subs":["%d"]}' % number)
    connection.close(1012, "SERVICE_RESTART")
    for number in range(100):
        assert await client.text() == b'{"msg":"ready","subs":["%d"]}' % number
    assert await client.frame() == (CLOSE, b"\x03\xf4SERVICE_RESTART")
    client.writer.write(client_frame(CLOSE, b"\x03\xf4"))
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""
    await client.end()
    await eventually(lambda: streamer.sessions[0].ended == [(1012, "SERVICE_RESTART")])


async def test_leaving_closes_everybody_with_1001(streamer: Streamer) -> None:
    port = await streamer.start()
    polite = await RawClient.greeted(port)
    deaf = await RawClient.greeted(port)
    stopping = asyncio.create_task(streamer.stop())
    assert await polite.close_code() == 1001
    await stopping
    assert [session.ended for session in streamer.sessions] == [[(1001, "GOING_AWAY")]] * 2
    assert streamer.metrics.disconnects.labels("drain")._value.get() == 2
    with pytest.raises(ConnectionRefusedError):
        await RawClient.dial(port)
    await polite.end()
    await deaf.end()


async def test_stop_accepting_leaves_connections_alone(streamer: Streamer) -> None:
    port = await streamer.start()
    client = await RawClient.greeted(port)
    streamer.listener.stop_accepting()
    client.send(CALL)
    assert await client.text() == b'{"msg":"result","id":"1","result":[1]}'
    await client.end()


async def test_who_is_at_the_door_when_it_closes_still_gets_in(streamer: Streamer) -> None:
    """Some clients give up for good after one refused attempt; 1012 brings them back."""
    port = await streamer.start()
    early, late = await RawClient.dial(port), await RawClient.dial(port)
    await eventually(lambda: len(streamer.listener._http.connections) == 2)
    streamer.listener.stop_accepting()
    early.writer.write(handshake())
    assert (await early.head()).startswith("HTTP/1.1 101 ")
    streamer.listener.refuse()
    late.writer.write(handshake())
    assert (await late.head()).startswith("HTTP/1.1 503 ")
    with pytest.raises(ConnectionRefusedError):
        await RawClient.dial(port)
    await early.end()
    await late.end()


async def test_cutting_waits_for_nobody(streamer: Streamer) -> None:
    port = await streamer.start()
    deaf = await RawClient.greeted(port)
    streamer.sessions[0].connection.close(1012, "SERVICE_RESTART")
    streamer.listener.cut()
    await eventually(lambda: streamer.sessions[0].ended == [(1012, "SERVICE_RESTART")])
    await deaf.end()


async def test_a_session_that_cannot_be_opened_costs_only_its_socket(streamer: Streamer) -> None:
    working = streamer.session

    def broken(connection: Connection) -> FakeSession:
        raise RuntimeError("a defect")

    streamer.session = broken  # type: ignore[method-assign]
    port = await streamer.start()
    client = await RawClient.open(port)
    async with asyncio.timeout(5):
        rest = await client.reader.read()
    assert rest in {b"", b'\x81\x11{"server_id":"0"}'}
    await client.end()
    assert len(streamer.listener.connections) == 0
    streamer.listener._open_session = working
    client = await RawClient.greeted(port)
    await client.end()


async def test_numbers_are_moved_to_the_meters(streamer: Streamer) -> None:
    port = await streamer.start()
    client = await RawClient.greeted(port)
    client.send(CALL)
    await client.text()
    await client.text()
    streamer.sessions[0].connection.send_shared(SharedFrame(b'{"msg":"changed"}'))
    assert await client.text() == b'{"msg":"changed"}'
    await client.end()
    await eventually(lambda: streamer.sessions[0].ended)
    await streamer.stop()
    metrics = streamer.metrics

    def count(direction: str, kind: str) -> float:
        return float(metrics.messages.labels(direction, kind)._value.get())

    assert count("in", "method") == 1
    assert count("out", "result") == 1
    assert count("out", "changed") == 1
    assert metrics.deliveries._value.get() == 1
    assert reading(metrics.bytes.labels("in", "method")) == len(CALL)
    assert reading(metrics.bytes.labels("in", "other")) > len(CALL)  # frames and the connect
    assert reading(metrics.bytes.labels("out", "result")) > 10
    assert reading(metrics.bytes.labels("out", "changed")) == len(b'{"msg":"changed"}') + 2
    assert metrics.handshakes.labels("ok")._value.get() == 1
    assert metrics.disconnects.labels("client")._value.get() == 1
    assert reading(metrics.connections) == 0
    assert Connect("1", ("1",), None) in streamer.sessions[0].got
    assert Method("1", "echo", [1]) in streamer.sessions[0].got


def resident() -> int:
    """Bytes of memory this process has in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
