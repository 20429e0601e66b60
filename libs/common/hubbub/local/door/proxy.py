"""Plain HTTP requests on their way to a backend and back, bodies streamed both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from hubbub.local.door.backends import Backend, Backends, NobodyThere, Role, role_of
from hubbub.local.door.metrics import DoorMetrics
from hubbub.local.door.plain_http import refusal
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

PATIENCE = 5.0  # seconds that a request waits for a backend that is away
CONNECT_TIMEOUT = 3.0  # seconds
READ_TIMEOUT = 300.0  # seconds without a byte of an answer
BODY_SILENCE = 10.0  # seconds without a byte of a body that was announced
PIECE = 64 * 1024  # bytes

_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer "
    "transfer-encoding upgrade".split()
)
_SOCKET_PATH_PARTS = 4  # "", sockjs, server, session


class Proxy:
    """Passes requests to the backends of their role."""

    def __init__(self, backends: dict[Role, Backends], metrics: DoorMetrics) -> None:
        self._backends = backends
        self._metrics = metrics
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps connections to the backends while the context lasts."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT
        )
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as self._session:
            yield

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer `request` with what a backend answers, or with 503 when there is none."""
        target = _target_of(request)
        if target is None:
            return refusal(400, "Bad request [invalid-request]")
        body = _Body(request) if request.can_read_body else None
        role = role_of(request.path)
        candidates = self._backends[role].candidates(within=PATIENCE, sticky=_sticky(request.path))
        await _continued(request)
        try:
            async with aclosing(candidates):
                async for backend in candidates:
                    try:
                        return await self._ask(request, backend, target, body)
                    except aiohttp.ClientConnectorError as error:
                        # Nothing was sent yet, so asking another one repeats nothing.
                        self._metrics.failed.labels(role).inc()
                        log.debug("backend_failed", backend=backend.name, reason=str(error))
        except NobodyThere:
            self._metrics.refused.inc()
            return _unavailable()
        except (aiohttp.ClientError, TimeoutError) as error:
            if body is not None and body.is_late:
                return refusal(408, "Request body took too long [request-timeout]")
            log.warning("backend_broke_off", role=role, reason=type(error).__name__)
            return refusal(502, "Bad Gateway", Retry_After=2)
        return _unavailable()

    async def _ask(
        self, request: web.BaseRequest, backend: Backend, target: str, body: _Body | None
    ) -> web.StreamResponse:
        url = URL(f"http://{backend.host}:{backend.port}{target}", encoded=True)
        with self._backends[role_of(request.path)].counted(backend):
            async with self._session.request(
                request.method,
                url,
                headers=_request_headers(request),
                data=None if body is None else body.pieces(),
                allow_redirects=False,
            ) as answer:
                return await _passed_back(request, answer)


async def _continued(request: web.BaseRequest) -> None:
    """Ask for the body where the client waits to be asked; the backend is not asked for it."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


async def _passed_back(
    request: web.BaseRequest, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status,
        reason=answer.reason,
        headers=_end_to_end(answer.headers.items()),
    )
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError):
        # The status is out already; a cut connection is the only way left to say "broken".
        if request.transport is not None:
            request.transport.abort()
    return response


def _request_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers.items())
    headers.popall("Expect", None)
    before = ", ".join(headers.popall("X-Forwarded-For", []))
    client = request.remote or "unknown"
    headers["X-Forwarded-For"] = f"{before}, {client}" if before else client
    headers.setdefault("X-Forwarded-Proto", request.scheme)
    headers.setdefault("X-Forwarded-Host", request.host)
    return headers


def _end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """Headers without those that belong to one connection only."""
    all_headers = CIMultiDict(headers)
    named = {
        name.strip().lower() for name in ",".join(all_headers.getall("Connection", [])).split(",")
    }
    return CIMultiDict(
        (name, value)
        for name, value in all_headers.items()
        if name.lower() not in _HOP_BY_HOP and name.lower() not in named
    )


def _sticky(path: str) -> str:
    """What ties the requests of one SockJS session together: its part of the path."""
    parts = path.split("/")
    return parts[3] if parts[1] == "sockjs" and len(parts) > _SOCKET_PATH_PARTS else ""


def _unavailable() -> web.Response:
    return refusal(503, "Service Unavailable", Retry_After=2)


class _Body:
    """A client's body on its way to a backend."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._content = request.content
        self.is_late = False
        """The client announced more than it sent, and time is over."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it. Raises: TimeoutError: nothing came for `BODY_SILENCE`."""
        while True:
            try:
                async with asyncio.timeout(BODY_SILENCE):
                    piece = await self._content.read(PIECE)
            except TimeoutError:
                self.is_late = True
                raise
            if not piece:
                return
            yield piece


def _target_of(request: web.BaseRequest) -> str | None:
    """Path and query as the client wrote them; None for what is neither."""
    target = request.raw_path
    if target.startswith(("http://", "https://")):  # a client that takes us for a proxy
        target = "/" + target.split("//", 1)[1].partition("/")[2]
    return target if target.startswith("/") else None
