"""All connections of this process: how many, from where, and whether there is room for one more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from services.ddp_streamer.connection import Connection
from services.ddp_streamer.handshake import neighbourhood
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.settings import StreamerSettings


class ConnectionRegistry:
    """The open connections, and the limits that look at more than one of them.

    Nobody is refused below the hard limit: a client over a soft limit is served, and asked to
    leave a few seconds later, because some clients give up for good after one refused attempt.
    """

    def __init__(self, settings: StreamerSettings, metrics: StreamerMetrics) -> None:
        self._settings = settings
        self._open: set[Connection] = set()
        self._anonymous: Counter[str] = Counter()  # by neighbourhood
        self._greeted = 0
        self._logged_in = 0
        self._changed = asyncio.Event()
        metrics.connection_limit.set(settings.max_connections)
        metrics.watch_connections(
            opened=lambda: len(self._open),
            signed_in=lambda: self._logged_in,
            anonymous=lambda: max(0, self._greeted - self._logged_in),
        )

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """A snapshot of the open connections: they may be closed while iterating."""
        return iter(list(self._open))

    @property
    def is_full(self) -> bool:
        """Whether the hard limit is reached."""
        return len(self._open) >= self._settings.hard_limit

    async def emptied(self, timeout: float) -> bool:
        """Wait until no connection is left; False if some still are after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._open:
                    self._changed.clear()
                    await self._changed.wait()
        return not self._open

    def joined(self, connection: Connection) -> None:
        """A connection was opened."""
        self._open.add(connection)
        if len(self._open) > self._settings.max_connections:
            connection.leave_soon()
        limit = self._settings.max_anonymous_per_address
        place = _place(connection)
        if place is not None:
            self._anonymous[place] += 1
            if limit and self._anonymous[place] > limit:
                connection.log_in_soon()

    def greeted(self) -> None:
        """A connection was accepted by the DDP handshake."""
        self._greeted += 1

    def login_changed(self, connection: Connection) -> None:
        """Somebody has logged in or out on a connection."""
        self._logged_in += 1 if connection.authenticated else -1
        self._count_anonymous(connection, -1 if connection.authenticated else 1)

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection.connected:
            self._greeted -= 1
        if connection.authenticated:
            self._logged_in -= 1
        else:
            self._count_anonymous(connection, -1)
        self._changed.set()

    def _count_anonymous(self, connection: Connection, change: int) -> None:
        place = _place(connection)
        if place is not None:
            self._anonymous[place] += change
            if self._anonymous[place] <= 0:
                del self._anonymous[place]


def _place(connection: Connection) -> str | None:
    address = connection.peer.address
    return None if address is None else neighbourhood(address)


class Admission:
    """Spreads handshakes in time: a token bucket that lets callers wait for their turn."""

    def __init__(self, settings: StreamerSettings, time: Callable[[], float]) -> None:
        self._interval = 1.0 / settings.handshakes_per_second
        self._burst = 2.0  # seconds' worth of handshakes that may come at once
        self._max_wait = settings.handshake_wait
        self._time = time
        self._full_at = 0.0

    async def turn(self) -> bool:
        """Wait for the caller's turn; False when that would take too long."""
        now = self._time()
        full_at = max(self._full_at, now) + self._interval
        wait = full_at - now - self._burst
        if wait > self._max_wait:
            return False
        self._full_at = full_at
        if wait > 0:
            await asyncio.sleep(wait)
        return True
