"""The one connection of a bus to NATS: made, kept up, measured; carries requests and answers."""

from __future__ import annotations

import asyncio
import contextvars
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from nats import errors

from hubbub.bus.codec import Plain
from hubbub.bus.connection import Connection
from hubbub.bus.context import CallContext
from hubbub.bus.former import Former
from hubbub.bus.headers import NO_RESPONDERS, caller_tail, context_lines, request_headers
from hubbub.bus.keys import key_file
from hubbub.bus.metrics import BusMetrics, Direction, Operation
from hubbub.bus.replies import ConnectionLost, ReplyTable
from hubbub.bus.settings import BusSettings
from hubbub.bus.wire import Body
from hubbub.clock import Clock
from hubbub.errors import TooLarge
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_COMPLAINT_PAUSE = 10.0  # seconds between log lines about a server that cannot be reached
_LAME_DUCK_SPREAD = 5.0  # seconds within which clients leave a server that is about to end
_LAME_DUCK_PATIENCE = 50  # looks, 20 ms apart, for a moment in which no call is under way
_FLUSH_TIMEOUT = 10  # seconds
_ROUND_TRIP = 2  # seconds
_LOOK_AGAIN = 0.05  # seconds until it is looked whether a lost connection is back
_CONNECT_TIMEOUT = 2  # seconds for one try

_FORBIDDEN = re.compile(
    r'permissions violation for (?P<operation>publish|subscription)[^"]*"(?P<subject>[^"]*)'
)
_OPERATIONS: Mapping[str, Operation] = {"publish": "publish", "subscription": "subscribe"}

T = TypeVar("T")


class NatsLink:
    """A `Wire` over NATS."""

    encodes = True
    """Arguments always travel as JSON here."""

    def __init__(
        self,
        settings: BusSettings,
        replies: ReplyTable,
        metrics: BusMetrics,
        clock: Clock,
        *,
        service: str,
        instance: str,
        random: Callable[[], float],
    ) -> None:
        self.client = Connection()
        self._settings = settings
        self._replies = replies
        self._metrics = metrics
        self._clock = clock
        self._service = service
        self._name = f"{service}/{instance}"
        self._random = random
        self._up = asyncio.Event()
        self._inbox = b""  # ends with a dot
        self._tail = caller_tail(self._name)
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._slow_callbacks: list[Callable[[str], None]] = []
        self._moving: asyncio.Task[None] | None = None
        self._formers: dict[Former, asyncio.Task[None]] = {}
        self.at_hand: Callable[[], Iterable[bytes]] = tuple
        """Where the calls that this process works on are to be answered."""
        self._complained = -_COMPLAINT_PAUSE
        self._closing = False
        self.client.on_lost = self._lost
        if settings.nats_keys is not None:
            self.client.key_file = key_file(settings.nats_keys, service)
        readings = metrics.nats
        readings.connected = lambda: self.connected
        readings.pending_bytes = lambda: self.client.pending_data_size
        readings.traffic = self._traffic

    @property
    def connected(self) -> bool:
        """Whether the connection stands and the server knows all subscriptions."""
        return self._up.is_set()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each time the connection came back."""
        self._reconnect_callbacks.append(callback)

    def on_slow_consumer(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the subject of each message that was dropped."""
        self._slow_callbacks.append(callback)

    async def connect(self) -> None:
        """Connect, however long it takes. Complains in the log every ten seconds."""
        settings = self._settings
        # Services that lost the same server must not come back in the same instant.
        wait = settings.nats_reconnect_wait * (0.8 + 0.4 * self._random())
        tls = ssl.create_default_context(cafile=settings.nats_tls_ca) if self._wants_tls() else None
        await apart(
            self.client.connect(
                servers=settings.servers,
                name=self._name,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                lame_duck_mode_cb=self._on_lame_duck,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=wait,  # type: ignore[arg-type]  # any number of seconds does
                connect_timeout=_CONNECT_TIMEOUT,
                ping_interval=settings.nats_ping_interval,  # type: ignore[arg-type]
                max_outstanding_pings=2,
                pending_size=settings.nats_pending_bytes,
                flush_timeout=_FLUSH_TIMEOUT,
                inbox_prefix=f"_INBOX.{self._service}",
                user=settings.nats_user or None,
                password=settings.nats_password.get_secret_value() or None,
                tls=tls,
            )
        )
        self._inbox = f"{self.client.new_inbox()}.".encode()
        await self.client.open_door(f"{self._inbox.decode()}*", self._on_reply)
        await self.settle()
        self._up.set()
        log.info("nats_connected", server=self._server())

    async def settle(self) -> None:
        """Return once the server knows every subscription, whichever server that is by then.

        nats-py writes the PING of `flush` ahead of subscriptions that are still in its buffer,
        so one round trip proves nothing about them; the second one does. And where the
        connection was lost between, nobody answers the PING; both are made again over the next.

        Raises: nats.errors.ConnectionClosedError: `close` was called.
        """
        while True:
            if self.client.is_connected:
                over = self.client.stats["reconnects"]
                try:
                    await self.client.flush(_ROUND_TRIP)
                    await self.client.flush(_ROUND_TRIP)
                except errors.FlushTimeoutError:
                    log.warning("nats_does_not_answer", server=self._server())
                    continue
                if self.client.stats["reconnects"] == over:
                    return
            elif self.client.is_closed:
                raise errors.ConnectionClosedError
            else:
                await asyncio.sleep(_LOOK_AGAIN)

    async def close(self) -> None:
        """Disconnect at once."""
        self._closing = True
        self._up.clear()
        tasks = [*self._formers.values(), *([self._moving] if self._moving is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self.client.options:  # `connect` was called
            await self.client.close()

    async def wait_connected(self, seconds: float) -> bool:
        """Wait until `connected`; False when it did not come true within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    def request(
        self,
        subject: bytes,
        token: bytes,
        body: Body,
        patience_ms: int,
        attempt: int,
        context: CallContext,
    ) -> None:
        """Send a request. Raises: TooLarge; Unavailable: too much waits to be sent."""
        assert isinstance(body, bytes)  # noqa: S101  # `encodes` is True
        headers = request_headers(patience_ms, attempt, context_lines(context), self._tail)
        size = len(body)
        if len(headers) + size > self.client.max_payload:
            self.check_size("the request", len(headers) + size)
        self.client.send(subject, self._inbox + token, headers, body)
        traffic = self._metrics.rpc_out
        traffic[0] += 1
        traffic[1] += size

    def answer(self, reply: bytes, body: bytes | Plain) -> None:
        """Answer a request. Raises: TooLarge; Unavailable: too much waits to be sent."""
        assert isinstance(body, bytes)  # noqa: S101  # what came as bytes is answered so
        size = len(body)
        if size > self.client.max_payload:
            self.check_size("it", size)
        if not any(former.answer(reply, body) for former in self._formers):
            self.client.send(reply, b"", None, body)
        traffic = self._metrics.rpc_out
        traffic[0] += 1
        traffic[1] += size

    def send_control(self, reply: bytes, body: bytes) -> None:
        """Answer a question of NATS's service protocol. Raises: Unavailable."""
        self.client.send(reply, b"", None, body)
        metrics = self._metrics
        metrics.control_in[0] += 1
        metrics.control_out[0] += 1
        metrics.control_out[1] += len(body)

    def check_size(self, what: str, size: int) -> None:
        """Raises: TooLarge: the server would close the connection over it."""
        allowed = self.client.max_payload
        if size > allowed:
            raise TooLarge(
                f"{what} has {size} bytes, NATS takes {allowed}",
                details={"size": size, "allowed": allowed},
            )

    def _on_reply(
        self, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None
    ) -> None:
        traffic = self._metrics.rpc_in
        traffic[0] += 1
        traffic[1] += len(payload)
        token = subject[len(self._inbox) :]
        if headers is not None and headers.startswith(NO_RESPONDERS):
            self._replies.nobody(token)
        else:
            self._replies.answer(token, payload)

    def _wants_tls(self) -> bool:
        return self._settings.nats_tls_ca is not None or any(
            url.startswith("tls://") for url in self._settings.servers
        )

    def _server(self) -> str:
        url = self.client.connected_url
        return "" if url is None else f"{url.hostname}:{url.port}"

    def _traffic(self) -> dict[Direction, tuple[int, int]]:
        stats = self.client.stats
        return {
            "in": (stats["in_msgs"], stats["in_bytes"]),
            "out": (stats["out_msgs"], stats["out_bytes"]),
        }

    def _lost(self) -> None:
        self._up.clear()
        self._replies.fail_all(ConnectionLost)

    async def _on_disconnected(self) -> None:
        if not self._closing:
            log.warning("nats_disconnected")

    async def _on_reconnected(self) -> None:
        self._metrics.reconnects += 1
        self._up.set()
        log.info("nats_reconnected", server=self._server())
        for callback in self._reconnect_callbacks:
            callback()

    async def _on_lame_duck(self) -> None:
        self._metrics.lame_ducks += 1
        log.info("nats_lame_duck", server=self._server())
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move(), name="leave lame duck")

    async def _move(self) -> None:
        """Leave a server that will end, at a moment of our own, when nobody waits if possible.

        What came over the old connection is answered over it.
        """
        await asyncio.sleep(self._random() * _LAME_DUCK_SPREAD)
        for _ in range(_LAME_DUCK_PATIENCE):
            if not len(self._replies):
                break
            await asyncio.sleep(0.02)
        try:
            transport = await self.client.part(_FLUSH_TIMEOUT)
        except errors.Error:
            await self.client.force_reconnect()
            return
        if transport is not None:
            former = Former(transport, self.at_hand)
            task = asyncio.create_task(former.end(), name="answer over the left connection")
            self._formers[former] = task
            task.add_done_callback(lambda _: self._formers.pop(former))

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, errors.SlowConsumerError):
            self._metrics.slow_consumers += 1
            for callback in self._slow_callbacks:
                callback(error.subject)
            log.warning("nats_slow_consumer", subject=error.sub.subject)
            return
        forbidden = _FORBIDDEN.search(str(error))
        if forbidden is not None:
            # What was sent or asked for is gone, silently for whoever did it: always told.
            operation = _OPERATIONS[forbidden["operation"]]
            self._metrics.forbidden(operation)
            log.error("nats_forbidden", operation=operation, subject=forbidden["subject"])
            return
        now = self._clock.monotonic()
        if now - self._complained < _COMPLAINT_PAUSE:
            return
        self._complained = now
        log.warning("nats_trouble", err_type=type(error).__name__, err=str(error))


async def apart(work: Awaitable[T]) -> T:
    """Run `work` outside the context of the caller: the tasks that it starts live longer than
    any request and must not carry one's ids."""

    async def run() -> T:
        return await work

    return await asyncio.create_task(run(), context=contextvars.Context())
