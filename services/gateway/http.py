"""An HTTP server for the open internet, on aiohttp's.

aiohttp waits for ever for the rest of a header; here a connection has a fixed time for it, and
only so many connections may be waiting. Requests that are not HTTP get a JSON answer, because
clients parse every answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MAX_LINE = 32_768  # bytes of the request line: the query and a path
MAX_FIELD = 16_384  # bytes of one header
MAX_HEADERS = 100  # headers

_LATE = b'{"success":false,"error":"Request headers took too long [request-timeout]"}'
_FULL = b'{"success":false,"error":"Service Unavailable"}'
_BAD = b'{"success":false,"error":"Bad request [invalid-request]","errorType":"invalid-request"}'
_TOO_LONG = (
    b'{"success":false,"error":"Request headers are too large [headers-too-large]",'
    b'"errorType":"headers-too-large"}'
)


class HttpServer(web.Server):
    """Makes a `_Connection` per socket and knows how many are still without headers."""

    def __init__(
        self,
        handler: Handler,
        *,
        header_timeout: float,
        max_half_open: int,
        keepalive_timeout: float,
        on_bad_input: Callable[[str], None] = lambda kind: None,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.header_timeout = header_timeout
        self.max_half_open = max_half_open
        self.half_open = 0
        self.on_bad_input = on_bad_input
        self._keepalive_timeout = keepalive_timeout

    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._keepalive_timeout,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            lingering_time=2.0,
            access_log=None,
        )


class _Connection(RequestHandler):
    """One socket, with a deadline for the headers of each of its requests."""

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._server.half_open >= self._server.max_half_open:
            self._server.on_bad_input("too_many_half_open")
            self._refuse(b"503 Service Unavailable", _FULL, b"Retry-After: 1\r\n")
            return
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._headers_complete()
        elif data and self._waiter is not None:
            # It waits for a request, so this is the beginning of one. At other times it is part
            # of a body: of a request that is about to be handled, is handled, or was refused.
            self._expect_headers()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._headers_complete()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP. Nothing of the input is repeated in it."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        too_long = isinstance(exc, LineTooLong) or "Too many" in (exc.message or "")
        self._server.on_bad_input("headers_too_large" if too_long else "not_http")
        answer = web.Response(
            status=431 if too_long else 400,
            body=_TOO_LONG if too_long else _BAD,
            headers={
                "Content-Type": "application/json",
                "X-Content-Type-Options": "nosniff",
                "Server": "Hubbub",
            },
        )
        answer.force_close()
        return answer

    def _expect_headers(self) -> None:
        if self._deadline is None:
            self._server.half_open += 1
            self._deadline = asyncio.get_running_loop().call_later(
                self._server.header_timeout, self._late
            )

    def _headers_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._server.half_open -= 1

    def _late(self) -> None:
        self._server.on_bad_input("slow_headers")
        self._refuse(b"408 Request Timeout", _LATE)

    def _refuse(self, status: bytes, body: bytes, headers: bytes = b"") -> None:
        """Answer without a request and close."""
        if self.transport is not None:
            self.transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)
            )
        self.force_close()
