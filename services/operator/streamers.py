"""What streamers say of themselves, and what they are asked to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from hubbub.bus import Bus
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import listen
from hubbub.contracts.streamers import StreamerControl, StreamerReported
from hubbub.errors import HubbubError
from hubbub.telemetry.log import get_logger
from services.operator.domain.members import Load, Member, Pod

log = get_logger(__name__)

_ASKED_AT_ONCE = 16  # pods
_ASK_TIMEOUT = 2.0  # seconds for one pod's /metrics
_LONGEST_ANSWER = 4 * 1024 * 1024  # bytes of one pod's /metrics
_FORGOTTEN_AFTER = 30  # times `silent_after`: pods that are long gone

_CONNECTIONS = "hubbub_streamer_connections"
_LIMIT = "hubbub_streamer_connection_limit"
_STATE = "hubbub_up_state"


class Reports:
    """The last report of each pod, and when it was heard."""

    def __init__(self, *, silent_after: float, clock: Clock | None = None) -> None:
        self._silent_after = silent_after
        self._clock = clock or SystemClock()
        self._listening_since = self._clock.monotonic()
        self._heard: dict[str, tuple[StreamerReported, float]] = {}

    @listen(StreamerReported, to="all")
    async def on_reported(self, report: StreamerReported) -> None:
        """Keep the newest report of each pod."""
        now = self._clock.monotonic()
        self._heard[report.pod] = (report, now)
        oldest = now - self._silent_after * _FORGOTTEN_AFTER
        for pod in [pod for pod, (_, at) in self._heard.items() if at < oldest]:
            del self._heard[pod]

    @property
    def learning(self) -> bool:
        """Whether every streamer may not have had the time for a report yet."""
        return self._clock.monotonic() - self._listening_since < self._silent_after

    def of(self, pod: str) -> Load | None:
        """What the streamer of this pod said last; None when it is silent."""
        report, at = self._heard.get(pod, (None, 0.0))
        if report is None or self._clock.monotonic() - at > self._silent_after:
            return None
        return Load(report.connections, report.connection_limit, report.draining, report.instance)


class Streamers:
    """The streamers of a cluster, heard over the bus, or asked when they are silent."""

    def __init__(self, bus: Bus, reports: Reports, session: aiohttp.ClientSession) -> None:
        self._bus = bus
        self._reports = reports
        self._session = session
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)

    @property
    def learning(self) -> bool:
        """Whether loads may be unknown only because the operator has just started."""
        return self._reports.learning

    async def loads(self, pods: Sequence[Pod]) -> list[Member]:
        """`pods` with their loads, from reports or else from their operations ports."""
        return list(await asyncio.gather(*map(self._member, pods)))

    async def drain(self, instance: str, window: float) -> bool | None:
        """Tell a streamer to drain; False when it did already, None when it did not answer."""
        try:
            return await self._bus.proxy(StreamerControl, to=instance).drain(window=window)
        except HubbubError as error:
            log.warning("drain_not_delivered", streamer=instance, reason=str(error))
            return None

    async def shed(self, instance: str, connections: int) -> int:
        """Ask a streamer to close up to so many connections; returns how many it closes."""
        try:
            return await self._bus.proxy(StreamerControl, to=instance).shed(connections)
        except HubbubError as error:
            log.warning("shed_not_delivered", streamer=instance, reason=str(error))
            return 0

    async def _member(self, pod: Pod) -> Member:
        load = self._reports.of(pod.name)
        if load is None and pod.running and pod.ip:
            async with self._asking:
                load = await self._asked(pod)
        return Member(pod, load)

    async def _asked(self, pod: Pod) -> Load | None:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        url = f"http://{host}:{pod.ops_port}/metrics"
        try:
            async with self._session.get(
                url, timeout=aiohttp.ClientTimeout(total=_ASK_TIMEOUT)
            ) as answer:
                answer.raise_for_status()
                body = await _limited(answer)
            return load_from_metrics(body.decode())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("streamer_silent", pod=pod.name, reason=f"{type(error).__name__}: {error}")
            return None


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > _LONGEST_ANSWER:
            raise ValueError(f"more than {_LONGEST_ANSWER} bytes of metrics")
    return bytes(body)


def load_from_metrics(text: str) -> Load | None:
    """What a streamer's metrics say of its load; None when they are not a streamer's.

    Raises: ValueError: the text is not what Prometheus understands.
    """
    connections: int | None = None
    limit = 0
    draining = False
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _CONNECTIONS:
                connections = int(sample.value)
            elif sample.name == _LIMIT:
                limit = int(sample.value)
            elif sample.name == _STATE and sample.labels.get("state") == "draining":
                draining = bool(sample.value)
    if connections is None:
        return None
    return Load(connections, max(1, limit), draining)
