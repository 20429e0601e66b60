"""NATS's service protocol, read by us and by nats-py's own classes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from nats.micro.service import ServiceInfo as ReferenceInfo
from nats.micro.service import ServicePing as ReferencePing
from nats.micro.service import ServiceStats as ReferenceStats

from hubbub.bus import NatsBus
from hubbub.bus.discovery import semantic_version, services
from hubbub.errors import NotFound
from tests.integration.bus.conftest import MakeBus
from tests.unit.bus.shop import Shop, ShopService

pytestmark = pytest.mark.integration

WAIT = 0.3  # seconds


@pytest.fixture
async def buses(make_bus: MakeBus) -> list[NatsBus]:
    """Two instances of the shop, and somebody who asks."""
    buses = [await make_bus("shop"), await make_bus("shop"), await make_bus("asking")]
    for bus in buses[:2]:
        await bus.serve(ShopService())
    return buses


async def test_services_are_found(buses: list[NatsBus]) -> None:
    """With version, methods, policies, documentation and figures."""
    first, second, asking = buses
    shop = asking.proxy(Shop, to=first.instance)
    for _ in range(10):
        await shop.price("tea")
    with pytest.raises(NotFound):
        await shop.price("nothing")
    found = [one for one in await services(asking.client, WAIT) if one.name == "shop"]

    assert {one.instance for one in found} == {first.instance, second.instance}
    (mine,) = [one for one in found if one.instance == first.instance]
    assert mine.description == "Sells things. For tests."
    assert mine.metadata["process"] == "shop"
    assert mine.started is not None
    assert timedelta(0) <= datetime.now(UTC) - mine.started < timedelta(minutes=2)
    price = {endpoint.name: endpoint for endpoint in mine.endpoints}["price"]
    assert price.subject == "hubbub.v1.rpc.shop.price"
    assert price.metadata == {
        "signature": "(item: str, amount: int = 1) -> int",
        "doc": "What `amount` of `item` cost.",
        "idempotent": "true",
        "timeout": "5",
        "attempts": "5",
        "running": "256",
        "waiting": "1024",
    }
    assert (price.requests, price.errors, price.last_error) == (11, 1, "error-no-thing")
    assert price.average_seconds > 0
    assert 0 < price.data["p99"] < 5


async def test_one_service_can_be_asked_for(buses: list[NatsBus]) -> None:
    """By name; nobody else answers."""
    assert {one.name for one in await services(buses[2].client, WAIT, name="shop")} == {"shop"}
    assert await services(buses[2].client, 0.1, name="nobody") == []


async def test_other_tools_understand_the_answers(buses: list[NatsBus]) -> None:
    """nats-py's own reader of the protocol takes them."""
    client = buses[2].client
    instance = buses[0].instance

    async def ask(verb: str) -> dict[str, object]:
        answer = await client.request(f"$SRV.{verb}.shop.{instance}", b"", timeout=5)
        decoded: dict[str, object] = json.loads(answer.data)
        return decoded

    ping = ReferencePing.from_dict(await ask("PING"))
    info = ReferenceInfo.from_dict(await ask("INFO"))
    stats = ReferenceStats.from_dict(await ask("STATS"))

    assert ping.id == info.id == stats.id == instance
    assert ping.type == "io.nats.micro.v1.ping_response"
    assert info.type == "io.nats.micro.v1.info_response"
    assert stats.type == "io.nats.micro.v1.stats_response"
    assert {endpoint.name for endpoint in info.endpoints} == set(Shop.contract_actions)
    assert {endpoint.queue_group for endpoint in stats.endpoints} == {"shop"}


async def test_a_draining_instance_hides(buses: list[NatsBus]) -> None:
    """It takes no more calls."""
    await buses[0].drain()

    found = await services(buses[2].client, WAIT, name="shop")
    assert [one.instance for one in found] == [buses[1].instance]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0", "0.1.0"),
        ("1.2.3.dev4+g12", "1.2.3-dev4-g12"),
        ("1.2.3rc1", "1.2.3-rc1"),
        ("2026.1", "0.0.0"),
        ("01.2.3", "1.2.3"),
    ],
)
def test_versions_are_semantic(version: str, expected: str) -> None:
    """As the protocol demands."""
    assert semantic_version(version) == expected
