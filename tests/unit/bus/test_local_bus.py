"""The promises of the bus, kept in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from hubbub.bus import BusSettings, CallContext, LocalBus, call_context, current_call
from hubbub.bus.caller import NobodyAnswers
from hubbub.bus.context import set_current_call
from hubbub.clock import FakeClock
from hubbub.contracts.base import Contract, action
from hubbub.errors import (
    Internal,
    Invalid,
    NotAllowed,
    NotFound,
    Timeout,
    TooLarge,
    Unavailable,
)
from tests.unit.bus.shop import Order, Shop, ShopService, SoldOut
from tests.waiting import eventually


class NewerOrder(Order):
    """What a later version of the shop takes."""

    gift: bool = False


class NewerShop(Contract, Protocol, name="shop"):
    """A later version of the contract."""

    @action()
    async def buy(self, order: NewerOrder) -> NewerOrder: ...


class NewerService(NewerShop):
    """A later version of the service."""

    async def buy(self, order: NewerOrder) -> NewerOrder:
        return order.model_copy(update={"note": "newer"})


@pytest.fixture(params=[True, False], ids=["coded", "uncoded"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[LocalBus]:
    bus = LocalBus(registry=CollectorRegistry(), coding=request.param)
    yield bus
    await bus.close()


@pytest.fixture
async def service(bus: LocalBus) -> ShopService:
    service = ShopService()
    await bus.serve(service)
    return service


@pytest.fixture
def shop(bus: LocalBus, service: ShopService) -> Shop:
    return bus.proxy(Shop)


async def test_arguments_by_place_and_by_name(shop: Shop) -> None:
    """A proxy is called like the object it stands for."""
    assert await shop.price("tea") == 3
    assert await shop.price("tea", 2) == 6
    assert await shop.price(amount=3, item="tea") == 9


async def test_values_of_all_kinds_travel(shop: Shop) -> None:
    """Models, moments, bytes, nothing."""
    assert await shop.buy(Order(item="tea")) == Order(item="tea", note="sold by shop")
    assert await shop.opened() == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert await shop.blob(b"\xff\x00\x01") == b"\x01\x00\xff"


async def test_errors_arrive_as_themselves(shop: Shop) -> None:
    """Type, code and details."""
    with pytest.raises(NotFound) as missing:
        await shop.price("nothing")
    with pytest.raises(SoldOut) as sold_out:
        await shop.buy(Order(item="gold"))

    assert (missing.value.code, missing.value.details) == ("error-no-thing", {"item": "nothing"})
    assert sold_out.value.code == "error-sold-out"


async def test_wrong_arguments_do_not_reach_the_method(shop: Shop, service: ShopService) -> None:
    """They are `Invalid`, with the list of fields."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"item": 5}, "item"),
        ({}, "item"),
        ({"item": "a", "colour": "red"}, "colour"),
    ]
    for arguments, path in wrong:
        with pytest.raises(Invalid) as caught:
            await shop.price(**arguments)
        assert caught.value.details["fields"][0]["path"] == path

    assert service.entered == []


async def test_a_defect_is_logged_and_hidden(shop: Shop) -> None:
    """The caller learns an id that stands in the log, and nothing else."""
    with capture_logs() as logs, pytest.raises(Internal) as caught:
        await shop.broken()

    (line,) = [line for line in logs if line["event"] == "call_failed"]
    assert line["error_id"] == caught.value.error_id
    assert (caught.value.reason, caught.value.details) == ("", {})


async def test_a_broken_promise_is_a_defect(shop: Shop) -> None:
    """A result that the contract does not promise is never sent."""
    with capture_logs() as logs, pytest.raises(Internal):
        await shop.wrong()

    assert [line["err_type"] for line in logs] == ["BrokenPromise"]


async def test_nobody_serves(bus: LocalBus) -> None:
    """After two seconds of offering."""
    clock = FakeClock()
    lonely = LocalBus(clock=clock, random=lambda: 1.0)

    with pytest.raises(NobodyAnswers, match="shop: nobody answers"):
        await lonely.proxy(Shop).price("tea")
    assert 1.0 < sum(clock.pauses) <= 2.0


async def test_a_service_that_appears_is_found(bus: LocalBus) -> None:
    """The order in which services start does not matter."""
    call = asyncio.create_task(bus.proxy(Shop).price("tea"))
    await asyncio.sleep(0.05)
    await bus.serve(ShopService())

    assert await call == 3


async def test_an_unknown_method_is_not_found(bus: LocalBus, service: ShopService) -> None:
    """A newer caller learns that this instance does not have it yet."""

    class NewerShop(Contract, Protocol, name="shop"):
        @action()
        async def insure(self, item: str) -> None: ...

    with pytest.raises(NotFound, match=r"unknown method shop\.insure"):
        await bus.proxy(NewerShop).insure("tea")


async def test_two_versions_answer_side_by_side() -> None:
    """What one adds, the other ignores."""
    newer = LocalBus()
    await newer.serve(NewerService())
    await newer.serve(ShopService("older"))
    proxies = newer.proxy(NewerShop), newer.proxy(Shop)
    notes = {(await proxies[n % 2].buy(NewerOrder(item="tea", gift=True))).note for n in range(8)}

    assert notes == {"newer", "sold by older"}
    await newer.close()


async def test_instances_take_turns(bus: LocalBus, service: ShopService) -> None:
    """Two objects of one contract share the calls."""
    other = ShopService("other")
    await bus.serve(other)
    shop = bus.proxy(Shop)

    assert {await shop.context() for _ in range(4)} == {"shop", "other"}


async def test_one_instance_can_be_named(bus: LocalBus, service: ShopService) -> None:
    """By the bus's own name; others are not there."""
    assert await bus.proxy(Shop, to="local-1").price("tea") == 3
    with pytest.raises(Unavailable):
        await bus.call_raw("shop", "price", b'{"item":"tea"}', to="local-2", timeout=0.1)


async def test_the_work_ends_with_its_deadline(shop: Shop, service: ShopService) -> None:
    """The caller is released, the method is stopped."""
    soon = asyncio.get_running_loop().time() + 0.15
    with pytest.raises(Timeout), call_context(deadline=soon):
        await shop.slow_once(5.0)

    await eventually(lambda: service.cancelled == ["slow_once"])


async def test_what_a_library_makes_of_a_cut_is_no_defect(bus: LocalBus) -> None:
    """Some raise another error when they are cancelled at the wrong moment."""
    ended = asyncio.Event()

    class Clumsy(ShopService):
        async def slow_once(self, seconds: float) -> str:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                ended.set()
                raise RuntimeError("Lock is not acquired") from None
            return "done"

    await bus.serve(Clumsy())
    soon = asyncio.get_running_loop().time() + 0.1
    with capture_logs() as logs:
        with pytest.raises(Timeout), call_context(deadline=soon):
            await bus.proxy(Shop).slow_once(5.0)
        async with asyncio.timeout(5):
            await ended.wait()
        await bus.settled()
    assert [entry for entry in logs if entry["event"] == "call_failed"] == []


async def test_a_shorter_limit_of_the_callee_is_told(service: ShopService) -> None:
    """The caller hears `Timeout` instead of waiting for its own."""
    bus = LocalBus(BusSettings(overrides={"SHOP_SLOW_ONCE_TIMEOUT": 0.05}))
    await bus.serve(service)
    patient = LocalBus(BusSettings(overrides={}))
    patient._callees = bus._callees
    bus._replies, patient._replies = patient._replies, bus._replies

    with pytest.raises(Timeout):
        await bus.proxy(Shop).slow_once(5.0)
    await eventually(lambda: service.cancelled == ["slow_once"])


async def test_a_cancelled_caller_does_not_stop_the_callee(
    bus: LocalBus, shop: Shop, service: ShopService
) -> None:
    """Nothing is left behind, and the work goes on."""
    call = asyncio.create_task(shop.slow(0.05))
    await eventually(lambda: service.entered == ["slow"])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert len(bus._replies) == 0
    await eventually(lambda: bus._replies.late == 1)
    assert service.cancelled == []


async def test_too_much_is_shed(bus: LocalBus, shop: Shop, service: ShopService) -> None:
    """Two run, three wait, the rest is refused at once."""
    raw = [
        asyncio.create_task(bus.call_raw("shop", "narrow", b'{"name":"%d"}' % n)) for n in range(9)
    ]
    await eventually(lambda: sum(call.done() for call in raw) == 4)

    assert service.entered == ["0", "1"]
    for call in raw[5:]:
        with pytest.raises(Unavailable, match="overloaded, 2 calls running and 3 waiting"):
            await call
    service.release.set()
    assert await asyncio.gather(*raw[:5]) == [b'"%d"' % n for n in range(5)]


async def test_what_expired_while_it_waited_is_not_begun(
    bus: LocalBus, service: ShopService
) -> None:
    """Nobody would read the answer."""
    raw = [
        asyncio.create_task(bus.call_raw("shop", "narrow", b'{"name":"%d"}' % n, timeout=t))
        for n, t in enumerate([5.0, 5.0, 0.05])
    ]
    with pytest.raises(Timeout):
        await raw[2]
    service.release.set()
    await asyncio.gather(*raw[:2])

    assert service.entered == ["0", "1"]
    assert bus.metrics.server("shop", "narrow").outcomes["expired"] == 1


async def test_ten_thousand_calls_at_once(bus: LocalBus, shop: Shop) -> None:
    """Places and queue are bounded, the rest is refused, nothing hangs."""
    results = await asyncio.gather(
        *(shop.slow_once(0.001) for _ in range(10_000)), return_exceptions=True
    )

    answered = results.count("shop")
    refused = [result for result in results if isinstance(result, Unavailable | Timeout)]
    assert answered >= 256
    assert answered + len(refused) == 10_000
    assert bus.metrics.server("shop", "slow_once").outcomes["shed"] > 0
    assert len(bus._replies) == 0


async def test_too_large_fails_before_sending() -> None:
    """Both sizes are named, of requests and of answers."""
    bus = LocalBus(max_payload=1000)
    service = ShopService()
    await bus.serve(service)
    shop = bus.proxy(Shop)

    with pytest.raises(TooLarge, match="the request has 2011 bytes, 1000 are allowed"):
        await shop.price("x" * 2000)
    assert service.entered == []
    with pytest.raises(TooLarge, match=r"shop\.size: the answer: 2009 bytes, 1000 are allowed"):
        await shop.size(2000)
    assert len(await shop.size(900)) == 900
    await bus.close()


async def test_a_call_carries_its_request(shop: Shop, service: ShopService) -> None:
    """Who asks, for which request, how deep, until when; and nothing else of the caller."""
    with call_context(request_id="r1", user_id="u1"):
        await shop.context()
    await shop.context()

    first, second = service.seen
    assert (first.request_id, first.user_id, first.depth) == ("r1", "u1", 1)
    assert first.caller == "local/local-1"
    assert first.deadline is not None
    assert (second.request_id, second.user_id) == (None, None)
    assert current_call().request_id is None


async def test_nothing_else_of_the_caller_is_seen() -> None:
    """Neither what it knows nor what was known when the service was started."""
    known: ContextVar[str] = ContextVar("known", default="nothing")
    seen: list[str] = []

    class Curious(ShopService):
        async def context(self) -> str:
            seen.append(known.get())
            known.set("by the one before")
            return ""

    bus = LocalBus()
    known.set("at the start")
    await bus.serve(Curious())
    known.set("by the caller")
    await bus.proxy(Shop).context()
    await bus.proxy(Shop).context()

    assert seen == ["nothing", "nothing"]
    await bus.close()


async def test_a_request_too_deep_is_refused(bus: LocalBus, service: ShopService) -> None:
    """Also when its caller does not look."""
    set_current_call(CallContext(depth=16))
    with pytest.raises(NotAllowed, match="16 calls deep"):
        await bus.call_raw("shop", "price", b'{"item":"tea"}')

    assert service.entered == []


async def test_calls_in_a_circle_end() -> None:
    """With an error that says so."""

    class Circle(Contract, Protocol, name="circle"):
        @action()
        async def around(self) -> int: ...

    bus = LocalBus()

    class CircleService(Circle):
        deepest = 0

        async def around(self) -> int:
            self.deepest = max(self.deepest, current_call().depth)
            return await bus.proxy(Circle).around()

    service = CircleService()
    await bus.serve(service)

    with pytest.raises(NotAllowed, match="16 calls deep"):
        await bus.proxy(Circle).around()
    assert service.deepest == 16
    await bus.close()


async def test_each_hop_has_less_time() -> None:
    """The deadline of what is called inside lies before that of the call itself."""

    class Inner(Contract, Protocol, name="inner"):
        @action(timeout=5.0)
        async def deadline(self) -> float: ...

    class Outer(Contract, Protocol, name="outer"):
        @action(timeout=2.0)
        async def deadlines(self) -> list[float]: ...

    bus = LocalBus()

    class Both(Inner, Outer):
        async def deadline(self) -> float:
            return current_call().deadline or 0.0

        async def deadlines(self) -> list[float]:
            return [current_call().deadline or 0.0, await bus.proxy(Inner).deadline()]

    await bus.serve(Both())
    outer, inner = await bus.proxy(Outer).deadlines()

    assert outer - inner == pytest.approx(0.01, abs=0.005)
    await bus.close()


async def test_drain_finishes_what_runs(bus: LocalBus, shop: Shop, service: ShopService) -> None:
    """Calls at hand are answered, waiting ones too; new ones find nobody."""
    raw = [
        asyncio.create_task(bus.call_raw("shop", "narrow", b'{"name":"%d"}' % n)) for n in range(4)
    ]
    await eventually(lambda: len(service.entered) == 2)
    draining = asyncio.create_task(bus.drain())
    await asyncio.sleep(0)
    with pytest.raises(NobodyAnswers):
        await bus.call_raw("shop", "price", b'{"item":"tea"}')
    service.release.set()

    assert await asyncio.gather(*raw) == [b'"0"', b'"1"', b'"2"', b'"3"']
    await draining


async def test_drain_does_not_wait_for_ever(service: ShopService) -> None:
    """What takes longer is stopped and answered `Unavailable`."""
    bus = LocalBus(BusSettings(drain_timeout=0.05))
    await bus.serve(service)
    call = asyncio.create_task(bus.call_raw("shop", "slow_once", b'{"seconds":30}'))
    waiting = [
        asyncio.create_task(bus.call_raw("shop", "narrow", b'{"name":"%d"}' % n)) for n in range(4)
    ]
    await eventually(lambda: len(service.entered) == 3)
    await bus.drain()

    for task in (call, *waiting):
        with pytest.raises(Unavailable, match="going away"):
            await task
    assert service.cancelled == ["slow_once"]
    await bus.close()


async def test_close_leaves_no_task(service: ShopService) -> None:
    """Callers that still wait get `Unavailable`."""
    before = asyncio.all_tasks()
    bus = LocalBus()
    await bus.serve(service)
    call = asyncio.create_task(bus.proxy(Shop).slow_once(30))
    await asyncio.sleep(0)  # not even the method's first step was taken
    await bus.close()

    with pytest.raises(Unavailable):
        await call
    assert asyncio.all_tasks() == before
    assert bus.metrics.server("shop", "slow_once").running() == 0
    assert bus.metrics.server("shop", "slow_once").requests == 1


async def test_half_a_service_is_refused(bus: LocalBus) -> None:
    """When it is served, not when it is called."""

    class Half(Shop):
        pass

    with pytest.raises(TypeError, match=r"Half does not implement shop\.\w+"):
        await bus.serve(Half())  # type: ignore[abstract]  # mypy sees it, too
    with pytest.raises(TypeError, match="implements no contract"):
        await bus.serve(object())


async def test_a_proxy_knows_its_actions(shop: Shop) -> None:
    """Anything else is an AttributeError with the contract's name."""
    with pytest.raises(AttributeError, match="Shop has no action 'sell'"):
        shop.sell()  # type: ignore[attr-defined]
    assert repr(shop) == "<proxy of Shop>"


async def test_raw_calls_speak_json(bus: LocalBus, service: ShopService) -> None:
    """For the command line."""
    assert await bus.call_raw("shop", "price", b'{"item":"tea","amount":2}') == b"6"
    with pytest.raises(Invalid):
        await bus.call_raw("shop", "price", b"{}")
    with pytest.raises(NotFound):
        await bus.call_raw("shop", "nothing", b"{}")
