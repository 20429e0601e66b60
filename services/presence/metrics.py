"""Meters of the presence service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.contracts.presence import Status
from hubbub.telemetry.metrics import FAST


class PresenceMetrics:
    """What the service tells about who is there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._users = Gauge(
            "hubbub_presence_users",
            "Users, by visible status (all replicas count the same users).",
            ["status"],
            registry=registry,
        )
        self.connections = Gauge(
            "hubbub_presence_connections",
            "Connections of signed-in users (all replicas count the same ones).",
            registry=registry,
        )
        self._transitions = Counter(
            "hubbub_presence_transitions_total",
            "Changes of a user's visible status.",
            ["from", "to"],
            registry=registry,
        )
        self.reaped = Counter(
            "hubbub_presence_stale_reaped_total",
            "Users who lost connections because their streamer was gone or nobody announced them.",
            registry=registry,
        )
        self._broadcast = Counter(
            "hubbub_presence_broadcast_total",
            "Announcements sent, and those put off because the last one was too recent.",
            ["outcome"],
            registry=registry,
        )
        self.delay = Histogram(
            "hubbub_presence_update_delay_seconds",
            "From when a status was due until it was announced.",
            buckets=FAST,
            registry=registry,
        )

    def changed(self, before: Status, after: Status) -> None:
        """Count a change of a visible status."""
        if before is not after:
            self._transitions.labels(before.value, after.value).inc()

    def announced(self, *, sent: bool) -> None:
        """Count an announcement, or one that was put off."""
        self._broadcast.labels("sent" if sent else "coalesced").inc()

    def counted(self, users: dict[Status, int], connections: int) -> None:
        """Show how many there are."""
        for status, number in users.items():
            self._users.labels(status.value).set(number)
        self.connections.set(connections)
