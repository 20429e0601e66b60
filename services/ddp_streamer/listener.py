"""The public port: HTTP upgrade requests become connections.

aiohttp parses the HTTP part. When a handshake is in order its answer is written, and the
transport goes to a `Connection`; from then on aiohttp has no part in it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from hubbub.telemetry.log import get_logger
from services.ddp_streamer import handshake
from services.ddp_streamer.common import Common, OpenSession, Peer, never
from services.ddp_streamer.connection import Connection
from services.ddp_streamer.handshake import Refusal, Route
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.registry import Admission, ConnectionRegistry
from services.ddp_streamer.settings import StreamerSettings

log = get_logger(__name__)

_MAX_HALF_OPEN = 1_000  # HTTP connections that are no WebSocket (yet)
_MAX_USER_AGENT = 256  # characters
_TICK = 0.5  # seconds


class PublicListener:
    """Serves `<root>/websocket`, `<root>/sockjs/...` and `<root>/health`.

        async with PublicListener(settings, metrics, open_session, healthy=...) as listener:
            listener.port               the bound port
            listener.connections        the registry of open connections
            listener.stop_accepting()   closes the listening socket; connections stay
            listener.refuse()           lets nobody in any more
            listener.cut()              ends what is still open, without a word

    Leaving the block closes what is still open with 1001, and cuts what does not go in time.
    """

    def __init__(
        self,
        settings: StreamerSettings,
        metrics: StreamerMetrics,
        open_session: OpenSession,
        *,
        healthy: Callable[[], bool],
        anonymous_may_stay: Callable[[], bool] = never,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._open_session = open_session
        self._healthy = healthy
        self._loop = asyncio.get_running_loop()
        self.connections = ConnectionRegistry(settings, metrics)
        self._common = Common(
            settings,
            metrics,
            self.connections,
            self._loop,
            anonymous_may_stay=anonymous_may_stay,
        )
        congested = self._common.flusher.congested
        metrics.watch_backlogs(
            lambda: [outbox.backlog for outbox in list(congested)],
            soft=settings.soft_buffered_bytes,
        )
        self._admission = Admission(settings, self._loop.time)
        self._http = web.Server(
            self._handle,
            access_log=None,
            keepalive_timeout=settings.header_timeout,  # also bounds an unfinished request head
        )
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._refusing = False
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await self._loop.create_server(
            self._new_protocol,
            self._settings.host,
            self._settings.port,
            backlog=self._settings.backlog,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        for listening in self._server.sockets:
            _bound_unsent(listening, self._settings.unsent_bytes)
        self._tick()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_accepting()
        self.refuse()
        for connection in self.connections:
            connection.close(1001, "GOING_AWAY")
        if not await self.connections.emptied(self._settings.close_timeout + 1.0):
            self.cut()
            await self.connections.emptied(1.0)
        await self._http.shutdown(1.0)
        if self._ticker is not None:
            self._ticker.cancel()
        self._update_metrics()

    def stop_accepting(self) -> None:
        """Close the listening socket. Open connections stay, and who is connected may still
        upgrade: some clients give up for good after one refused attempt."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def refuse(self) -> None:
        """Nobody gets in any more; who was on the way is told to try again."""
        self._refusing = True

    def cut(self) -> None:
        """End the connections that are still open; their close frames were sent before."""
        for connection in self.connections:
            connection.abort()

    # --- HTTP -------------------------------------------------------------------------------

    def _new_protocol(self) -> asyncio.BaseProtocol:
        if len(self._http.connections) >= _MAX_HALF_OPEN:
            self._metrics.handshakes.labels("refused_limit").inc()
            return _TurnedAway()
        return self._http()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match handshake.route(request.path, self._settings.root_path):
            case Route.RAW:
                return await self._upgrade(request, is_sockjs=False)
            case Route.SOCKJS:
                return await self._upgrade(request, is_sockjs=True)
            case Route.SOCKJS_INFO:
                return _sockjs_info(request)
            case Route.HEALTH:
                if self._healthy():
                    return web.Response(text="ok")
                return web.Response(status=500, text="not healthy")
            case Route.NONE:
                return _last(web.Response(status=404, text="not found"))

    async def _upgrade(self, request: web.BaseRequest, *, is_sockjs: bool) -> web.StreamResponse:
        outcome = self._metrics.handshakes
        judged = handshake.check_upgrade(
            request.method,
            (request.version.major, request.version.minor),
            request.headers,
            self._settings.allowed_origins,
        )
        if isinstance(judged, Refusal):
            outcome.labels(judged.outcome).inc()
            headers = {"Sec-WebSocket-Version": "13"} if judged.status == 426 else None
            return _last(web.Response(status=judged.status, text=judged.text, headers=headers))
        if self.connections.is_full or not await self._admission.turn():
            outcome.labels("refused_limit").inc()
            return _busy()
        if self._refusing:
            outcome.labels("refused_draining").inc()
            return _busy()
        peer = Peer(
            address=handshake.client_address(
                request.remote,
                request.headers.getall("X-Forwarded-For", []),
                self._settings.forwarded_count,
            ),
            user_agent=sys.intern(request.headers.get("User-Agent", "")[:_MAX_USER_AGENT]),
            sockjs=is_sockjs,
        )
        if self._hand_over(request, judged.answer, peer):
            outcome.labels("ok").inc()
        else:
            outcome.labels("timeout").inc()
        return _HandedOver()

    def _hand_over(self, request: web.BaseRequest, answer: bytes, peer: Peer) -> bool:
        """Take the transport from aiohttp. False: the client has gone meanwhile."""
        protocol, transport = request.protocol, request.transport
        if transport is None or transport.is_closing():
            return False
        # Frames may have come in the same segments as the handshake; aiohttp keeps them for the
        # parser that takes over.
        tail = _Tail()
        protocol.set_parser(tail)  # type: ignore[arg-type]  # any object with feed_data will do
        connection = Connection(self._common, peer)
        protocol.transport = None
        transport.set_protocol(connection)
        transport.write(answer)
        # aiohttp forgets the connection as if it had ended; it no longer knows the transport.
        protocol.connection_lost(None)
        try:
            connection.open(transport, self._open_session, bytes(tail.content))
        except Exception:
            log.exception("session_not_opened", conn=connection.connection_id)
            connection.abort()
        return True

    # --- time -------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(_TICK, self._tick)
        self._common.wheel.advance(self._loop.time())
        self._update_metrics()

    def _update_metrics(self) -> None:
        flusher = self._common.flusher
        tally = self._metrics.tally
        tally.bytes_out += flusher.written
        tally.dropped["presence_coalesced"] += flusher.coalesced
        tally.dropped["slow_client"] += flusher.dropped
        flusher.written = flusher.coalesced = flusher.dropped = 0
        self._metrics.transfer()


def _bound_unsent(listening: Any, most: int) -> None:
    """Let the kernel hold no more than `most` unsent bytes for each socket accepted here.

    Left alone it takes megabytes for a client that does not read (Linux: `tcp_wmem`), which a
    container is charged for, and which hide from the outbox that nobody reads. What is on its
    way does not count, so fast clients far away stay fast.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, most)


class _Tail:
    """Receives from aiohttp what was read behind a handshake."""

    def __init__(self) -> None:
        self.content = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.content += data
        return False, b""

    def feed_eof(self) -> None:
        """aiohttp calls this when it lets go."""


class _HandedOver(web.StreamResponse):
    """Stands for an answer that has been written already."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: Any = b"") -> None:
        return

    @property
    def keep_alive(self) -> bool | None:
        return False


class _TurnedAway(asyncio.Protocol):
    """A connection over the limit of half-open ones."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _busy() -> web.Response:
    retry_after = str(random.randint(1, 5))  # noqa: S311  spreads clients, hides nothing
    return _last(web.Response(status=503, text="try again", headers={"Retry-After": retry_after}))


def _last(response: web.Response) -> web.Response:
    """`response`, after which the HTTP connection is closed."""
    response.force_close()
    return response


def _sockjs_info(request: web.BaseRequest) -> web.Response:
    """What SockJS clients ask first; it names no other address on purpose."""
    headers = {"Cache-Control": "no-store"}
    if origin := request.headers.get("Origin"):
        headers |= {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        }
    else:
        headers["Access-Control-Allow-Origin"] = "*"
    body = {
        "websocket": True,
        "origins": ["*:*"],
        "cookie_needed": False,
        "entropy": random.getrandbits(32),
        "ms": True,
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers=headers)
