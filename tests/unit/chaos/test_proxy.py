"""The proxy of the drill does what it is told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from hubbub.local.programs import free_port
from tests.chaos.nats_frames import Splitter
from tests.chaos.proxy import HOST, Link, Loss, Weather
from tests.waiting import eventually

WITHIN = 20.0  # seconds


@asynccontextmanager
async def echoing(link: Link) -> AsyncIterator[None]:
    """The link, and a server behind it that says everything again."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with (
        await asyncio.start_server(echo, HOST, link.target),
        await asyncio.start_server(link.accept, HOST, link.port),
    ):
        yield
        await eventually(lambda: not link.pairs, within=WITHIN, what="the link is empty")


@asynccontextmanager
async def connected(
    link: Link,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
def link() -> Link:
    return Link("a", free_port(), free_port())


async def heard(reader: asyncio.StreamReader, length: int) -> bytes:
    async with asyncio.timeout(WITHIN):
        return await reader.readexactly(length)


async def test_what_is_said_arrives(link: Link) -> None:
    async with echoing(link), connected(link) as (reader, writer):
        writer.write(b"hello")
        assert await heard(reader, 5) == b"hello"


async def test_a_held_direction_arrives_when_it_is_let_go(link: Link) -> None:
    async with echoing(link), connected(link) as (reader, writer):
        writer.write(b"before")
        await heard(reader, 6)
        link.set("", Weather(held=frozenset({"down"})))
        writer.write(b"after")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(5)
        link.set("", Weather())
        assert await heard(reader, 5) == b"after"


async def test_only_who_greets_so_is_treated_so(link: Link) -> None:
    link.set("hub", Weather(held=frozenset({"up"})))
    async with (
        echoing(link),
        connected(link) as (held, to_held),
        connected(link) as (free, to_free),
    ):
        to_held.write(b"I am a hub")
        to_free.write(b"I am nobody")
        assert await heard(free, 11) == b"I am nobody"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await held.read(1)
        link.set("hub", Weather())  # a connection that is held does not even see its end


async def test_dropped_connections_end(link: Link) -> None:
    async with echoing(link), connected(link) as (reader, writer):
        writer.write(b"x")
        await heard(reader, 1)
        (pair,) = link.pairs
        pair.abort()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await heard(reader, 1)


async def test_who_is_refused_is_told_so_at_once(link: Link) -> None:
    link.set("", Weather(refused=True))
    async with echoing(link), connected(link) as (reader, _):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await heard(reader, 1)


async def test_nobody_behind_the_link_is_as_if_nobody_were_there(link: Link) -> None:
    server = await asyncio.start_server(link.accept, HOST, link.port)
    async with server, connected(link) as (reader, _):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await heard(reader, 1)


async def test_one_message_of_nats_is_lost_and_the_next_arrives(link: Link) -> None:
    link.nats = True
    link.losses.append(Loss([b"live.room", b"second"], 1))
    said = [
        b"MSG live.room.a 1 5\r\nfirst\r\n",
        b"HMSG live.room.a 1 12 18\r\nNATS/1.0\r\n\r\nsecond\r\n",
        b"PING\r\n",
        b"MSG live.room.a 1 6\r\nsecond\r\n",
    ]
    async with echoing(link), connected(link) as (reader, writer):
        writer.write(b"".join(said))
        wanted = said[0] + said[2] + said[3]
        assert await heard(reader, len(wanted)) == wanted
    assert link.lost == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_whole_however_they_arrive(size: int) -> None:
    said = [
        b'INFO {"server_id":"x"}\r\n',
        b"+OK\r\n",
        b"MSG a.b 12 reply 4\r\n\r\n\r\n\r\n",
        b"HMSG a.b 1 12 14\r\nNATS/1.0\r\n\r\nok\r\n",
        b"MSG a 1 0\r\n\r\n",
        b"PONG\r\n",
    ]
    whole, splitter = b"".join(said), Splitter()
    found = [
        message
        for start in range(0, len(whole), size)
        for message in splitter.feed(whole[start : start + size])
    ]
    assert found == said
