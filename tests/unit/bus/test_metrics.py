"""What Prometheus sees of the bus."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hubbub.bus import LocalBus
from hubbub.bus.metrics import Durations
from hubbub.errors import Conflict, Internal, Invalid, NotFound
from tests.unit.bus.shop import Order, Shop, ShopService, Sold
from tests.waiting import eventually


async def test_calls_and_events_are_counted() -> None:
    """By outcome, on both sides, under the documented names."""
    registry = CollectorRegistry(auto_describe=True)
    bus = LocalBus(registry=registry)
    await bus.serve(ShopService())
    shop = bus.proxy(Shop)
    await shop.price("tea")
    for call, error in [
        (shop.price("nothing"), NotFound),
        (shop.buy(Order(item="gold")), Conflict),
        (shop.broken(), Internal),
    ]:
        with pytest.raises(error):
            await call
    with pytest.raises(Invalid):
        await bus.call_raw("shop", "price", b"{}")
    with pytest.raises(NotFound):
        await bus.call_raw("shop", "no_such_method", b"{}")
    await bus.publish(Sold(item="a"))
    await bus.settled()

    def value(series: str, **labels: str) -> float | None:
        return registry.get_sample_value(series, labels)

    client, server = "hubbub_rpc_client_requests_total", "hubbub_rpc_server_requests_total"
    assert value(client, service="shop", method="price", outcome="ok") == 1
    assert value(client, service="shop", method="price", outcome="error") == 1
    assert value(client, service="shop", method="broken", outcome="error") == 1
    assert value(server, method="price", outcome="ok") == 1
    assert value(server, method="price", outcome="error") == 1
    assert value(server, method="price", outcome="invalid") == 1
    assert value(server, method="broken", outcome="internal") == 1
    assert value(server, method="other", outcome="error") == 1
    assert value("hubbub_rpc_client_duration_seconds_count", service="shop", method="price") == 2
    assert value("hubbub_rpc_server_duration_seconds_count", method="price") == 3
    assert value("hubbub_rpc_circuit_state", service="shop") == 0
    assert value("hubbub_rpc_client_retries_total", service="shop") == 0
    assert value("hubbub_rpc_server_inflight") == 0
    assert value("hubbub_bus_events_total", name="shop.sold", direction="out", outcome="ok") == 1
    assert value("hubbub_bus_events_total", name="shop.sold", direction="in", outcome="ok") == 1
    await bus.close()


async def test_all_families_are_there() -> None:
    """So that dashboards find them before anything happened; and the text format is valid."""
    registry = CollectorRegistry(auto_describe=True)
    LocalBus(registry=registry)
    text = generate_latest(registry).decode()

    for name in (
        "hubbub_rpc_client_requests_total counter",
        "hubbub_rpc_client_duration_seconds histogram",
        "hubbub_rpc_client_retries_total counter",
        "hubbub_rpc_client_late_total counter",
        "hubbub_rpc_client_duplicates_total counter",
        "hubbub_rpc_circuit_state gauge",
        "hubbub_rpc_server_requests_total counter",
        "hubbub_rpc_server_duration_seconds histogram",
        "hubbub_rpc_server_inflight gauge",
        "hubbub_rpc_server_shed_total counter",
        "hubbub_rpc_server_expired_total counter",
        "hubbub_bus_events_total counter",
        "hubbub_bus_redeliveries_total counter",
        "hubbub_bus_dead_letters_total counter",
        "hubbub_nats_connected gauge",
        "hubbub_nats_reconnects_total counter",
        "hubbub_nats_lame_duck_total counter",
        "hubbub_nats_messages_total counter",
        "hubbub_nats_bytes_total counter",
        "hubbub_nats_pending_bytes gauge",
        "hubbub_nats_slow_consumer_total counter",
    ):
        assert f"# TYPE {name}\n" in text


async def test_two_buses_in_one_registry_are_refused() -> None:
    """Their figures would mix."""
    registry = CollectorRegistry(auto_describe=True)
    LocalBus(registry=registry)

    with pytest.raises(ValueError, match="Duplicated"):
        LocalBus(registry=registry)


async def test_circuit_and_inflight_are_read_when_asked() -> None:
    """They are levels, so they cannot drift."""
    registry = CollectorRegistry(auto_describe=True)
    bus = LocalBus(registry=registry)
    service = ShopService()
    await bus.serve(service)
    call = asyncio.create_task(bus.proxy(Shop).narrow("a"))
    await eventually(lambda: bool(service.entered))

    assert registry.get_sample_value("hubbub_rpc_server_inflight") == 1
    service.release.set()
    await call
    assert registry.get_sample_value("hubbub_rpc_server_inflight") == 0
    await bus.close()


def test_quantiles_lie_in_their_bucket() -> None:
    """As near as the buckets tell."""
    durations = Durations()
    assert durations.quantile(0.99) == 0.0
    for _ in range(99):
        durations.observe(0.002)
    durations.observe(3.0)
    durations.observe(60.0)

    assert 0.001 <= durations.quantile(0.5) <= 0.0025
    assert 2.5 <= durations.quantile(0.99) <= 5.0
    assert durations.quantile(1.0) == 5.0
    assert durations.cumulative()[-1] == ("+Inf", 101)
