"""Both load generators count every byte, and notice what is missing, late or wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.load import Generator, Step, Void, build
from benchmarks.machine import cpu_seconds, on_cores, rss_bytes
from benchmarks.publishing import FRAME_BYTES, expected, numbered, template
from hubbub.ddp.websocket import text_frame

PLAIN = [sys.executable, "-m", "benchmarks.load.plain"]
MARK = "bench-"
HELLO = Step(['{"msg":"connect"}'], '"msg":"connected"')


def event(text: str, stream: str = "room-messages") -> bytes:
    return f'{{"msg":"changed","collection":"stream-{stream}","text":"{text}"}}'.encode()


class Server:
    """Greets whoever says connect, and does what the test wants with all others."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.heard: list[bytes] = []
        self.on_message: Callable[[asyncio.StreamWriter, bytes], None] = lambda _w, _m: None
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        self.writers.append(writer)
        try:
            while True:
                await self._message(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(2)
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        assert await reader.readexactly(4) == bytes(4)
        message = await reader.readexactly(length)
        self.heard.append(message)
        if message == b'{"msg":"connect"}':
            writer.write(text_frame(b'{"msg":"connected"}'))
        self.on_message(writer, message)

    def tell(self, payload: bytes) -> None:
        """Send to everybody."""
        for writer in self.writers:
            writer.write(text_frame(payload))


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    made = Server()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            for writer in made.writers:
                writer.close()


@pytest.fixture(params=["plain", "compiled"])
async def load(request: pytest.FixtureRequest) -> AsyncIterator[Generator]:
    if request.param == "compiled":
        if shutil.which("go") is None:
            pytest.skip("no Go here")
        command = await asyncio.to_thread(build)
    else:
        command = PLAIN
    async with Generator(command=command) as generator:
        yield generator


async def test_it_counts_what_everybody_got_byte_for_byte(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 3, [HELLO])
        await load.reset(MARK)
        payloads = [event(f"{MARK}{number}") for number in range(5)]
        for payload in payloads:
            server.tell(payload)
        count = await load.wait(15, within=5)
        size = sum(map(len, payloads))
        assert count.frames == 15
        assert count.bytes == 3 * size
        assert dict(count.kinds) == {f"5:{size}:{zlib.crc32(b''.join(payloads)):08x}": 3}
        assert count.closed == count.errors == 0


async def test_a_client_that_got_something_else_shows(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 3, [HELLO])
        await load.reset(MARK)
        for number, writer in enumerate(server.writers):
            text = "first" if number else "other"
            writer.write(text_frame(event(f"{MARK}{text}")))
        count = await load.wait(3, within=5)
        assert sorted(count.kinds.values()) == [1, 2]


async def test_a_missing_frame_shows(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 2, [HELLO])
        await load.reset(MARK)
        server.writers[0].write(text_frame(event(f"{MARK}1")))
        count = await load.wait(2, within=0.3)
        assert count.frames == 1
        assert len(count.kinds) == 2


async def test_only_marked_messages_are_counted(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 1, [HELLO])
        await load.reset(MARK)
        server.tell(event("something else"))
        server.tell(event(f"{MARK}1", stream="notify-user"))
        server.tell(event(f"{MARK}1"))
        assert (await load.wait(1, within=5)).frames == 1


async def test_frames_in_pieces_and_large_ones_are_whole(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 1, [HELLO])
        await load.reset(MARK)
        payload = event(MARK + "x" * 70_000)
        frame = text_frame(payload)
        (writer,) = server.writers
        for start in range(0, len(frame), 9_999):
            writer.write(frame[start : start + 9_999])
            await writer.drain()
            await asyncio.sleep(0.002)
        count = await load.wait(1, within=5)
        assert dict(count.kinds) == {f"1:{len(payload)}:{zlib.crc32(payload):08x}": 1}


async def test_pings_are_answered(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 1, [HELLO])
        ponged = asyncio.Event()
        server.on_message = lambda _, message: ponged.set() if b"pong" in message else None
        server.tell(b'{"msg":"ping"}')
        async with asyncio.timeout(5):
            await ponged.wait()


async def test_each_connection_says_its_own_values(load: Generator) -> None:
    async with serving() as server:
        step = Step(['{"msg":"connect"}', '{"who":"{name}"}'], '"msg":"connected"')
        await load.open(server.address, 3, [step], names={"name": ["ann", "bob"]})
        await load.script([HELLO])
        said = sorted(message for message in server.heard if b"who" in message)
        assert said == [b'{"who":"ann"}', b'{"who":"ann"}', b'{"who":"bob"}']


async def test_a_refused_step_voids_the_run(load: Generator) -> None:
    async with serving() as server:
        server.on_message = lambda writer, _: writer.write(
            text_frame(b'{"msg":"nosub","error":{"error":"not-allowed"}}')
        )
        with pytest.raises(Void, match="not-allowed"):
            await load.open(server.address, 1, [Step(['{"msg":"sub"}'], '"msg":"ready"')])


async def test_a_server_that_hangs_up_voids_the_run(load: Generator) -> None:
    async with serving() as server:
        server.on_message = lambda writer, _: writer.close()
        with pytest.raises(Void, match="1 connections failed"):
            await load.open(server.address, 1, [Step(['{"msg":"sub"}'], '"msg":"ready"')])


async def test_a_server_that_does_not_answer_voids_the_run(load: Generator) -> None:
    async with serving() as server:
        with pytest.raises(Void):
            await load.open(
                server.address, 1, [Step(['{"msg":"sub"}'], '"msg":"ready"')], within=0.3
            )


async def test_messages_are_sent_on_time_and_timed(load: Generator) -> None:
    async with serving() as server:
        await load.open(server.address, 2, [HELLO])
        await load.reset(MARK)

        def echo(_: asyncio.StreamWriter, message: bytes) -> None:
            asyncio.get_running_loop().call_later(0.05, server.tell, event(message.decode()))

        server.on_message = echo
        began = time.monotonic()
        count = await load.talk(
            MARK + "{stamp}", senders=[0, 1], names={}, rate=50, count=10, frames=20, within=5
        )
        assert time.monotonic() - began >= 9 / 50
        assert count.frames == 20
        assert 50 <= count.latency_ms["p50"] < 1000
        assert count.sending_seconds >= 9 / 50


def test_the_measured_event_has_its_size_and_its_number() -> None:
    payload = template("EVERYBODY")
    assert len(payload) == FRAME_BYTES
    assert b'"bench-00000042"' in numbered(payload, 42)
    assert len(numbered(payload, 42)) == FRAME_BYTES
    joined = numbered(payload, 7) + numbered(payload, 8)
    assert expected(payload, 7, 2) == f"2:{2 * FRAME_BYTES}:{zlib.crc32(joined):08x}"


def test_the_cpu_time_of_a_process_grows_with_its_work() -> None:
    before, own = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - own < 0.1:
        pass
    spent = cpu_seconds(os.getpid()) - before
    assert 0.05 < spent < 5


def test_memory_is_in_bytes() -> None:
    assert 5 * 2**20 < rss_bytes(os.getpid()) < 2**40


def test_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0)
    with on_cores({min(before)}):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
