"""Looks at each request as it comes in, and gives the connection to who can handle it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from hubbub.local.door.head import MAX_HEAD, Head, is_complete, parse

HEAD_TIMEOUT = 15.0  # seconds for a complete head, and for the first byte of a connection

Doormen: TypeAlias = "dict[RequestHandler, Doorman]"
"""Who stands before which HTTP server protocol, so that the end of a request can be told."""
TakeOver = Callable[[Head, bytes, asyncio.Transport], None]


class Doorman(asyncio.Protocol):
    """One connection of a client.

    Plain requests go to an ordinary HTTP server, all of them on this connection. An upgrade
    request, first or later, ends that: the transport is handed over with the head and
    whatever came behind it. To find a later one, the end of each request is watched; after a
    body of unknown length, or requests sent ahead, this is given up and all stays plain.
    """

    def __init__(self, server: web.Server, doormen: Doormen, take_over: TakeOver):
        self._server = server
        self._doormen = doormen
        self._take_over = take_over
        self._http: RequestHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()  # the beginning of a head that is not complete
        self._running = False  # the HTTP server works on a request
        self._body_left = 0  # bytes of that request still to come
        self._plain_for_good = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(HEAD_TIMEOUT, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._running and self._http is not None:
            self._expect(len(data))
            self._http.data_received(data)
            return
        self._held += data
        if not is_complete(self._held) and len(self._held) < MAX_HEAD:
            return
        held, self._held = bytes(self._held), bytearray()
        try:
            head, rest = parse(held)
        except ValueError:
            self._plain_for_good = True
            self._to_http(held)  # which knows how to refuse it
            return
        if head.is_upgrade:
            self._hand_over(head, rest)
            return
        length = head.value("content-length") or "0"
        self._plain_for_good |= not length.isdecimal() or bool(head.value("transfer-encoding"))
        self._body_left = int(length) if length.isdecimal() else 0
        self._expect(len(rest))
        self._to_http(held)

    def request_ended(self) -> None:
        """The HTTP server is done with one request."""
        self._running = self._plain_for_good or self._body_left > 0

    def _expect(self, received: int) -> None:
        self._body_left -= received
        self._plain_for_good |= self._body_left < 0

    def eof_received(self) -> bool | None:
        if self._http is None:
            return False
        self._http.eof_received()
        return None

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_waiting()
        self._transport = None
        http, self._http = self._http, None
        if http is not None:
            del self._doormen[http]
            http.connection_lost(error)

    def _to_http(self, held: bytes) -> None:
        self._stop_waiting()
        if self._http is None and self._transport is not None:
            self._http = self._server()
            self._doormen[self._http] = self
            self._http.connection_made(self._transport)
        if self._http is not None:
            self._running = True
            self._http.data_received(held)

    def _hand_over(self, head: Head, rest: bytes) -> None:
        self._stop_waiting()
        transport, self._transport = self._transport, None
        http, self._http = self._http, None
        if http is not None:
            del self._doormen[http]
            http.transport = None  # or it would close what it is about to lose
            http.connection_lost(None)
        if transport is not None:
            self._take_over(head, rest, transport)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
