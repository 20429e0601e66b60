"""What the operator tells about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.telemetry.metrics import SLOW

Outcome = Literal["ok", "gone", "waiting", "error", "timeout"]
DrainOutcome = Literal["started", "finished", "timed_out", "cancelled"]


class OperatorMetrics:
    """The meters of one operator process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reconciles = Counter(
            "hubbub_operator_reconciles_total",
            "Passes over one object, by how they ended.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._duration = Histogram(
            "hubbub_operator_reconcile_duration_seconds",
            "How long one pass over one object took.",
            ["kind"],
            buckets=SLOW,
            registry=registry,
        )
        self._watch_age = Gauge(
            "hubbub_operator_watch_age_seconds",
            "Seconds since the API server said something on the watch of this kind.",
            ["kind"],
            registry=registry,
        )
        self.annotations = Counter(
            "hubbub_operator_pod_annotations_total",
            "Deletion costs that were written to pods.",
            registry=registry,
        )
        self._drains = Counter(
            "hubbub_operator_drains_total",
            "Drains of streamers for a scale-in, by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self.shed = Counter(
            "hubbub_operator_shed_connections_total",
            "Connections that streamers closed to even out a pool.",
            registry=registry,
        )
        self._imbalances: dict[str, float] = {}
        Gauge(
            "hubbub_operator_imbalance_ratio",
            "Connections of the fullest streamer over the mean, of the most uneven pool.",
            registry=registry,
        ).set_function(lambda: max(self._imbalances.values(), default=1.0))

    def reconciled(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """Count one pass."""
        self._reconciles.labels(kind, outcome).inc()
        self._duration.labels(kind).observe(seconds)

    def watch_age(self, kind: str, age: Callable[[], float]) -> None:
        """Show what `age` gives whenever somebody asks; safe from another thread."""
        self._watch_age.labels(kind).set_function(age)

    def drain(self, outcome: DrainOutcome) -> None:
        """Count one drain."""
        self._drains.labels(outcome).inc()

    def imbalance(self, pool: str, ratio: float | None) -> None:
        """Remember how uneven `pool` is; None forgets it."""
        if ratio is None:
            self._imbalances.pop(pool, None)
        else:
            self._imbalances[pool] = ratio
