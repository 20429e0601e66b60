"""The door's HTTP server: as large heads as the gateway takes, and JSON for what is no HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

MAX_LINE = 32_768  # bytes of the request line
MAX_FIELD = 16_384  # bytes of one header
MAX_HEADERS = 100  # headers


class PlainServer(web.Server):
    """Makes the protocol of each connection."""

    def __call__(self) -> RequestHandler:
        options: dict[str, Any] = {"access_log": None}
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            **options,
        )


class _Connection(RequestHandler):
    """Refuses what is no HTTP without repeating it, and without a word in the log."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that the parser or the handler failed on."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        too_long = isinstance(exc, LineTooLong) or "Too many" in (exc.message or "")
        answer = (
            refusal(431, "Request headers are too large [headers-too-large]")
            if too_long
            else refusal(400, "Bad request [invalid-request]")
        )
        answer.force_close()
        return answer


def refusal(status: int, reason: str, **headers: Any) -> web.Response:
    """An answer of the door itself. Clients parse every answer, so it is JSON."""
    return web.json_response(
        {"success": False, "error": reason},
        status=status,
        headers={name.replace("_", "-"): str(value) for name, value in headers.items()},
    )
