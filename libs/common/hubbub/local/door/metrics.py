"""What the front door counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class DoorMetrics:
    """Meters of the front door."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.spliced = Gauge(
            "hubbub_door_spliced_connections",
            "WebSocket connections that pass through.",
            registry=registry,
        )
        self.failed = Counter(
            "hubbub_door_backend_failures_total",
            "Attempts at a backend that failed and were made again elsewhere.",
            ["role"],
            registry=registry,
        )
        self.refused = Counter(
            "hubbub_door_refusals_total",
            "Requests answered with 503, because no backend came in time.",
            registry=registry,
        )
