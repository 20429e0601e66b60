"""Meters of the messaging service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class FunnelMetrics:
    """How sends flow into rooms."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.batches = Histogram(
            "hubbub_messaging_batch_messages",
            "Messages that one transaction stored.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.refused = Counter(
            "hubbub_messaging_sends_refused_total",
            "Sends refused at once because their room had too many waiting.",
            registry=registry,
        )
        self.unknown = Counter(
            "hubbub_messaging_sends_unknown_total",
            "Sends whose commit was not confirmed in time.",
            registry=registry,
        )
        self.repeats = Counter(
            "hubbub_messaging_sends_repeated_total",
            "Sends of a message that was stored before.",
            registry=registry,
        )


class EffectMetrics:
    """How counters follow messages."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.applied = Counter(
            "hubbub_messaging_effects_total",
            "Messages whose unread counters were written.",
            registry=registry,
        )
        self.failed = Counter(
            "hubbub_messaging_effects_failed_total",
            "Attempts to write unread counters that failed and are repeated.",
            registry=registry,
        )
        self.repaired = Counter(
            "hubbub_messaging_effects_repaired_total",
            "Rooms whose unread counters another process had left undone.",
            registry=registry,
        )
        self.delay = Histogram(
            "hubbub_messaging_effects_delay_seconds",
            "From a commit until its unread counters are written.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
