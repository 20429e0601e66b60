"""The front door passes what it gets, to whoever is there, and waits for who is not yet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from hubbub.local.door import proxy, upgrade
from hubbub.local.door.backends import Backend
from hubbub.local.door.metrics import DoorMetrics
from hubbub.local.door.service import Door
from tests.waiting import eventually

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
REQUEST = b"GET /websocket HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"


class Entrance:
    """A door in this process, and the address of its front."""

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        self.registry = registry
        self.door = Door(DoorMetrics(registry))
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def streamers(self, *ports: int) -> None:
        """Say which streamers there are."""
        self.door.backends["streamer"].replace(
            [Backend(f"s{port}", "127.0.0.1", port) for port in ports]
        )

    def gateways(self, *ports: int) -> None:
        """Say which gateways there are."""
        self.door.backends["gateway"].replace(
            [Backend(f"g{port}", "127.0.0.1", port) for port in ports]
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def entrance() -> AsyncIterator[Entrance]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    entrance = Entrance(CollectorRegistry(), listening.getsockname()[1])
    stopping = asyncio.Event()
    serving = asyncio.create_task(entrance.door.serve(listening, stopping))
    await eventually(lambda: _listens(entrance.port))
    yield entrance
    stopping.set()
    serving.cancel()
    await asyncio.wait({serving})


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def streamer(talk: Talk) -> AsyncIterator[int]:
    """A raw backend that speaks as `talk` says; yields its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def gateway(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[int]:
    """An HTTP backend; yields its port."""
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, max_line_size=65536)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts the upgrade and sends back what comes."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(SWITCHED)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def dropping(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Takes the connection and closes it, as a process that dies does."""


async def test_an_upgrade_reaches_the_streamer_as_it_was(entrance: Entrance) -> None:
    """Byte for byte, with the client's address added, and what came with it behind it."""
    seen: asyncio.Queue[bytes] = asyncio.Queue(1)

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.put(await reader.readuntil(b"EARLY"))
        writer.write(SWITCHED)

    async with streamer(noting) as port:
        entrance.streamers(port)
        _, writer = await entrance.connect()
        writer.write(REQUEST + b"EARLY")
        async with asyncio.timeout(5):
            arrived = await seen.get()
        writer.close()

    assert arrived == REQUEST[:-2] + b"X-Forwarded-For: 127.0.0.1\r\n\r\nEARLY"


async def test_who_comes_at_the_same_time_is_spread(entrance: Entrance) -> None:
    """A handshake counts from its beginning, not only when the streamer has answered it."""
    asked: list[int] = []
    go_on = asyncio.Event()

    def slow(number: int) -> Talk:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.append(number)
            await go_on.wait()
            writer.write(SWITCHED)

        return handle

    async with streamer(slow(1)) as one, streamer(slow(2)) as other, asyncio.timeout(5):
        entrance.streamers(one, other)
        clients = [await entrance.connect() for _ in range(4)]
        for _, writer in clients:
            writer.write(REQUEST)
        await eventually(lambda: len(asked) == 4)
        go_on.set()
        for reader, writer in clients:
            assert await reader.readexactly(len(SWITCHED)) == SWITCHED
            writer.close()

    assert sorted(asked) == [1, 1, 2, 2]


async def test_bytes_pass_both_ways(entrance: Entrance) -> None:
    """After the handshake the door adds and removes nothing."""
    payload = bytes(range(256)) * 4096
    async with streamer(echoing) as port, asyncio.timeout(10):
        entrance.streamers(port)
        reader, writer = await entrance.connect()
        writer.write(REQUEST)
        assert await reader.readexactly(len(SWITCHED)) == SWITCHED
        writer.write(payload)
        assert await reader.readexactly(len(payload)) == payload
        writer.close()


async def test_the_end_of_one_side_ends_the_other(entrance: Entrance) -> None:
    """A client that leaves is gone for the streamer too, and counted no more."""
    gone = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED)
        await reader.read()
        gone.set()

    async with streamer(waiting) as port, asyncio.timeout(10):
        entrance.streamers(port)
        reader, writer = await entrance.connect()
        writer.write(REQUEST)
        await reader.readexactly(len(SWITCHED))
        assert _spliced(entrance) == 1
        writer.close()
        await gone.wait()
        await eventually(lambda: _spliced(entrance) == 0)


async def test_what_the_streamer_sent_last_arrives(entrance: Entrance) -> None:
    """Closing behind the last byte does not lose it."""
    last = b"z" * 3_000_000

    async def ending(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED + last)
        await writer.drain()

    async with streamer(ending) as port, asyncio.timeout(10):
        entrance.streamers(port)
        reader, writer = await entrance.connect()
        writer.write(REQUEST)
        assert await reader.read(-1) == SWITCHED + last
        writer.close()


async def test_a_client_that_does_not_read_slows_its_streamer(entrance: Entrance) -> None:
    """Backpressure reaches the sender: the door does not become a buffer."""
    sent = 0

    async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with streamer(flooding) as port:
        entrance.streamers(port)
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", entrance.port))
            await loop.sock_sendall(client, REQUEST)
            await eventually(lambda: sent > 0)
            before = -1
            while sent != before:  # until the kernel's buffers are full
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 64 * 1024 * 1024
            assert _spliced(entrance) == 1


@pytest.mark.parametrize("broken", ["refusing", "dropping"])
async def test_another_streamer_is_asked(entrance: Entrance, broken: str) -> None:
    """A streamer that refuses, or dies before its first byte, costs no client."""
    async with streamer(echoing) as good, streamer(dropping) as dead, asyncio.timeout(5):
        entrance.streamers(dead if broken == "dropping" else _closed_port(), good)
        for _ in range(4):
            reader, writer = await entrance.connect()
            writer.write(REQUEST)
            assert await reader.readexactly(len(SWITCHED)) == SWITCHED
            writer.close()


async def test_a_handshake_waits_for_a_streamer(entrance: Entrance) -> None:
    """Clients that give up after one refusal are kept until a streamer is there."""
    reader, writer = await entrance.connect()
    writer.write(REQUEST)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.read(1)
    async with streamer(echoing) as port, asyncio.timeout(5):
        entrance.streamers(port)
        assert await reader.readexactly(len(SWITCHED)) == SWITCHED
        writer.close()


async def test_nobody_waits_for_ever(entrance: Entrance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any streamer the handshake is refused in the end, with 503."""
    monkeypatch.setattr(upgrade, "PATIENCE", 0.2)
    reader, writer = await entrance.connect()
    writer.write(REQUEST)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: " in answer
    assert answer.endswith(b'{"success":false,"error":"Service Unavailable"}')
    assert entrance.registry.get_sample_value("hubbub_door_refusals_total") == 1


async def test_an_upgrade_may_follow_plain_requests(entrance: Entrance) -> None:
    """A client may ask for something on the connection that becomes its WebSocket."""

    async def info(_: web.Request) -> web.Response:
        return web.Response(text="info")

    async with streamer(echoing) as sockets, gateway(info) as plain, asyncio.timeout(5):
        entrance.streamers(sockets)
        entrance.gateways(plain)
        reader, writer = await entrance.connect()
        for body in (b"", b"hello"):
            writer.write(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await reader.readuntil(b"info")
        writer.write(REQUEST)
        assert await reader.readexactly(len(SWITCHED)) == SWITCHED
        writer.write(b"more")
        assert await reader.readexactly(4) == b"more"
        writer.close()


async def test_plain_requests_pass(entrance: Entrance) -> None:
    """Method, path, query, headers and bodies arrive; hop-by-hop headers stay behind."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(
            status=418,
            body=await request.read(),
            headers={
                "X-Seen": f"{request.method} {request.raw_path}",
                "X-For": request.headers["X-Forwarded-For"],
                "X-Te": str("TE" in request.headers),
                "X-Host": request.host,
            },
        )

    body = bytes(range(256)) * 4096
    async with gateway(echo) as port, aiohttp.ClientSession() as session:
        entrance.gateways(port)
        async with session.put(
            f"{entrance.url}/a%2Fb?q=%20",
            data=body,
            headers={"X-Forwarded-For": "1.1.1.1", "TE": "trailers", "Host": "chat.example.com"},
        ) as answer:
            assert answer.status == 418
            assert answer.headers["X-Seen"].startswith("PUT /a")
            assert answer.headers["X-For"] == "1.1.1.1, 127.0.0.1"
            assert answer.headers["X-Te"] == "False"
            assert answer.headers["X-Host"] == "chat.example.com"
            assert await answer.read() == body


async def test_an_answer_is_streamed(entrance: Entrance) -> None:
    """A piece of an answer is passed on before the next one exists."""
    proceed = asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await proceed.wait()
        await response.write(b"second")
        return response

    async with gateway(slowly) as port, aiohttp.ClientSession() as session, asyncio.timeout(5):
        entrance.gateways(port)
        async with session.get(f"{entrance.url}/x") as answer:
            assert await answer.content.readany() == b"first"
            proceed.set()
            assert await answer.content.read() == b"second"


async def test_a_body_is_streamed(entrance: Entrance) -> None:
    """A piece of a body is passed on before the next one exists."""
    proceed = asyncio.Event()
    seen: list[bytes] = []

    async def taking(request: web.Request) -> web.Response:
        seen.append(await request.content.readany())
        proceed.set()
        seen.append(await request.content.read())
        return web.Response(text="taken")

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first"
        await proceed.wait()
        yield b"second"

    async with gateway(taking) as port, aiohttp.ClientSession() as session, asyncio.timeout(5):
        entrance.gateways(port)
        async with session.post(f"{entrance.url}/x", data=slowly()) as answer:
            assert await answer.text() == "taken"
    assert seen == [b"first", b"second"]


async def test_a_client_that_waits_to_be_asked_is_asked(entrance: Entrance) -> None:
    """Large bodies are often announced first."""

    async def taking(request: web.Request) -> web.Response:
        assert "Expect" not in request.headers
        return web.Response(body=await request.read())

    async with gateway(taking) as port, aiohttp.ClientSession() as session, asyncio.timeout(5):
        entrance.gateways(port)
        async with session.post(f"{entrance.url}/x", data=b"body", expect100=True) as answer:
            assert await answer.read() == b"body"


async def test_parts_pass(entrance: Entrance) -> None:
    """What is asked of a file and what is said of it arrives; so does an answer without a body."""
    size = 1_000_000

    async def file(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(size)})
        if "If-None-Match" in request.headers:
            return web.Response(status=304, headers={"ETag": '"x"'})
        assert request.headers["Range"] == "bytes=5-7"
        headers = {"Content-Range": f"bytes 5-7/{size}", "Accept-Ranges": "bytes"}
        return web.Response(status=206, body=b"abc", headers=headers)

    async with gateway(file) as port, aiohttp.ClientSession() as session, asyncio.timeout(5):
        entrance.gateways(port)
        for _ in range(2):
            async with session.get(entrance.url, headers={"Range": "bytes=5-7"}) as part:
                assert (part.status, await part.read()) == (206, b"abc")
                assert part.headers["Content-Range"] == f"bytes 5-7/{size}"
            async with session.head(entrance.url) as head:
                assert (head.status, head.headers["Content-Length"]) == (200, str(size))
            async with session.get(entrance.url, headers={"If-None-Match": '"x"'}) as copy:
                assert (copy.status, copy.headers["ETag"]) == (304, '"x"')


async def test_a_gateway_that_breaks_off_is_a_bad_gateway(entrance: Entrance) -> None:
    """A request that may have been worked on is not sent twice; the client is told."""
    async with streamer(dropping) as port, aiohttp.ClientSession() as session:
        entrance.gateways(port)
        async with session.post(f"{entrance.url}/x", data=b"once") as answer:
            assert answer.status == 502
            assert (await answer.json())["success"] is False


async def test_garbage_is_refused(entrance: Entrance) -> None:
    """What is no HTTP gets 400 and a closed connection."""
    reader, writer = await entrance.connect()
    writer.write(b"\x16\x03\x01 what\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()

    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))


def _spliced(entrance: Entrance) -> float | None:
    return entrance.registry.get_sample_value("hubbub_door_spliced_connections")


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _status_and_body(entrance: Entrance, request: bytes) -> tuple[int, bytes]:
    reader, writer = await entrance.connect()
    writer.write(request)
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        pytest.param(b"GET http://elsewhere/path?q=1 HTTP/1.1", 200, id="absolute"),
        pytest.param(b"GET /path?q=1" + b"x" * 16_000 + b" HTTP/1.1", 200, id="long query"),
        pytest.param(b"CONNECT elsewhere:80 HTTP/1.1", 400, id="tunnel"),
        pytest.param(b"OPTIONS * HTTP/1.1", 400, id="no path"),
        pytest.param(b"GET /" + b"x" * 100_000 + b" HTTP/1.1", 431, id="too long"),
        pytest.param(b"GET /path HTTP/1.1\r\nrubbish", 400, id="no header"),
        pytest.param(b"GET /path HTTP/1.1\r\nContent-Length: x", 400, id="no length"),
    ],
)
async def test_odd_requests_get_an_answer_in_json(
    entrance: Entrance, caplog: pytest.LogCaptureFixture, request_line: bytes, status: int
) -> None:
    """Passed on where a gateway could make sense of them; else refused, and nobody is told."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"success": True, "path": request.path})

    async with gateway(answer) as port:
        entrance.gateways(port)
        found, body = await _status_and_body(entrance, request_line + b"\r\nHost: h\r\n\r\n")

    assert found == status
    assert orjson.loads(body)["success"] is (status == 200)
    assert b"xxx" not in body
    assert not caplog.records


async def test_a_body_that_does_not_come_is_not_waited_for(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client announced one, and then said nothing for too long."""
    monkeypatch.setattr(proxy, "BODY_SILENCE", 0.2)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async with gateway(answer) as port:
        entrance.gateways(port)
        status, body = await _status_and_body(
            entrance, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"
        )

    assert status == 408
    assert orjson.loads(body)["success"] is False
