"""Meters of the gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.telemetry.labels import OTHER, Allotment
from hubbub.telemetry.metrics import SLOW

_REQUESTS = 220
"""Outcomes of requests that are counted by route; there are more routes than that."""
_TIMED = 16
"""Routes whose durations are shown by name."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class GatewayMetrics:
    """What the gateway tells about the requests it answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counted = Allotment(_REQUESTS)
        self._timed = Allotment(_TIMED)
        self._requests = Counter(
            "hubbub_http_requests_total",
            "HTTP requests answered, by route template; `other` when too many routes are in use.",
            ["route", "method", "code"],
            registry=registry,
        )
        self._duration = Histogram(
            "hubbub_http_request_duration_seconds",
            "Time from the complete headers to the complete answer.",
            ["route", "method"],
            buckets=SLOW,
            registry=registry,
        )
        self.inflight = Gauge(
            "hubbub_http_inflight", "HTTP requests being worked on.", registry=registry
        )
        self._sent = Counter(
            "hubbub_messages_sent_total",
            "Messages accepted, by the door they came through.",
            ["via"],
            registry=registry,
        )
        self._uploaded = Counter(
            "hubbub_uploads_bytes_total", "Bytes of files that were stored.", registry=registry
        )
        self._bad_input = Counter(
            "hubbub_http_bad_input_total",
            "Requests that could not be understood, by what was wrong with them.",
            ["kind"],
            registry=registry,
        )

    def answered(self, route: str, method: str, code: int, seconds: float) -> None:
        """Count one answer. `route` is a template, never a path with ids in it."""
        verb = method if method in _METHODS else OTHER
        counted = (route, verb, str(code))
        if not self._counted.has(counted):
            counted = (OTHER, OTHER, str(code))
        self._requests.labels(*counted).inc()
        timed = (route, verb) if self._timed.has((route, verb)) else (OTHER, OTHER)
        self._duration.labels(*timed).observe(seconds)

    def message_sent(self) -> None:
        """Count a message that came by REST."""
        self._sent.labels("rest").inc()

    def uploaded(self, size: int) -> None:
        """Count a file of `size` bytes."""
        self._uploaded.inc(size)

    def bad_input(self, kind: str) -> None:
        """Count a request that was refused before it reached an endpoint."""
        self._bad_input.labels(kind).inc()
