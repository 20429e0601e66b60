"""An upgrade request on its way to a streamer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing

from hubbub.local.door.backends import Backend, Backends, NobodyThere
from hubbub.local.door.head import Head
from hubbub.local.door.metrics import DoorMetrics
from hubbub.local.door.splice import BackendSide, Side
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

PATIENCE = 15.0  # seconds that a handshake waits for a streamer, for example while one restarts
CONNECT_TIMEOUT = 3.0  # seconds
ANSWER_TIMEOUT = 15.0  # seconds until the first byte of a backend that took the connection

_REFUSAL_BODY = b'{"success":false,"error":"Service Unavailable"}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Retry-After: 2\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_REFUSAL_BODY), _REFUSAL_BODY)
)


async def pass_on(
    head: Head,
    rest: bytes,
    client: asyncio.Transport,
    address: str,
    backends: Backends,
    metrics: DoorMetrics,
) -> None:
    """Find a backend that answers, then join both sockets until either ends.

    A backend that refuses the connection, or drops it before its first byte, did not see the
    client: the next one is asked. Cancelling closes both.
    """
    side = Side()
    side.attach(client)
    side.read(on=False)  # whatever the client says next is for the backend that answers
    lost = asyncio.Event()
    side.on_lost = lost.set
    request = head.forwarded(address) + rest
    async with AsyncExitStack() as stack:
        stack.callback(side.close)
        try:
            backend, answer, first = await _answered(request, backends, metrics)
        except NobodyThere:
            metrics.refused.inc()
            log.warning("handshake_refused", path=head.path)
            client.write(REFUSAL)
            return
        stack.callback(answer.close)
        stack.enter_context(backends.counted(backend))
        stack.enter_context(metrics.spliced.track_inprogress())
        side.peer, answer.peer = answer, side
        client.write(first)
        if answer.transport is None:  # it sent its answer and closed, as a refusal does
            return
        side.read(on=True)
        answer.read(on=True)
        await lost.wait()


async def _answered(
    request: bytes, backends: Backends, metrics: DoorMetrics
) -> tuple[Backend, BackendSide, bytes]:
    """The first backend that gives an answer, and the beginning of that answer."""
    async with aclosing(backends.candidates(within=PATIENCE)) as candidates:
        async for backend in candidates:
            try:
                # Counted from here on: who comes meanwhile goes to another one.
                with backends.counted(backend):
                    side, first = await _asked(backend, request)
            except (OSError, TimeoutError) as error:
                metrics.failed.labels("streamer").inc()
                log.debug("backend_failed", backend=backend.name, reason=str(error))
            else:
                return backend, side, first
    raise NobodyThere


async def _asked(backend: Backend, request: bytes) -> tuple[BackendSide, bytes]:
    """Send the request and wait for the first piece of the answer."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_TIMEOUT):
        transport, side = await loop.create_connection(BackendSide, backend.host, backend.port)
    transport.write(request)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            return side, await asyncio.shield(side.answered)
    except BaseException:
        side.close()
        raise
