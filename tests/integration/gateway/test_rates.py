"""Calls that several gateways count together, in a real database."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from hubbub.mongo import Database
from services.gateway.migration import expand
from services.gateway.rest.rate_limit import RateLimit, RateRule
from services.gateway.service import serving
from services.gateway.settings import GatewaySettings
from services.gateway.store.rates import MongoRateStore
from tests.integration.gateway.conftest import Site, running
from tests.waiting import eventually

pytestmark = pytest.mark.integration

PATIENCE = 20.0
"""Seconds; many first calls open many connections, and a busy machine takes its time."""


async def test_a_window_is_counted_and_ends(database: Database) -> None:
    """By the database's clock."""
    store = MongoRateStore(database, PATIENCE)
    await store.prepare()
    first = await store.count("a", "e", 0.3)
    second = await store.count("a", "e", 0.3)
    other = await store.count("b", "e", 0.3)

    assert (first[0], second[0], other[0]) == (1, 2, 1)
    assert 0 < second[1] <= first[1] <= 0.3

    async def anew() -> bool:
        return (await store.count("a", "e", 0.3))[0] == 1

    await eventually(anew, within=5.0)


async def test_many_first_calls_at_once(database: Database) -> None:
    """Each is counted once, whoever opens the window."""
    store = MongoRateStore(database, PATIENCE)
    await store.prepare()
    counted = await asyncio.gather(*(store.count("a", "e", 60.0) for _ in range(20)))

    assert sorted(calls for calls, _ in counted) == list(range(1, 21))


async def test_four_gateways_hold_one_limit(database: Database) -> None:
    """However the calls are spread, at the same moment or not: within a fifth of the limit."""
    store = MongoRateStore(database, PATIENCE)
    await store.prepare()
    limits = [RateLimit(entries=100, counters=store) for _ in range(4)]
    rule = RateRule(10, 60.0)
    verdicts = await asyncio.gather(*(limits[n % 4].count("a", "e", rule) for n in range(80)))

    assert sum(not verdict.refused for verdict in verdicts) == 10
    assert not (await limits[0].count("b", "e", rule)).refused


async def test_two_gateways_answer_alike(database: Database) -> None:
    """A call to one leaves fewer at the other."""
    await expand(database)
    async with running(rate_limit=True) as first:
        settings = GatewaySettings(port=0, rate_limit=True)
        async with (
            serving(first.bus, settings, CollectorRegistry(), database=database) as one,
            serving(first.bus, settings, CollectorRegistry(), database=database) as two,
        ):
            statuses = [await _status(first, gateway.port) for gateway in (one, two) * 6]

    assert statuses == [200] * 10 + [429] * 2


async def _status(site: Site, port: int) -> int:
    async with site.session.get(f"http://127.0.0.1:{port}/api/info") as response:
        return response.status
