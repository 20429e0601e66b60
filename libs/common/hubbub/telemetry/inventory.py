"""Every metric that Hubbub's processes can show, read from the code; nothing is started.

For documentation, and for checking expressions of dashboards and alerts against what there is:

    known = sample_labels()
    known["hubbub_rpc_client_requests_total"]     frozenset({"service", "method", "outcome"})
    known["hubbub_event_loop_lag_seconds_bucket"] frozenset({"le"})

The Prometheus client tells neither the labels nor the buckets of a meter without samples: they
are read from where it keeps them, and a test notices if that place changes.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata, util
from types import ModuleType
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from hubbub.telemetry.metrics import new_registry

EVERY_PROCESS: Final = "every process"
WITH_DATABASE: Final = "every process with a database"

_COMMON: Final = (
    (EVERY_PROCESS, "hubbub.telemetry.metrics"),
    (EVERY_PROCESS, "hubbub.bus.metrics"),
    (WITH_DATABASE, "hubbub.mongo"),
    ("front-door", "hubbub.local.door.metrics"),
)
_SAMPLES: Final = {
    "counter": (("", ()),),
    "gauge": (("", ()),),
    "histogram": (("_bucket", ("le",)), ("_sum", ()), ("_count", ())),
}


@dataclass(frozen=True, slots=True)
class Described:
    """One metric."""

    service: str
    """Whose it is: a service, `EVERY_PROCESS` or `WITH_DATABASE`."""
    name: str
    """As it is exposed: that of a counter ends in `_total`."""
    type: str
    """`counter`, `gauge` or `histogram`."""
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    """Upper bounds, without infinity; empty if it is no histogram."""
    help: str


def described() -> list[Described]:
    """Every metric of every installed service and of the library, by service and name."""
    found: list[Described] = list(_of(EVERY_PROCESS, new_registry()))
    for service, module in (*_COMMON, *_service_modules()):
        found += _of(service, registry_of(import_module(module)))
    order = [EVERY_PROCESS, WITH_DATABASE]
    return sorted(
        found,
        key=lambda one: (
            order.index(one.service) if one.service in order else len(order),
            one.service,
            one.name,
        ),
    )


def sample_labels() -> dict[str, frozenset[str]]:
    """Every series name that can appear (`…_bucket`, `…_sum`, `…_count` of histograms) and the
    names of its labels, without those that Prometheus adds when it scrapes."""
    labels: dict[str, frozenset[str]] = {}
    for one in described():
        for suffix, more in _SAMPLES[one.type]:
            name = one.name + suffix
            labels[name] = labels.get(name, frozenset()) | {*one.labels, *more}
    return labels


def registry_of(module: ModuleType) -> CollectorRegistry:
    """A fresh registry with the meters that `module` defines: its classes called `…Metrics`."""
    registry = CollectorRegistry(auto_describe=True)
    for name, made in sorted(vars(module).items()):
        if not inspect.isclass(made) or not name.endswith("Metrics"):
            continue
        if made.__module__ == module.__name__:
            make: Callable[..., object] = made
            wants_component = "component" in inspect.signature(made).parameters
            make(registry, **({"component": "any"} if wants_component else {}))
    return registry


def _service_modules() -> Iterator[tuple[str, str]]:
    """The `metrics` module beside each service's entry point."""
    for entry in sorted(metadata.entry_points(group="hubbub.services"), key=lambda one: one.name):
        module = f"{entry.module.rpartition('.')[0]}.metrics"
        if util.find_spec(module) is not None:
            yield entry.name, module


def _of(service: str, registry: CollectorRegistry) -> Iterator[Described]:
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            yield _of_meter(service, collector)
        else:
            yield from _of_families(service, collector)


def _of_meter(service: str, meter: MetricWrapperBase) -> Described:
    [family] = meter.describe()
    bounds: Any = ()
    if family.type == "histogram":
        bounds = meter._kwargs.get("buckets") or getattr(meter, "_upper_bounds", ())
    return Described(
        service=service,
        name=_exposed(family),
        type=family.type,
        labels=tuple(meter._labelnames),
        buckets=_finite(bounds),
        help=family.documentation,
    )


def _of_families(service: str, collector: Collector) -> Iterator[Described]:
    describe = getattr(collector, "describe", collector.collect)
    for family in describe():
        is_histogram = family.type == "histogram"
        yield Described(
            service=service,
            name=_exposed(family),
            type=family.type,
            labels=_labels(family),
            buckets=_finite(getattr(collector, "bounds", ())) if is_histogram else (),
            help=family.documentation,
        )


def _labels(family: Metric) -> tuple[str, ...]:
    declared: Any = getattr(family, "_labelnames", ())
    shown = {label for sample in family.samples for label in sample.labels}
    return tuple(declared) or tuple(sorted(shown))


def _exposed(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _finite(bounds: Iterable[float]) -> tuple[float, ...]:
    return tuple(bound for bound in bounds if bound != float("inf"))
