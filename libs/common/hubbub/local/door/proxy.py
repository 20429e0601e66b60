"""Plain HTTP requests on their way to a backend and back, bodies streamed both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from hubbub.local.door.backends import Backend, Backends, NobodyThere, Role, role_of
from hubbub.local.door.metrics import DoorMetrics
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

PATIENCE = 5.0  # seconds that a request waits for a backend that is away
CONNECT_TIMEOUT = 3.0  # seconds
READ_TIMEOUT = 300.0  # seconds without a byte of an answer
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
        role = role_of(request.path)
        candidates = self._backends[role].candidates(within=PATIENCE, sticky=_sticky(request.path))
        try:
            async with aclosing(candidates):
                async for backend in candidates:
                    try:
                        return await self._ask(request, backend)
                    except aiohttp.ClientConnectorError as error:
                        # Nothing was sent yet, so asking another one repeats nothing.
                        self._metrics.failed.labels(role).inc()
                        log.debug("backend_failed", backend=backend.name, reason=str(error))
        except NobodyThere:
            self._metrics.refused.inc()
            return _failure(503, "Service Unavailable")
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("backend_broke_off", role=role, reason=type(error).__name__)
            return _failure(502, "Bad Gateway")
        return _failure(503, "Service Unavailable")

    async def _ask(self, request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
        url = URL(f"http://{backend.host}:{backend.port}{request.raw_path}", encoded=True)
        with self._backends[role_of(request.path)].counted(backend):
            async with self._session.request(
                request.method,
                url,
                headers=_request_headers(request),
                data=request.content.iter_chunked(PIECE) if request.can_read_body else None,
                allow_redirects=False,
            ) as answer:
                return await _passed_back(request, answer)


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


def _failure(status: int, reason: str) -> web.Response:
    return web.json_response(
        {"success": False, "error": reason}, status=status, headers={"Retry-After": "2"}
    )
