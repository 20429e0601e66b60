"""A WebSocket client of a few lines, which can do what libraries refuse to do."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from hubbub.ddp.websocket import CLOSE, PONG, TEXT
from tests.unit.ddp.client_frames import client_frame

CONNECT = b'{"msg":"connect","version":"1","support":["1"]}'
WITHIN = 5.0  # seconds that any answer may take


class RawClient:
    """One socket; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, port: int, *, receive_buffer: int | None = None) -> RawClient:
        """Connect the socket; nothing is sent."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        limit = 65536 if receive_buffer is None else receive_buffer
        reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
        return cls(reader, writer)

    @classmethod
    async def open(cls, port: int, path: str = "/websocket", *, behind: bytes = b"") -> RawClient:
        """Connect and upgrade; `behind` travels in the same segment as the handshake."""
        client = await cls.dial(port)
        client.writer.write(handshake(path) + behind)
        assert (await client.head()).startswith("HTTP/1.1 101 ")
        return client

    @classmethod
    async def greeted(cls, port: int, path: str = "/websocket") -> RawClient:
        """A client whose `connect` was accepted."""
        client = await cls.open(port, path)
        assert await client.text() == b'{"server_id":"0"}'
        client.send(CONNECT)
        assert (await client.text()).startswith(b'{"msg":"connected"')
        return client

    async def head(self) -> str:
        """The head of an HTTP answer."""
        async with asyncio.timeout(WITHIN):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    def send(self, text: bytes) -> None:
        """Send one text frame."""
        self.writer.write(client_frame(TEXT, text))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server."""
        async with asyncio.timeout(WITHIN):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(length)

    async def text(self) -> bytes:
        """The next frame, which has to be text."""
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return payload

    async def close_code(self) -> int:
        """Skip to the close frame; its code. The server must end the socket behind it."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                self.writer.write(client_frame(CLOSE, payload[:2]))
                async with asyncio.timeout(WITHIN):
                    with suppress(ConnectionResetError):  # bytes of ours were still unread there
                        assert await self.reader.read() == b""
                return int.from_bytes(payload[:2], "big")
            assert opcode in {TEXT, PONG}

    async def end(self) -> None:
        """Close the socket."""
        self.writer.close()
        with suppress(ConnectionResetError, BrokenPipeError):  # the other side was faster
            await self.writer.wait_closed()


def handshake(path: str = "/websocket", **headers: str) -> bytes:
    """An upgrade request. Header names are given with underscores; an empty value removes one."""
    wanted = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for name, value in headers.items():
        wanted[name.replace("_", "-")] = value
    lines = [f"{name}: {value}" for name, value in wanted.items() if value]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()
