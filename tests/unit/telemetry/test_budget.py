"""However many things happen in a process, it shows a bounded number of series."""

from __future__ import annotations

from importlib import metadata

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from hubbub.bus.metrics import BusMetrics
from hubbub.telemetry.labels import BUDGET
from services.gateway.metrics import GatewayMetrics
from tests.unit.telemetry.driving import SERVICES, STRANGE, actions, called, driven


def series(registry: CollectorRegistry) -> int:
    """How many lines a scrape has."""
    return sum(len(family.samples) for family in registry.collect())


def test_every_service_is_driven() -> None:
    services = {entry.name for entry in metadata.entry_points(group="hubbub.services")}

    assert set(SERVICES) == services


@pytest.mark.parametrize("service", SERVICES)
def test_the_budget_holds(service: str) -> None:
    registry = driven(service)

    assert 100 < series(registry) <= BUDGET
    # what was decided stays: another scrape has the same
    assert series(registry) == series(registry)


@pytest.mark.parametrize("service", SERVICES)
def test_labels_are_words_of_ours(service: str) -> None:
    exposed = generate_latest(driven(service)).decode()

    assert "stranger" not in exposed
    assert "Task-" not in exposed
    assert len(STRANGE) > BUDGET


@pytest.mark.parametrize("service", SERVICES)
def test_when_a_series_began_is_no_series(service: str) -> None:
    registry = driven(service)

    assert "_created" not in generate_latest(registry).decode()
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert b"# EOF" in (exposed := encode(registry))
    assert b"_created" not in exposed


def test_nothing_is_lost_when_places_run_out() -> None:
    """What has no series of its own is counted as `other`, and totals stay what they are."""
    registry = driven("gateway")
    total = {
        family.name: sum(s.value for s in family.samples if s.name == f"{family.name}_total")
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        if family.type == "counter"
    }

    assert total["hubbub_rpc_client_requests"] == 6 * len(called("gateway"))
    assert registry.get_sample_value(
        "hubbub_rpc_client_requests_total",
        {"service": "messaging", "method": "other", "outcome": "timeout"},
    )


def test_counters_never_go_back() -> None:
    """An action that was counted by name is, even when many others come between."""
    registry = CollectorRegistry()
    metrics = BusMetrics(registry)
    first = metrics.client("messaging", "send_message")
    first.outcomes["timeout"] = 5
    labels = {"service": "messaging", "method": "send_message", "outcome": "timeout"}
    assert registry.get_sample_value("hubbub_rpc_client_requests_total", labels) == 5
    for service, method in actions():
        metrics.client(service, method).outcomes["error"] += 1
    first.outcomes["timeout"] = 6

    assert registry.get_sample_value("hubbub_rpc_client_requests_total", labels) == 6


def test_routes_share_when_there_are_too_many() -> None:
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    for number in range(1_000):
        metrics.answered(f"/api/v1/{number}", "GET", 200, 0.1)
    name, labels = "hubbub_http_requests_total", {"method": "GET", "code": "200"}

    assert registry.get_sample_value(name, {"route": "/api/v1/0", **labels}) == 1
    assert registry.get_sample_value(name, {"route": "/api/v1/999", **labels}) is None
    other = {"route": "other", "method": "other", "code": "200"}
    assert registry.get_sample_value(name, other) == 780
