"""What this streamer tells of itself, and what it knows of the others by what they tell.

Nobody asks: every streamer reports every few seconds, and one that falls silent counts as gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import listen
from hubbub.contracts.streamers import REPORT_INTERVAL, StreamerReported
from hubbub.errors import HubbubError
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

SILENT_AFTER: Final = 4 * REPORT_INTERVAL
"""Seconds without a report after which a streamer counts as gone."""
_MOST_OTHERS = 10_000  # streamers that are remembered


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to report at a moment."""

    connections: int
    connection_limit: int
    delivered: int
    """Stream frames queued to sockets since the start."""
    draining: bool


class Reports:
    """Reports of this streamer and of the others."""

    def __init__(
        self,
        publish: Callable[[StreamerReported], Awaitable[None]],
        load: Callable[[], Load],
        *,
        instance: str,
        pod: str,
        version: str,
        connected: Callable[[], bool],
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            load: what to report now.
            connected: whether reports of others arrive at all; what was known when they
                stopped arriving stays known.
        """
        self._publish = publish
        self._load = load
        self._instance = instance
        self._pod = pod
        self._version = version
        self._connected = connected
        self._clock = clock or SystemClock()
        self._others: dict[str, float] = {}  # ready instance → when it reported (monotonic)
        self._cut_at: float | None = None  # since when nothing arrives
        self._measured_at = self._clock.monotonic()
        self._delivered = 0
        self._rate = 0.0
        self._wake = asyncio.Event()

    # --- telling ------------------------------------------------------------------------------

    def tell_now(self) -> None:
        """Something has changed that the others should not learn seconds later."""
        self._wake.set()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            heed_cancellation()
            self._wake.clear()
            self._look()
            if self._connected():
                try:
                    await self._publish(self.report())
                except HubbubError as error:
                    log.debug("report_not_published", reason=type(error).__name__)
            heed_cancellation()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_INTERVAL):
                    await self._wake.wait()

    def report(self) -> StreamerReported:
        """What is to be said now."""
        load = self._load()
        return StreamerReported(
            instance=self._instance,
            pod=self._pod,
            version=self._version,
            connections=load.connections,
            connection_limit=load.connection_limit,
            deliveries_per_second=self._deliveries_per_second(load.delivered),
            draining=load.draining,
        )

    def _deliveries_per_second(self, delivered: int) -> float:
        now = self._clock.monotonic()
        seconds = now - self._measured_at
        if seconds >= REPORT_INTERVAL / 2:  # one out of turn would measure next to nothing
            self._rate = (delivered - self._delivered) / seconds
            self._measured_at, self._delivered = now, delivered
        return round(self._rate, 1)

    # --- hearing ------------------------------------------------------------------------------

    @listen(StreamerReported, to="all")
    async def on_reported(self, event: StreamerReported) -> None:
        """Another streamer, or this one, is there."""
        if event.instance == self._instance:
            return
        if event.draining:
            self._others.pop(event.instance, None)
        elif event.instance in self._others or len(self._others) < _MOST_OTHERS:
            self._others[event.instance] = self._clock.monotonic()

    @property
    def ready_others(self) -> int:
        """Other streamers that take clients, as far as is known."""
        self._look()
        return len(self._others)

    def _look(self) -> None:
        """Forget who has fallen silent; but not while nobody can be heard."""
        now = self._clock.monotonic()
        if self._connected():
            self._cut_at = None
        elif self._cut_at is None:
            self._cut_at = now
        heard_since = (now if self._cut_at is None else self._cut_at) - SILENT_AFTER
        for instance in [one for one, at in self._others.items() if at < heard_since]:
            del self._others[instance]
