"""kopf in a thread of its own, and how long ago it heard the API server.

kopf assumes that it owns its event loop: it takes over the signal handlers, and when it ends it
cancels every task that was started after it. In a thread with a loop of its own it does neither
to the bus and the operations port.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

import aiohttp
import kopf

from hubbub.telemetry.log import get_logger
from services.operator.handlers import Seen, registry
from services.operator.resources import FIELD_MANAGER, GROUP

log = get_logger(__name__)

_TOKEN_AGE = datetime.timedelta(minutes=5)
_STOP_WITHIN = 15.0  # seconds


class Watch:
    """Sees every pool and app of a namespace, and proves that it would see a change.

    The API server sends at least a bookmark per minute. kopf opens the watch anew after 70 s of
    silence, so an `age` above that means that nobody answers.
    """

    def __init__(
        self,
        find: Callable[[], kopf.ConnectionInfo],
        *,
        namespace: str,
        seen: Mapping[str, Seen],
        request_timeout: float,
    ) -> None:
        """
        Args:
            find: gives the credentials of the moment.
            seen: plural name of a kind → what is called in the loop that runs `run`, for each
                object of it that is listed or changes. Other kinds are not watched.
        """
        self._find = find
        self._namespace = namespace
        self._seen = seen
        self._request_timeout = request_timeout
        self._heard_at: float | None = None
        self._began = time.monotonic()
        self.listed = asyncio.Event()
        """Set when the API server has first said something about our kinds."""

    @property
    def age(self) -> float:
        """Seconds since the API server last said something about our kinds."""
        last = self._heard_at
        return time.monotonic() - (last if last is not None else self._began)

    async def run(self) -> None:
        """Watch until cancelled.

        Raises: whatever ended kopf.
        """
        here = asyncio.get_running_loop()
        ended: asyncio.Future[None] = here.create_future()
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        def passed_on(tell: Seen) -> Seen:
            def seen(name: str, revision: Hashable) -> None:
                here.call_soon_threadsafe(tell, name, revision)

            return seen

        seen = {plural: passed_on(tell) for plural, tell in self._seen.items()}

        def heard() -> None:
            if self._heard_at is None:
                here.call_soon_threadsafe(self.listed.set)
            self._heard_at = time.monotonic()

        def tell(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._operator(seen, heard, started))
            except BaseException as caught:  # raised again in the other thread
                error = caught
            with suppress(RuntimeError):  # the other loop did not wait for us
                here.call_soon_threadsafe(tell, error)

        _hush_signals()
        thread = threading.Thread(target=work, name="kopf", daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
            raise RuntimeError("the watch of the API server ended by itself")
        finally:
            await self._stop(started, ended)

    async def _stop(
        self,
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]],
        ended: asyncio.Future[None],
    ) -> None:
        if ended.done():
            return
        try:
            async with asyncio.timeout(_STOP_WITHIN):
                loop, stop = await asyncio.wrap_future(started)
                loop.call_soon_threadsafe(stop.set)
                await asyncio.shield(ended)
        except TimeoutError:
            log.warning("watch_does_not_end", seconds=_STOP_WITHIN)

    async def _operator(
        self,
        seen: Mapping[str, Seen],
        heard: Callable[[], None],
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]],
    ) -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await kopf.operator(
            registry=registry(seen=seen, log_in=partial(self._log_in, heard)),
            settings=kopf_settings(self._request_timeout),
            namespaces=[self._namespace],
            standalone=True,
            stop_flag=stop,
            identity=None,
        )

    async def _log_in(self, heard: Callable[[], None]) -> kopf.AiohttpSession:
        """A session whose answers prove that the API server is there."""
        access = self._find()
        secure = access.server.startswith("https:")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=access.as_ssl_context() if secure else True
            ),
            headers=access.as_http_headers() | {"User-Agent": FIELD_MANAGER},
            response_class=_heard_by(heard),
        )
        return kopf.AiohttpSession(
            server=access.server,
            aiohttp_session=session,
            default_namespace=self._namespace,
            expiration=datetime.datetime.now(datetime.UTC) + _TOKEN_AGE,
        )


def _hush_signals() -> None:
    """kopf complains that it cannot take the signals over; that is the point of the thread."""
    logging.getLogger("kopf._core.reactor.running").addFilter(_is_worth_reading)


def _is_worth_reading(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("OS signals are ignored")


def kopf_settings(request_timeout: float) -> kopf.OperatorSettings:
    """How kopf behaves here: one namespace, nothing of its own left on objects."""
    settings = kopf.OperatorSettings()
    # Not ours: kopf takes its own away from objects that none of its handlers holds back.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    # Without a bound, a load balancer in between may keep a watch that nobody serves.
    settings.watching.server_timeout = 600
    settings.watching.inactivity_timeout = 70
    settings.networking.request_timeout = request_timeout
    settings.posting.level = logging.WARNING
    settings.scanning.disabled = True
    settings.execution.default_backoff = 10  # for credentials that cannot be read at the moment
    settings.process.ultimate_exiting_timeout = None  # the process has a deadline of its own
    return settings


def _heard_by(heard: Callable[[], None]) -> type[aiohttp.ClientResponse]:
    """A class of responses that call `heard` for what arrives on lists and watches of ours."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
            await super().start(connection)
            if self.status == 200 and f"/apis/{GROUP}/" in self.url.path:
                if "namespaces" in self.url.parts:
                    heard()
                self.content = _Heard(self.content, heard)  # type: ignore[assignment]
            return self

    return Response


class _Heard:
    """A body that tells when a piece of it arrives; in all else it is the body."""

    def __init__(self, content: aiohttp.StreamReader, heard: Callable[[], None]) -> None:
        self._content = content
        self._tell = heard

    def __getattr__(self, name: str) -> object:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_chunked(size):
            self._tell()
            yield chunk
