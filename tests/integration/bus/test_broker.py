"""What happens to calls when the NATS server goes away, and comes back."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hubbub.bus import BusSettings, NatsBus
from hubbub.errors import Unavailable
from hubbub.local.programs import free_port
from tests.integration.bus.broker import Broker
from tests.integration.bus.conftest import MakeBus
from tests.unit.bus.shop import Order, Shop, ShopService, Sold
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def callee(make_bus: MakeBus, broker: Broker) -> NatsBus:
    return await make_bus("shop", url=broker.url)


@pytest.fixture
async def service(callee: NatsBus) -> ShopService:
    service = ShopService()
    await callee.serve(service)
    return service


@pytest.fixture
async def caller(make_bus: MakeBus, broker: Broker) -> NatsBus:
    return await make_bus("caller", url=broker.url)


async def back(*buses: NatsBus) -> None:
    for bus in buses:
        await eventually(partial(getattr, bus, "connected"), within=15)


async def test_idempotent_calls_survive_a_restart(
    broker: Broker, caller: NatsBus, callee: NatsBus, service: ShopService
) -> None:
    """Those under way are repeated once the connection is back."""
    shop = caller.proxy(Shop)
    assert await shop.price("tea") == 3
    calls = [asyncio.create_task(shop.narrow(str(n))) for n in range(4)]
    await eventually(lambda: len(service.entered) == 3)  # price, and two at once
    await broker.kill()
    service.release.set()
    await broker.start()

    assert await asyncio.gather(*calls) == ["0", "1", "2", "3"]
    assert caller.metrics.reconnects == 1


async def test_other_calls_fail_at_once(
    broker: Broker, caller: NatsBus, service: ShopService
) -> None:
    """Nobody knows whether they arrived, so the caller must decide."""
    call = asyncio.create_task(caller.proxy(Shop).slow_once(30.0))
    await eventually(lambda: service.entered == ["slow_once"])
    started = time.monotonic()
    await broker.kill()

    with pytest.raises(Unavailable, match="connection was lost"):
        await call
    assert time.monotonic() - started < 20


async def test_calls_begun_without_a_connection_wait_for_it(
    broker: Broker, caller: NatsBus, callee: NatsBus, service: ShopService
) -> None:
    """Also those that must not be done twice: they were not sent."""
    await broker.kill()
    await eventually(lambda: not caller.connected)
    call = asyncio.create_task(caller.proxy(Shop).buy(Order(item="tea")))
    await asyncio.sleep(0.3)
    assert not call.done()
    await broker.start()

    assert (await call).note == "sold by shop"
    assert service.entered == ["buy"]


async def test_calls_wait_no_longer_than_their_deadline(broker: Broker, caller: NatsBus) -> None:
    """Then they are `Unavailable`."""
    await broker.kill()
    await eventually(lambda: not caller.connected)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="no connection to NATS"):
        await caller.proxy(Shop).slow(0.0)

    assert 0.9 < time.monotonic() - started < 20


async def test_everything_works_after_the_return(
    broker: Broker, caller: NatsBus, callee: NatsBus, service: ShopService
) -> None:
    """Services, listeners and callbacks; the state is told truthfully."""
    told: list[str] = []
    caller.on_reconnect(lambda: told.append("back"))
    for item in ("a", "b"):
        await broker.kill()
        await eventually(lambda: not caller.connected and not callee.connected)
        await broker.start()
        await back(caller, callee)
        assert await caller.proxy(Shop).price("tea") == 3
        await caller.publish(Sold(item=item))
        await eventually(partial(service.sold.count, item))

    assert service.sold == ["a", "b"]
    assert told == ["back", "back"]
    assert caller.metrics.reconnects == 2


async def test_connecting_waits_for_a_server(broker: Broker) -> None:
    """However long; it complains, but not at every try."""
    await broker.kill()
    bus = NatsBus(
        BusSettings(nats_url=broker.url, nats_reconnect_wait=0.02), service="x", instance="x-1"
    )
    with capture_logs() as logs:
        connecting = asyncio.create_task(bus.connect())
        await asyncio.sleep(0.5)
        assert not connecting.done()
        assert not bus.connected
        await broker.start()
        await asyncio.wait_for(connecting, 10)

    assert bus.connected
    assert [line["event"] for line in logs] == ["nats_trouble", "nats_connected"]
    await bus.close()


async def test_connecting_can_be_given_up(broker: Broker) -> None:
    """A process that is told to stop does not wait for a server."""
    await broker.kill()
    before = len(asyncio.all_tasks())
    bus = NatsBus(BusSettings(nats_url=broker.url), service="x", instance="x-1")
    connecting = asyncio.create_task(bus.connect())
    await asyncio.sleep(0.05)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await bus.close()

    await eventually(lambda: len(asyncio.all_tasks()) == before)


async def test_closing_and_draining_without_a_server(
    broker: Broker, caller: NatsBus, callee: NatsBus, service: ShopService
) -> None:
    """A process ends in good time when NATS is away."""
    await broker.kill()
    await eventually(lambda: not callee.connected)
    started = time.monotonic()
    await callee.drain()
    await callee.close()
    await caller.close()

    assert time.monotonic() - started < 20


async def test_a_lame_duck_is_left(broker: Broker, caller: NatsBus, callee: NatsBus) -> None:
    """The server says that it will end; the client goes on its own, and comes back to whoever
    listens."""
    await callee.serve(ShopService())
    assert await caller.proxy(Shop).price("tea") == 3
    caller._link._random = lambda: 0.0
    callee._link._random = lambda: 0.0
    await broker.lame_duck()
    await eventually(lambda: caller.metrics.lame_ducks == 1, within=15)
    await eventually(lambda: not caller.connected, within=15)
    await broker.kill()
    await broker.start()
    await back(caller, callee)

    assert await caller.proxy(Shop).price("tea") == 3


async def test_the_server_that_was_left_is_tried_last(
    broker: Broker, make_bus: MakeBus, tmp_path: Path
) -> None:
    """It ends or stands still; trying it takes as long as a try may."""
    (tmp_path / "other").mkdir()
    other = Broker(tmp_path / "other", free_port())
    await other.start()
    try:
        bus = await make_bus("caller", url=f"{broker.url},{other.url}")
        servers = [bus._link._server()]
        for times in range(1, 6):
            await bus.client.force_reconnect()
            await eventually(partial(reconnected, bus, times), within=15)
            servers.append(bus._link._server())
    finally:
        await other.kill()

    assert all(one != following for one, following in pairwise(servers))


def reconnected(bus: NatsBus, times: int) -> bool:
    return bus.connected and bus.metrics.reconnects == times


async def test_complaints_of_the_server_do_not_close_for_good(
    broker: Broker, caller: NatsBus, callee: NatsBus, service: ShopService
) -> None:
    """nats-py gives up on most of them; a service must not."""
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    # A subject that the server refuses: it answers -ERR and, for this one, stays.
    caller.client._pending.append(b"SUB bad..subject 99999\r\n")
    caller.client._pending_data_size += 24
    await caller.client.flush()
    await back(caller)

    assert await asyncio.wait_for(caller.proxy(Shop).price("tea"), 10) == 3


async def test_what_waits_to_be_sent_is_bounded(broker: Broker, make_bus: MakeBus) -> None:
    """Beyond the limit events are refused instead of filling the memory."""
    bus = await make_bus("caller", url=broker.url, nats_pending_bytes=10_000)
    await bus.publish(Sold(item="known to be listened to by nobody durably"))
    await broker.kill()
    await eventually(lambda: not bus.connected)

    results = [
        await asyncio.gather(bus.publish(Sold(item="x" * 1000)), return_exceptions=True)
        for _ in range(20)
    ]
    refused = [result for (result,) in results if isinstance(result, Unavailable)]
    assert 10 < len(refused) < 15
    assert "wait to be sent" in refused[0].reason
    assert bus.client.pending_data_size <= 10_000
