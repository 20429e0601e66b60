"""Metrics of every process, and the bucket sets that all histograms use."""

from __future__ import annotations

import asyncio
import platform
import re
from collections import Counter as Counting
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from hubbub.telemetry.labels import OTHER, Allotment
from hubbub.telemetry.version import revision, version

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: delivery, calls between services."""
SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: REST, jobs, drains."""
SIZE = (64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)
"""Bytes."""
FAN = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
"""Recipients, or events of a batch."""

UpState = Literal["starting", "serving", "draining", "closed", "degraded"]
_STATES: tuple[UpState, ...] = ("starting", "serving", "draining", "closed", "degraded")

_KINDS: Final = 30
"""Kinds of tasks that are shown by name."""
_KIND = re.compile(r"[a-z]+(?:[-_][a-z]+)*")
"""The first word of a task's name is its kind: what follows is whose it is. Tasks that got no
name in the code are called `Task-123`, and are `other`."""


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
        self._kinds = Allotment(_KINDS)
        self.tasks = LiveTasks(registry, self._kinds)
        self._task_failures = Counter(
            "hubbub_task_failures_total",
            "Background tasks that ended with an error of their own.",
            ["kind"],
            registry=registry,
        )
        self.set_state("starting")

    def set_state(self, state: UpState) -> None:
        """Show `state` as the current one."""
        for name, gauge in self._states.items():
            gauge.set(name == state)

    def watch_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count the tasks of `loop` whenever somebody asks; safe from another thread."""
        self.tasks.find = lambda: asyncio.all_tasks(loop)

    def task_failed(self, name: str) -> None:
        """Count a task of this name that failed, while the process goes on."""
        self._task_failures.labels(kind_of(name, self._kinds)).inc()


class LiveTasks(Collector):
    """The tasks of the event loop by kind, counted whenever somebody asks."""

    def __init__(self, registry: CollectorRegistry, kinds: Allotment) -> None:
        self._kinds = kinds
        self.find: Callable[[], Iterable[asyncio.Task[Any]]] = lambda: ()
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [GaugeMetricFamily("hubbub_tasks", "Live asyncio tasks.", labels=["kind"])]

    def collect(self) -> Iterable[Metric]:
        """Called by Prometheus, possibly from another thread."""
        family = GaugeMetricFamily("hubbub_tasks", "Live asyncio tasks.", labels=["kind"])
        counts = Counting(kind_of(task.get_name(), self._kinds) for task in self.find())
        for kind, count in sorted(counts.items()):
            family.add_metric([kind], count)
        return [family]


def kind_of(name: str, kinds: Allotment) -> str:
    """The kind of the tasks that are called `name`."""
    kind = name.partition(" ")[0]
    return kind if _KIND.fullmatch(kind) and kinds.has(kind) else OTHER
