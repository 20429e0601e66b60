"""Meters of the messaging service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

from hubbub.telemetry.metrics import SLOW

Stage = Literal["validate", "authorize", "apps", "persist"]
Verdict = Literal["allowed", "changed", "refused", "skipped"]
"""What became of asking the apps; `skipped`: none answered in time, or with what cannot be sent."""


class DoorMetrics:
    """How long clients wait for what they asked."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        sending = Histogram(
            "hubbub_message_send_duration_seconds",
            "How long each stage of a send took, refused ones included: judging the message,"
            " judging its author, asking apps where one wants to be asked, and storing it.",
            ["stage"],
            buckets=SLOW,
            registry=registry,
        )
        self._sending = {stage: sending.labels(stage) for stage in get_args(Stage)}
        self._searching = Histogram(
            "hubbub_search_duration_seconds",
            "How long searches in messages took, failed ones included.",
            buckets=SLOW,
            registry=registry,
        )

    @contextmanager
    def sending(self, stage: Stage) -> Iterator[None]:
        """Measure the block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._sending[stage].observe(time.perf_counter() - begun)

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Measure the block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._searching.observe(time.perf_counter() - begun)


class HookMetrics:
    """What apps think of messages."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        asked = Counter(
            "hubbub_messaging_hooks_total",
            "Messages about which apps were asked before they were stored, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self._asked = {outcome: asked.labels(outcome) for outcome in get_args(Verdict)}

    def asked(self, outcome: Verdict) -> None:
        """Count a message."""
        self._asked[outcome].inc()


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
