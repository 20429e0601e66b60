"""Meters of the authorization service."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.cache import Found
from hubbub.contracts.events import CacheEvent
from hubbub.contracts.workspace import PERMISSIONS
from hubbub.telemetry.metrics import FAST

ACCESS = "room-access"
"""Stands for a permission in the decisions about rooms."""

_NAMES = frozenset(PERMISSIONS) | {ACCESS}


class AuthorizationMetrics:
    """What the service tells about its decisions and its caches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "hubbub_authz_decisions_total",
            "Decisions, by permission (those a workspace starts with; else `other`).",
            ["permission", "result"],
            registry=registry,
        )
        looks = Counter(
            "hubbub_authz_cache_total",
            "Facts looked up: in the cache, loaded, or old because the database did not answer.",
            ["result"],
            registry=registry,
        )
        self._looks: dict[Found, Callable[[], None]] = {
            "hit": looks.labels("hit").inc,
            "miss": looks.labels("miss").inc,
            "stale": looks.labels("stale").inc,
        }
        self._entries = Gauge(
            "hubbub_authz_cache_entries", "Facts in the caches.", registry=registry
        )
        self._invalidations = Counter(
            "hubbub_authz_invalidations_total",
            "Events that made the caches forget something.",
            ["event"],
            registry=registry,
        )
        self._lag = Histogram(
            "hubbub_authz_invalidation_lag_seconds",
            "From the commit of a change until the caches forgot what it made untrue; by two"
            " clocks, and never less than 0.",
            buckets=FAST,
            registry=registry,
        )

    def decided(self, permission: str, *, allowed: bool) -> None:
        """Count one decision."""
        name = permission if permission in _NAMES else "other"
        self._decisions.labels(name, "allowed" if allowed else "denied").inc()

    def looked(self, found: Found) -> None:
        """Count one fact looked up."""
        self._looks[found]()

    def count_entries(self, count: Callable[[], int]) -> None:
        """Ask `count` for the number of facts whenever somebody reads the metrics."""
        self._entries.set_function(count)

    def invalidated(self, event: CacheEvent) -> None:
        """Count an event; the caches have just forgotten what it is about."""
        self._invalidations.labels(event.event_name).inc()
        if event.committed is not None:
            self._lag.observe(max(0.0, time.time() - event.committed / 1000))
