"""Metrics of every process, and the bucket sets that all histograms use."""

from __future__ import annotations

import asyncio
import platform
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from hubbub.telemetry.version import revision, version

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: delivery, calls between services."""
SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: REST, jobs, drains."""
SIZE = (64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)
"""Bytes."""
FAN = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
"""Recipients, or events of a batch."""

UpState = Literal["starting", "serving", "draining", "degraded"]
_STATES: tuple[UpState, ...] = ("starting", "serving", "draining", "degraded")


def new_registry() -> CollectorRegistry:
    """A registry with what the interpreter and the operating system know about this process.

    Each process makes exactly one; nothing uses the library's global one, so that several
    services can live in one test.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series per counter would double their number
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class ProcessMetrics:
    """What every process tells about itself."""

    def __init__(self, registry: CollectorRegistry, *, component: str) -> None:
        build = Gauge(
            "hubbub_build_info",
            "Always 1; what runs, to join with.",
            ["version", "revision", "python", "component"],
            registry=registry,
        )
        build.labels(version(), revision(), platform.python_version(), component).set(1)
        state = Gauge(
            "hubbub_up_state",
            "1 for the state this process is in.",
            ["state"],
            registry=registry,
        )
        self._states = {name: state.labels(name) for name in _STATES}
        self.loop_lag = Histogram(
            "hubbub_event_loop_lag_seconds",
            "How late a timer of the event loop ran: the truest sign of saturation.",
            buckets=FAST,
            registry=registry,
        )
        self.dependency_up = Gauge(
            "hubbub_dependency_up",
            "1 when a check of this process passes.",
            ["dependency"],
            registry=registry,
        )
        self.tasks = Gauge("hubbub_tasks", "Live asyncio tasks.", registry=registry)
        self.set_state("starting")

    def set_state(self, state: UpState) -> None:
        """Show `state` as the current one."""
        for name, gauge in self._states.items():
            gauge.set(name == state)

    def watch_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count the tasks of `loop` whenever somebody asks; safe from another thread."""
        self.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
