"""Events in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from hubbub.bus import BusSettings, LocalBus, call_context, current_call
from hubbub.clock import FakeClock
from hubbub.contracts.base import Event, listen
from tests.unit.bus.shop import Recalled, ShopService, Sold


class Listener:
    """Hears of sales, in two ways."""

    def __init__(self) -> None:
        self.one: list[str] = []
        self.all: list[str] = []
        self.contexts: list[str | None] = []

    @listen(Sold, to="one")
    async def by_one(self, event: Sold) -> None:
        self.one.append(event.item)

    @listen(Sold, to="all")
    async def by_all(self, event: Sold) -> None:
        self.all.append(event.item)
        self.contexts.append(current_call().request_id)


class Fragile:
    """Fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tried = 0
        self.done: list[str] = []

    @listen(Recalled, to="one", durable=True)
    async def recall(self, event: Recalled) -> None:
        self.tried += 1
        if self.tried <= self.failures:
            raise RuntimeError("not now")
        self.done.append(event.item)

    @listen(Sold, to="one")
    async def fails(self, event: Sold) -> None:
        raise RuntimeError("never")


@pytest.fixture
async def bus() -> AsyncIterator[LocalBus]:
    bus = LocalBus(clock=FakeClock())
    yield bus
    await bus.close()


async def test_one_and_all(bus: LocalBus) -> None:
    """One replica of each service, or every replica; each service for itself."""
    replicas = [Listener(), Listener()]
    for replica in replicas:
        await bus.listen(replica, service="audit")
    await bus.serve(ShopService())
    other = ShopService()
    await bus.serve(other)
    for item in "abcd":
        await bus.publish(Sold(item=item))
    await bus.settled()

    assert sorted(replicas[0].one + replicas[1].one) == ["a", "b", "c", "d"]
    assert len(replicas[0].one) == 2
    assert [replica.all for replica in replicas] == [["a", "b", "c", "d"]] * 2
    assert len(other.sold) == 2


async def test_an_event_carries_the_request(bus: LocalBus) -> None:
    """The listener knows whose doing it was."""
    listener = Listener()
    await bus.listen(listener, service="audit")
    with call_context(request_id="r1"):
        await bus.publish(Sold(item="a"))
    await bus.publish(Sold(item="b"))
    await bus.settled()

    assert listener.contexts == ["r1", None]


async def test_a_failing_listener_stops_nobody(bus: LocalBus) -> None:
    """It is logged and counted; others hear the event, and the failing one the next."""
    listener = Listener()
    await bus.listen(Fragile(0), service="fragile")
    await bus.listen(listener, service="audit")
    with capture_logs() as logs:
        await bus.publish(Sold(item="a"))
        await bus.publish(Sold(item="b"))
        await bus.settled()

    assert listener.one == ["a", "b"]
    assert [line["event"] for line in logs] == ["listener_failed"] * 2
    assert bus.metrics._events["shop.sold", "in", "error"] == 2


async def test_a_durable_event_comes_again(bus: LocalBus) -> None:
    """After 1 s, 5 s, 30 s, 2 min."""
    fragile = Fragile(4)
    await bus.listen(fragile, service="fragile")
    await bus.publish(Recalled(item="a"))
    await bus.settled()

    assert fragile.done == ["a"]
    assert bus.clock.pauses == [1.0, 5.0, 30.0, 120.0]  # type: ignore[attr-defined]
    assert bus.dead_letters == []
    assert bus.metrics.redeliveries == {"shop.recalled": 4}


async def test_a_hopeless_durable_event_is_put_aside(bus: LocalBus) -> None:
    """With the error, and the next one is delivered."""
    fragile = Fragile(5)
    await bus.listen(fragile, service="fragile")
    await bus.publish(Recalled(item="a"))
    await bus.publish(Recalled(item="b"))
    await bus.settled()

    (letter,) = bus.dead_letters
    assert (letter.service, letter.name, letter.body) == (
        "fragile",
        "shop.recalled",
        b'{"item":"a"}',
    )
    assert letter.error == "RuntimeError: not now"
    assert fragile.done == ["b"]


async def test_an_unreadable_event_is_not_tried_again(bus: LocalBus) -> None:
    """It will not become readable."""

    class Older(Event, name="shop.recalled"):
        thing: str

    fragile = Fragile(0)
    await bus.listen(fragile, service="fragile")
    with capture_logs() as logs:
        await bus.publish(Older(thing="a"))
        await bus.settled()

    assert (fragile.tried, len(bus.dead_letters)) == (0, 1)
    assert [line["event"] for line in logs] == ["event_unreadable"]


async def test_a_listener_has_its_time() -> None:
    """One that hangs is ended."""
    bus = LocalBus(BusSettings(listener_timeout=0.02))

    class Hangs:
        @listen(Sold, to="one")
        async def hang(self, event: Sold) -> None:
            await asyncio.Event().wait()

    await bus.listen(Hangs(), service="hangs")
    with capture_logs() as logs:
        await bus.publish(Sold(item="a"))
        await asyncio.wait_for(bus.settled(), 5)

    assert [line["err_type"] for line in logs] == ["TimeoutError"]
    await bus.close()


async def test_a_listener_that_does_not_keep_up_loses_events() -> None:
    """What may wait is bounded; the loss is counted."""
    bus = LocalBus(BusSettings(event_pending_messages=3))
    listener = Listener()
    await bus.listen(listener, service="audit")
    for n in range(10):
        await bus.publish(Sold(item=str(n)))
    await bus.settled()

    assert listener.one == ["0", "1", "2"]
    assert bus.metrics.slow_consumers == 14
    await bus.close()


async def test_impossible_listeners_are_refused(bus: LocalBus) -> None:
    """When they are registered."""

    class Everywhere:
        @listen(Recalled, to="all", durable=True)
        async def recall(self, event: Recalled) -> None: ...

    class Nameless(Event):
        pass

    class Deaf:
        @listen(Nameless, to="one")
        async def hear(self, event: Nameless) -> None: ...

    with pytest.raises(TypeError, match="durable events go to one replica"):
        await bus.listen(Everywhere(), service="x")
    with pytest.raises(TypeError, match="Nameless has no name"):
        await bus.listen(Deaf(), service="x")


async def test_drain_finishes_waiting_events(bus: LocalBus) -> None:
    """And takes no new ones."""
    listener = Listener()
    await bus.listen(listener, service="audit")
    await bus.publish(Sold(item="a"))
    await bus.drain()
    await bus.publish(Sold(item="b"))

    assert listener.one == ["a"]
