"""What arrives on the socket: path, query, body and address of one HTTP request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError


class BadTransport(Exception):
    """The request cannot be read to its end."""

    def __init__(self, status: int, reason: str, code: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """A request target, split."""

    path: str
    """Decoded once; `%2F` in it is a slash now."""
    raw_query: str


def target_of(request: web.BaseRequest) -> Target:
    """The path and query as the client wrote them.

    The server's own parsed URL is not used: it normalizes escapes and would lose what some
    clients send.

    Raises: BadTransport: the path is not UTF-8 or holds a NUL.
    """
    target = request.raw_path
    if target.startswith(("http://", "https://")):  # a client that takes us for a proxy
        target = "/" + target.split("//", 1)[1].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    try:
        decoded = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise BadTransport(400, "Bad request", "invalid-request") from None
    if "\x00" in decoded:
        raise BadTransport(400, "Bad request", "invalid-request")
    return Target(decoded, query)


async def read_body(
    request: web.BaseRequest, *, limit: int, grace: float, min_rate: float
) -> bytes:
    """The whole body.

    Args:
        limit: bytes.
        grace: seconds it may take whatever its size.
        min_rate: bytes per second that prolong the time.

    Raises:
        BadTransport: 413 larger than `limit`; 408 slower than allowed; 400 cut off or not coded
            as its headers say.
    """
    if (request.content_length or 0) > limit:
        raise _too_large()
    loop = asyncio.get_running_loop()
    began = loop.time()
    body = bytearray()
    try:
        while len(body) <= limit:
            async with asyncio.timeout_at(began + grace + len(body) / min_rate):
                chunk = await request.content.readany()
            if not chunk:
                return bytes(body)
            body += chunk
    except TimeoutError:
        raise BadTransport(408, "Request body took too long", "request-timeout") from None
    except (RequestPayloadError, ClientPayloadError, HttpProcessingError):
        raise BadTransport(400, "Bad request", "invalid-request") from None
    raise _too_large()


def _too_large() -> BadTransport:
    return BadTransport(413, "Request body is too large", "error-request-too-large")


def address_of(request: web.BaseRequest, forwarded_count: int) -> str:
    """The client's address, or empty when it is unknown.

    With `forwarded_count` proxies in front it is that entry of `X-Forwarded-For`, counted from
    the end: what stands before it is the client's own claim.
    """
    if forwarded_count == 0:
        return request.remote or ""
    entries = [
        entry.strip()
        for header in request.headers.getall("X-Forwarded-For", [])
        for entry in header.split(",")
    ]
    return entries[-forwarded_count][:64] if len(entries) >= forwarded_count else ""
