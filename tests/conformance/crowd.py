"""Thousands of sockets in one process: each sends its frames at once and waits for `ready`."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from urllib.parse import urlsplit

from hubbub.ddp.websocket import TEXT
from tests.unit.ddp.client_frames import client_frame

_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


_READY = b'{"msg":"ready"'


@dataclass(frozen=True)
class Account:
    """Who comes in."""

    user_id: str
    token: str


class Member(asyncio.Protocol):
    """One socket: connects, signs in, subscribes, all in one segment."""

    def __init__(self, url: str, account: Account, topics: list[tuple[str, str]]) -> None:
        parts = urlsplit(url)
        self._upgrade = _UPGRADE.format(path=parts.path, host=parts.netloc).encode()
        self._account = account
        self._topics = topics
        self._seen = b""
        self._last = b""
        self._ready = 0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When the last subscription was ready; an exception when it was refused or closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        frames = [
            {"msg": "connect", "version": "1", "support": ["1"]},
            {
                "msg": "method",
                "id": "login",
                "method": "login",
                "params": [{"resume": self._account.token}],
            },
            *(
                {"msg": "sub", "id": f"s{index}", "name": name, "params": [event, False]}
                for index, (name, event) in enumerate(self._topics)
            ),
        ]
        coded = b"".join(client_frame(TEXT, json.dumps(frame).encode()) for frame in frames)
        transport.write(self._upgrade + coded)

    def data_received(self, data: bytes) -> None:
        self._last = data[-200:]
        data = self._seen + data
        self._seen = data[1 - len(_READY) :]  # never a whole one, so each is counted once
        self._ready += data.count(_READY)
        if b'{"msg":"nosub"' in data or b'"error":' in data:
            self._fail(f"refused: {data[-300:]!r}")
        elif self._ready == len(self._topics) and not self.done.done():
            self.done.set_result(asyncio.get_running_loop().time())

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"closed: {exc}, behind {self._last!r}")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))

    def close(self) -> None:
        """Cut the socket."""
        if self._transport is not None:
            self._transport.abort()


async def storm(
    urls: list[str],
    accounts: list[Account],
    topics_of: list[list[tuple[str, str]]],
    *,
    within: float,
    patience: float,
) -> tuple[list[Member], list[float]]:
    """Open a socket per account over `within` seconds, in random order.

    Returns: the members, and for each the seconds from the beginning until it was served.
    Raises: ConnectionError: one was refused; TimeoutError: one was not served in `patience` s.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    members: list[Member] = []

    async def come(index: int, moment: float) -> float:
        await asyncio.sleep(max(0.0, began + moment - loop.time()))
        url = urls[index % len(urls)]
        parts = urlsplit(url)
        _, member = await loop.create_connection(
            lambda: Member(url, accounts[index], topics_of[index]),
            parts.hostname or "",
            parts.port or 80,
        )
        members.append(member)
        return await member.done - began

    moments = [random.uniform(0, within) for _ in accounts]
    try:
        async with asyncio.timeout(patience):
            served = await asyncio.gather(*(come(i, moment) for i, moment in enumerate(moments)))
    except BaseException:
        for member in members:
            member.close()
        raise
    return members, served
