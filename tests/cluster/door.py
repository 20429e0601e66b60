"""One address in front of the two Services, for clients that know only one.

It chooses by the path of a connection's first request and passes bytes, as an Ingress does; it
keeps clients waiting while nobody is there. Some of them give up when they are refused once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from hubbub.local.door.backends import role_of
from tests.cluster.load import Doors

_HEAD_WITHIN = 15.0  # seconds
_CONNECTED_WITHIN = 30.0  # seconds
_ATTEMPT = 1.0  # seconds; the address of a pod that is gone does not answer at all
_PAUSE = 0.1  # seconds


@asynccontextmanager
async def front_door(doors: Doors) -> AsyncIterator[str]:
    """Its address, as long as the context lasts."""
    open_ones: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            await _pass(reader, writer, doors)
        finally:
            open_ones.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(open_ones):
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_HEAD_WITHIN):
            head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
        behind = urlsplit(doors.streamer if role_of(target) == "streamer" else doors.gateway)
        other_reader, other_writer = await _connected(behind.hostname, behind.port)
        try:
            other_writer.write(head)
            async with asyncio.TaskGroup() as tasks:
                there = tasks.create_task(_copy(reader, other_writer))
                back = tasks.create_task(_copy(other_reader, writer))
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                there.cancel()
                back.cancel()
        finally:
            other_writer.close()


async def _connected(
    host: str | None, port: int | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As soon as somebody is there. Raises: TimeoutError: nobody is."""
    async with asyncio.timeout(_CONNECTED_WITHIN):
        while True:
            try:
                async with asyncio.timeout(_ATTEMPT):
                    return await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                await asyncio.sleep(_PAUSE)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
