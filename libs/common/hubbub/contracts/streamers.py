"""Contract of the streamers towards those who operate them: how full each is, and who must go.

Addressed to one instance (`bus.proxy(StreamerControl, to=instance)`), never to the group.
"""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, Event, action
from hubbub.contracts.event_log import PREFIX

REPORT_INTERVAL = 5.0
"""Seconds between two reports of a streamer; four missed ones mean that it is silent."""

SESSIONS_BUCKET = "hubbub_sessions"
"""The NATS bucket in which streamers keep who a session was."""
TAKEN_SUBJECTS = PREFIX + "streamer-taken."
"""Behind it a streamer's instance: it is told which of its sockets has come back elsewhere."""


class StreamerReported(Event, name="streamer.reported"):
    """What a streamer says of itself every `REPORT_INTERVAL` seconds and when a drain begins."""

    instance: str
    """For `bus.proxy(StreamerControl, to=…)`; new with each start of the process."""
    pod: str
    """Name of the host, in Kubernetes that of the pod."""
    version: str
    connections: int = Field(ge=0)
    connection_limit: int = Field(ge=1)
    deliveries_per_second: float = Field(ge=0)
    draining: bool = False


class StreamerControl(Contract, Protocol, name="streamer-control"):
    """What an operator may ask of one streamer."""

    @action(idempotent=True)
    async def drain(self, window: float | None = None) -> bool:
        """Begin to drain, as after the first SIGTERM, over `window` seconds (None: as set).

        The process then ends by itself. False when it was draining already.
        """
        ...

    @action()
    async def shed(self, connections: int, youngest: float = 600.0) -> int:
        """Close up to `connections` sockets, picked at random, with 1012: they come back elsewhere.

        Spares sockets younger than `youngest` seconds, those with an unanswered call, and users
        of whom a socket was closed this way within the last hour.

        Returns: how many are being closed.
        """
        ...
