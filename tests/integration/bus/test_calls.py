"""Calls over a real NATS server."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import pytest
from nats.aio.msg import Msg

from hubbub.bus import NatsBus, call_context
from hubbub.bus.caller import NobodyAnswers
from hubbub.clock import SystemClock
from hubbub.contracts.base import Contract, action
from hubbub.errors import Internal, Invalid, NotFound, Timeout, TooLarge, Unavailable
from tests.integration.bus.conftest import MakeBus
from tests.unit.bus.shop import Order, Shop, ShopService, SoldOut
from tests.waiting import eventually

pytestmark = pytest.mark.integration


class NewerOrder(Order):
    """What a later version takes."""

    gift: bool = False


class NewerShop(Contract, Protocol, name="shop"):
    """A later version."""

    @action()
    async def buy(self, order: NewerOrder) -> NewerOrder: ...

    @action()
    async def insure(self, item: str) -> bool: ...


class NewerService(NewerShop):
    """Keeps the later version."""

    async def buy(self, order: NewerOrder) -> NewerOrder:
        return order.model_copy(update={"note": "newer"})

    async def insure(self, item: str) -> bool:
        return True


@pytest.fixture
async def callee(make_bus: MakeBus) -> NatsBus:
    return await make_bus("shop")


@pytest.fixture
async def service(callee: NatsBus) -> ShopService:
    service = ShopService()
    await callee.serve(service)
    return service


@pytest.fixture
async def caller(make_bus: MakeBus) -> NatsBus:
    return await make_bus("caller")


@pytest.fixture
def shop(caller: NatsBus, service: ShopService) -> Shop:
    return caller.proxy(Shop)


@asynccontextmanager
async def worker(url: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A shop in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.bus.worker", url, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            while b"ready" not in (line := await process.stdout.readline()):
                assert line, "the worker ended"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # Reads the rest, so that no transport is left to the garbage collector.
        await process.communicate()


async def test_values_and_errors_travel(shop: Shop) -> None:
    """As in one process."""
    assert await shop.price("tea", amount=2) == 6
    assert await shop.buy(Order(item="tea")) == Order(item="tea", note="sold by shop")
    assert await shop.opened(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 1, tzinfo=UTC)
    assert await shop.blob(bytes(range(256))) == bytes(reversed(range(256)))
    with pytest.raises(NotFound) as missing:
        await shop.price("nothing")
    assert missing.value.details == {"item": "nothing"}
    with pytest.raises(SoldOut):
        await shop.buy(Order(item="gold"))
    with pytest.raises(Internal) as defect:
        await shop.broken()
    assert defect.value.error_id


async def test_wrong_arguments_do_not_reach_the_method(
    caller: NatsBus, shop: Shop, service: ShopService
) -> None:
    """The callee checks, whoever calls. One argument that it does not know harms nobody."""
    with pytest.raises(Invalid) as caught:
        await shop.price(5)  # type: ignore[arg-type]
    assert [field["path"] for field in caught.value.details["fields"]] == ["item"]
    for body in (b"{}", b'{"item":1,"colour":1}', b"nonsense", b"", b"\xff" * 100):
        with pytest.raises(Invalid):
            await caller.call_raw("shop", "price", body)

    assert service.entered == []
    assert await caller.call_raw("shop", "price", b'{"item":"a","colour":1}') == b"1"


async def test_the_request_travels_along(caller: NatsBus, shop: Shop, service: ShopService) -> None:
    """Its id, its user, who calls, how deep, until when."""
    before = time.monotonic()
    with call_context(request_id="r-ü", user_id="u1"):
        await shop.context()

    (seen,) = service.seen
    assert (seen.request_id, seen.user_id, seen.depth) == ("r-ü", "u1", 1)
    assert seen.caller == f"caller/{caller.instance}"
    assert seen.deadline is not None
    assert 4.5 < seen.deadline - before < 5.1


async def test_an_instance_can_be_named(
    callee: NatsBus, caller: NatsBus, service: ShopService, make_bus: MakeBus
) -> None:
    """Calls to it go nowhere else."""
    other_bus = await make_bus("shop")
    await other_bus.serve(ShopService("other"))

    named = caller.proxy(Shop, to=callee.instance)
    assert {await named.context() for _ in range(10)} == {"shop"}
    with pytest.raises(NobodyAnswers):
        await caller.call_raw("shop", "price", b'{"item":"a"}', to="shop-gone")


async def test_a_service_that_appears_is_found(caller: NatsBus, make_bus: MakeBus) -> None:
    """Nobody is there for a second; idempotent or not, the calls succeed."""
    shop = caller.proxy(Shop)
    price = asyncio.create_task(shop.price("tea"))
    order = asyncio.create_task(shop.buy(Order(item="tea")))
    callee = await make_bus("shop")
    await asyncio.sleep(1.0)
    assert not price.done()
    assert not order.done()
    service = ShopService()
    await callee.serve(service)

    assert await price == 3
    assert (await order).item == "tea"
    assert sorted(service.entered) == ["buy", "price"]


async def test_ready_means_reachable(caller: NatsBus, callee: NatsBus) -> None:
    """Once the server confirmed a subscription twice, no call finds nobody."""

    def door(subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
        callee.client.send(reply, b"", None, b"here")

    for n in range(100):
        await callee.client.open_door(f"probe.{n}", door)
        await callee._link.settle()
        assert (await caller.client.request(f"probe.{n}", timeout=5)).data == b"here"


async def test_nobody_at_all(caller: NatsBus) -> None:
    """After two seconds, with the service's name."""
    started = time.monotonic()
    with pytest.raises(NobodyAnswers, match="shop: nobody answers"):
        await caller.proxy(Shop).buy(Order(item="tea"))

    assert 0.5 < time.monotonic() - started < 20


async def test_a_late_answer_is_dropped_and_counted(caller: NatsBus, service: ShopService) -> None:
    """The caller was released when its time was over."""
    inbox: list[Msg] = []

    async def late(message: Msg) -> None:
        inbox.append(message)

    await caller.client.subscribe("hubbub.v1.rpc.late.*", cb=late)
    with pytest.raises(Timeout):
        await caller.call_raw("late", "call", b"{}", timeout=0.1)
    before = caller._replies.late
    await inbox[0].respond(b'{"ok":1}')

    await eventually(lambda: caller._replies.late == before + 1)


async def test_of_two_answers_the_first_wins(caller: NatsBus) -> None:
    """The second is counted."""

    async def twice(message: Msg) -> None:
        await caller.client.publish(message.reply, b'{"ok":"first"}')
        await caller.client.publish(message.reply, b'{"ok":"second"}')

    await caller.client.subscribe("hubbub.v1.rpc.twice.*", cb=twice)

    assert await caller.call_raw("twice", "call", b"{}") == b'"first"'
    await eventually(lambda: caller._replies.second == 1)


async def test_a_killed_callee_is_replaced(nats_url: str, caller: NatsBus, callee: NatsBus) -> None:
    """An idempotent call is answered by another instance within its deadline."""
    shop = caller.proxy(Shop)
    async with worker(nats_url, "shop-doomed") as doomed:
        call = asyncio.create_task(shop.slow(0.5))
        await asyncio.sleep(0.2)
        doomed.kill()
        await doomed.wait()
    await callee.serve(ShopService("survivor"))

    assert await call == "survivor"


async def test_a_killed_callee_without_replacement(nats_url: str, caller: NatsBus) -> None:
    """What must not be done twice fails when its deadline tells."""
    shop = caller.proxy(Shop)
    async with worker(nats_url, "shop-doomed") as doomed:
        started = time.monotonic()
        call = asyncio.create_task(shop.slow_once(0.5))
        await asyncio.sleep(0.2)
        doomed.kill()
        with pytest.raises(Timeout):
            await call

    assert 0.9 < time.monotonic() - started < 20


async def test_a_cancelled_caller_leaves_nothing(
    caller: NatsBus, shop: Shop, service: ShopService
) -> None:
    """No entry, no task, no warning; the callee finishes."""
    before = len(asyncio.all_tasks())
    calls = [asyncio.create_task(shop.slow(0.2)) for _ in range(20)]
    await eventually(lambda: len(service.entered) == 20)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert len(caller._replies) == 0
    await eventually(lambda: caller._replies.late == 20)
    await eventually(lambda: len(asyncio.all_tasks()) == before)
    assert service.cancelled == []
    gc.collect()


class WrongClock(SystemClock):
    """A machine's clock that was set wrongly."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def time(self) -> float:
        return super().time() + self._ahead


@pytest.mark.parametrize("ahead", [-300.0, 300.0])
async def test_clocks_may_differ(make_bus: MakeBus, ahead: float) -> None:
    """How long a call may take is said and counted without asking what time it is."""
    service = ShopService()
    await (await make_bus("shop", clock=WrongClock(ahead))).serve(service)
    caller = await make_bus("caller")

    assert await caller.proxy(Shop).context() == "shop"
    assert await caller.call_raw("shop", "context", b"{}") == b'"shop"'
    for seen in service.seen:
        assert seen.deadline is not None
        assert 0.0 < seen.deadline - time.monotonic() <= 5.0


async def test_an_expired_request_of_an_older_version_is_not_begun(
    caller: NatsBus, service: ShopService
) -> None:
    """It was on its way for too long: no answer, no work, but counted."""
    headers = {"Hubbub-Deadline": str(int((time.time() - 0.1) * 1000))}
    await caller.client.publish(
        "hubbub.v1.rpc.shop.price", b'{"item":"tea"}', reply="nobody.waits", headers=headers
    )
    # Behind it on the same connections, so the first one was handled when this is answered.
    assert await caller.call_raw("shop", "price", b'{"item":"x"}') == b"1"

    assert service.entered == ["price"]


async def test_ten_thousand_calls_at_once(caller: NatsBus, shop: Shop, callee: NatsBus) -> None:
    """Places and queue are bounded, the rest is refused, nothing hangs, little memory."""
    await shop.slow_once(0.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = await asyncio.gather(
        *(shop.slow_once(0.01) for _ in range(10_000)), return_exceptions=True
    )

    answered = results.count("shop")
    failed = [one for one in results if isinstance(one, Unavailable | Timeout)]
    assert answered + len(failed) == 10_000
    assert answered > 0  # on a slow machine most have waited too long before their turn
    assert callee.metrics.server("shop", "slow_once").outcomes["shed"] > 0
    assert len(caller._replies) == 0
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 150 * 1024


async def test_replicas_share_the_calls(caller: NatsBus, make_bus: MakeBus) -> None:
    """NATS balances within the queue group."""
    services = [ShopService(f"shop-{n}") for n in range(3)]
    for service in services:
        bus = await make_bus("shop")
        await bus.serve(service)
    shop = caller.proxy(Shop)
    await asyncio.gather(*(shop.price("tea") for _ in range(300)))

    counts = [len(service.entered) for service in services]
    assert sum(counts) == 300
    assert min(counts) > 50


async def test_two_versions_side_by_side(
    caller: NatsBus, service: ShopService, make_bus: MakeBus
) -> None:
    """Both answer both; what one has and the other not is ignored, or not found."""
    newer = await make_bus("shop")
    await newer.serve(NewerService())
    older_proxy, newer_proxy = caller.proxy(Shop), caller.proxy(NewerShop)
    notes = {(await older_proxy.buy(Order(item="a"))).note for _ in range(40)}
    notes |= {(await newer_proxy.buy(NewerOrder(item="a", gift=True))).note for _ in range(40)}
    insured = await asyncio.gather(
        *(newer_proxy.insure("a") for _ in range(40)), return_exceptions=True
    )

    assert notes == {"newer", "sold by shop"}
    assert True in insured
    refused = [one for one in insured if one is not True]
    assert refused
    assert all(isinstance(one, NotFound) for one in refused)


async def test_drain_answers_what_runs_and_sends_on_what_comes(
    caller: NatsBus, callee: NatsBus, shop: Shop, service: ShopService, make_bus: MakeBus
) -> None:
    """No call fails while an instance leaves."""
    other = ShopService("other")
    other_bus = await make_bus("shop")
    await other_bus.serve(other)
    leaving = False
    answers: list[str] = []

    async def keep_calling() -> None:
        while not leaving:
            answers.append(await shop.slow_once(0.02))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(keep_calling())
        await eventually(lambda: len(service.entered) > 20)
        await callee.drain()
        at_drain = len(service.entered)
        await callee.close()
        await eventually(lambda: len(answers) > 200)
        leaving = True

    assert set(answers) == {"shop", "other"}
    assert len(service.entered) == at_drain
    assert service.cancelled == []


async def test_too_large_fails_before_sending(
    caller: NatsBus, shop: Shop, service: ShopService
) -> None:
    """Both ways, with both sizes; the connection lives on."""
    allowed = caller.client.max_payload
    with pytest.raises(TooLarge, match=rf"the request has \d+ bytes, NATS takes {allowed}"):
        await shop.price("x" * allowed)
    assert service.entered == []
    with pytest.raises(TooLarge, match=r"shop\.size: the answer: it has \d+ bytes, NATS takes"):
        await shop.size(allowed)
    assert len(await shop.size(allowed - 100)) == allowed - 100
    assert caller.connected
    assert caller.metrics.reconnects == 0


async def test_an_unknown_method(caller: NatsBus, service: ShopService) -> None:
    """Is not found, at once."""
    with pytest.raises(NotFound, match=r"unknown method shop\.fly"):
        await caller.call_raw("shop", "fly", b"{}")


async def test_a_request_without_reply_subject_harms_nobody(
    caller: NatsBus, shop: Shop, service: ShopService
) -> None:
    """Nor does one with headers that are none of ours."""
    await caller.client.publish("hubbub.v1.rpc.shop.price", b'{"item":"tea"}')
    await caller.client.publish(
        "hubbub.v1.rpc.shop.price",
        b'{"item":"tea"}',
        headers={"Hubbub-Deadline": "soon", "Hubbub-Depth": "-3", "X": "y"},
    )

    assert await shop.price("tea") == 3
    assert service.entered == ["price"] * 3


async def test_traffic_is_counted_by_kind(caller: NatsBus, callee: NatsBus, shop: Shop) -> None:
    """Requests out, answers in."""
    await shop.price("tea")

    def samples(bus: NatsBus) -> dict[tuple[str, str], float]:
        return {
            (sample.labels["direction"], sample.labels["kind"]): sample.value
            for family in bus.metrics.collect()
            if family.name == "hubbub_nats_messages"
            for sample in family.samples
        }

    assert samples(caller)["out", "rpc"] == samples(caller)["in", "rpc"] == 1
    assert samples(callee)["in", "rpc"] == samples(callee)["out", "rpc"] == 1


async def test_a_door_and_a_subscription_get_the_same(caller: NatsBus) -> None:
    """The short way through the client delivers what nats-py's own does."""
    ours: list[tuple[bytes, bytes, bytes]] = []
    theirs: list[tuple[bytes, bytes, bytes]] = []

    def door(subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
        ours.append((subject, reply, payload))

    async def callback(message: Msg) -> None:
        theirs.append((message.subject.encode(), message.reply.encode(), message.data))

    await caller.client.open_door("same.>", door)
    await caller.client.subscribe("same.>", cb=callback)
    for n in range(50):
        await caller.client.publish(f"same.{n}", bytes(n * 1000), reply="r" if n % 2 else "")
        caller.client.send(b"same.sent", b"", None, b"%d" % n)
    await caller.client.flush()

    await eventually(lambda: len(theirs) == 100)
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize("count", [0, 1, 50])
async def test_closing_leaves_no_task(make_bus: MakeBus, count: int) -> None:
    """Whatever was under way; callers get `Unavailable`."""
    before = len(asyncio.all_tasks())
    callee = await make_bus("shop")
    await callee.serve(ShopService())
    caller = await make_bus("caller")
    shop = caller.proxy(Shop)
    calls = [asyncio.create_task(shop.slow_once(30)) for _ in range(count)]
    await eventually(lambda: len(caller._replies) == count)
    await caller.close()
    await callee.close()
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(result, Unavailable) for result in results)
    await eventually(lambda: len(asyncio.all_tasks()) == before)
