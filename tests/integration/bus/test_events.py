"""Events over a real NATS server, durable ones included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from nats.js.api import DeliverPolicy

from hubbub.bus import NatsBus, call_context, current_call
from hubbub.bus.durable import ERROR_HEADER
from hubbub.bus.subjects import DEAD_LETTER_STREAM, DOMAIN_STREAM, consumer_name
from hubbub.contracts.base import Event, listen
from hubbub.ids import random_id
from tests.integration.bus.broker import Broker
from tests.integration.bus.conftest import MakeBus
from tests.unit.bus.shop import Recalled, Sold
from tests.waiting import eventually

pytestmark = pytest.mark.integration

QUICK = (0.05, 0.1, 0.15, 0.2)  # seconds


class Audit:
    """Hears of sales in two ways."""

    def __init__(self) -> None:
        self.one: list[str] = []
        self.all: list[str] = []
        self.requests: list[str | None] = []

    @listen(Sold, to="one")
    async def by_one(self, event: Sold) -> None:
        self.one.append(event.item)
        if event.item == "bad":
            raise RuntimeError("no")

    @listen(Sold, to="all")
    async def by_all(self, event: Sold) -> None:
        self.all.append(event.item)
        self.requests.append(current_call().request_id)


class Recall:
    """Hears durably; fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.tried: list[float] = []
        self.done: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    @listen(Recalled, to="one", durable=True)
    async def recall(self, event: Recalled) -> None:
        self.tried.append(asyncio.get_running_loop().time())
        await self.hold.wait()
        if len(self.tried) <= self.failures:
            raise RuntimeError("not\nnow")
        self.done.append(event.item)


@pytest.fixture
async def publisher(make_bus: MakeBus) -> NatsBus:
    return await make_bus("publisher")


@pytest.fixture
async def service(publisher: NatsBus) -> AsyncIterator[str]:
    """A name of its own, and nothing left in the stream after."""
    name = f"recall-{random_id(8)}"
    yield name
    jetstream = publisher.client.jetstream()
    await jetstream.delete_consumer(DOMAIN_STREAM, consumer_name(name, Recalled.event_name))


async def test_one_and_all(publisher: NatsBus, make_bus: MakeBus) -> None:
    """One replica of the service, or every replica; a failing listener stops nobody."""
    audits = [Audit(), Audit()]
    for audit in audits:
        bus = await make_bus("audit")
        await bus.listen(audit, service="audit")
    items = ["a", "bad", "c", "d", "bad", "f", "g", "h"]
    for item in items:
        await publisher.publish(Sold(item=item))

    await eventually(lambda: all(audit.all == items for audit in audits))
    await eventually(lambda: sorted(audits[0].one + audits[1].one) == sorted(items))


async def test_an_event_carries_its_request(publisher: NatsBus, make_bus: MakeBus) -> None:
    """And the next one does not carry the last one's."""
    audit = Audit()
    bus = await make_bus("audit")
    with call_context(request_id="of the one who listens"):
        await bus.listen(audit, service="audit")
    with call_context(request_id="r1", user_id="u1"):
        await publisher.publish(Sold(item="a"))
    await publisher.publish(Sold(item="b"))

    await eventually(lambda: len(audit.requests) == 2)
    assert audit.requests == ["r1", None]


async def test_a_durable_event_waits_for_its_service(
    publisher: NatsBus, make_bus: MakeBus, service: str
) -> None:
    """What is published while nobody runs is delivered when somebody does."""
    first = await make_bus("recall")
    await first.listen(Recall(), service=service)
    await first.drain()
    await first.close()
    for n in range(5):
        await publisher.publish(Recalled(item=str(n)))
    second = await make_bus("recall")
    recall = Recall()
    await second.listen(recall, service=service)

    await eventually(lambda: recall.done == ["0", "1", "2", "3", "4"])


async def test_replicas_share_durable_events(
    publisher: NatsBus, make_bus: MakeBus, service: str
) -> None:
    """Each is handled once, another service hears them as well."""
    recalls = [Recall(), Recall()]
    for recall in recalls:
        bus = await make_bus("recall")
        await bus.listen(recall, service=service)
    items = [str(n) for n in range(20)]
    for item in items:
        await publisher.publish(Recalled(item=item))

    await eventually(lambda: len(recalls[0].done + recalls[1].done) == 20)
    assert sorted(recalls[0].done + recalls[1].done) == sorted(items)
    assert min(len(recall.done) for recall in recalls) > 0


async def test_a_failed_durable_event_comes_again(
    publisher: NatsBus, make_bus: MakeBus, service: str
) -> None:
    """After growing pauses, until it succeeds."""
    bus = await make_bus("recall", durable_backoff=QUICK)
    recall = Recall(failures=4)
    await bus.listen(recall, service=service)
    await publisher.publish(Recalled(item="a"))

    await eventually(lambda: recall.done == ["a"])
    pauses = [after - before for before, after in zip(recall.tried, recall.tried[1:], strict=False)]
    for pause, wanted in zip(pauses, QUICK, strict=True):
        assert wanted - 0.01 <= pause < wanted + 1.0
    assert bus.metrics.redeliveries == {"shop.recalled": 4}
    assert bus.metrics.dead_letters == {}


async def test_a_hopeless_durable_event_becomes_a_dead_letter(
    publisher: NatsBus, make_bus: MakeBus, service: str
) -> None:
    """After the last try, with its error; and the others are delivered."""
    bus = await make_bus("recall", durable_backoff=QUICK)
    recall = Recall(failures=5)
    await bus.listen(recall, service=service)
    with call_context(request_id="r7"):
        await publisher.publish(Recalled(item="hopeless"))
    await eventually(lambda: bus.metrics.dead_letters == {"shop.recalled": 1})
    await publisher.publish(Recalled(item="next"))
    await eventually(lambda: recall.done == ["next"])

    jetstream = publisher.client.jetstream()
    letters = await jetstream.subscribe(
        f"hubbub.v1.dead-letter.{service}.>",
        stream=DEAD_LETTER_STREAM,
        deliver_policy=DeliverPolicy.ALL,
        ordered_consumer=True,
    )
    letter = await letters.next_msg(timeout=5)
    assert json.loads(letter.data) == {"item": "hopeless"}
    assert letter.headers is not None
    assert letter.headers[ERROR_HEADER] == "RuntimeError: not now"
    assert letter.headers["Hubbub-Service"] == service
    assert letter.headers["Hubbub-Deliveries"] == "5"
    assert letter.headers["Hubbub-Request"] == "r7"
    assert len(recall.tried) == 6
    await letters.unsubscribe()


async def test_an_unreadable_durable_event_is_put_aside_at_once(
    publisher: NatsBus, make_bus: MakeBus, service: str
) -> None:
    """Trying again would not help."""
    bus = await make_bus("recall", durable_backoff=QUICK)
    recall = Recall()
    await bus.listen(recall, service=service)
    await publisher.publish_raw("shop.recalled", b'{"thing":1}')
    await publisher.publish_raw("shop.recalled", b'{"item":"good"}')

    await eventually(lambda: recall.done == ["good"])
    assert bus.metrics.dead_letters == {"shop.recalled": 1}
    assert bus.metrics.redeliveries == {}


async def test_drain_finishes_the_event_at_hand(
    publisher: NatsBus, make_bus: MakeBus, service: str
) -> None:
    """It is acknowledged; the next one waits for the next replica."""
    bus = await make_bus("recall")
    recall = Recall()
    recall.hold.clear()
    await bus.listen(recall, service=service)
    await publisher.publish(Recalled(item="a"))
    await publisher.publish(Recalled(item="b"))
    await eventually(lambda: len(recall.tried) == 1)
    draining = asyncio.create_task(bus.drain())
    await asyncio.sleep(0.05)
    recall.hold.set()
    await draining
    await bus.close()
    other = Recall()
    other_bus = await make_bus("recall")
    await other_bus.listen(other, service=service)

    await eventually(lambda: other.done == ["b"])
    assert recall.done == ["a"]


async def test_durable_events_survive_a_restart_of_the_broker(
    broker: Broker, make_bus: MakeBus
) -> None:
    """Published before, during and after; each confirmed one is handled."""
    listener = await make_bus("recall", url=broker.url)
    recall = Recall()
    await listener.listen(recall, service="recall")
    publisher = await make_bus("publisher", url=broker.url)
    await publisher.publish(Recalled(item="before"))
    await broker.kill()
    await eventually(lambda: not publisher.connected and not listener.connected)
    during = asyncio.create_task(publisher.publish(Recalled(item="during")))
    await asyncio.sleep(0.1)
    assert not during.done()
    await broker.start()
    await during
    await publisher.publish(Recalled(item="after"))

    # Sooner than the five seconds after which a request for events is renewed anyway.
    await eventually(lambda: {"before", "during", "after"} <= set(recall.done), within=4)


async def test_events_without_jetstream(make_bus: MakeBus, publisher: NatsBus) -> None:
    """An event that nobody wants durably is not stored, and costs no confirmation."""
    assert not await publisher._durable.is_kept("shop.nobody-listens-durably")
    await publisher.publish_raw("shop.nobody-listens-durably", b"{}")

    config = (await publisher.client.jetstream().stream_info(DOMAIN_STREAM)).config
    assert "hubbub.v1.event.shop.nobody-listens-durably" not in (config.subjects or [])


async def test_an_ordinary_event_does_not_wait_for_a_server(
    broker: Broker, make_bus: MakeBus
) -> None:
    """It waits in the buffer; who publishes goes on."""
    publisher = await make_bus("publisher", url=broker.url)
    listener = await make_bus("audit", url=broker.url)
    audit = Audit()
    await listener.listen(audit, service="audit")
    await publisher.publish(Sold(item="a"))
    await eventually(lambda: audit.all == ["a"])
    await broker.kill()
    await eventually(lambda: not publisher.connected and not listener.connected)
    publisher._durable._kept["shop.sold"].until = 0.0  # it was asked long ago
    async with asyncio.timeout(1.0):
        await publisher.publish(Sold(item="b"))
    await broker.start()

    await eventually(lambda: listener.connected and publisher.connected, within=10)
    await publisher.publish(Sold(item="c"))
    # The one before is heard if the listener was back first: it was promised at most once.
    await eventually(lambda: audit.all[-1] == "c")


async def test_subjects_added_at_once_are_all_kept(broker: Broker, make_bus: MakeBus) -> None:
    """Processes that start together do not overwrite each other's."""
    buses = [await make_bus("many", url=broker.url) for _ in range(5)]
    events = [type(f"E{n}", (Event,), {}, name=f"many.e{n}") for n in range(5)]

    def listener(event: type[Event]) -> object:
        class Many:
            @listen(event, to="one", durable=True)
            async def hear(self, heard: Event) -> None: ...

        return Many()

    await asyncio.gather(
        *(
            bus.listen(listener(event), service=f"many{n}")
            for n, (bus, event) in enumerate(zip(buses, events, strict=True))
        )
    )

    config = (await buses[0].client.jetstream().stream_info(DOMAIN_STREAM)).config
    assert sorted(config.subjects or []) == [f"hubbub.v1.event.many.e{n}" for n in range(5)]


async def test_a_slow_listener_is_reported(publisher: NatsBus, make_bus: MakeBus) -> None:
    """Events beyond the limit are dropped, counted and told to who asked."""
    bus = await make_bus("audit", event_pending_messages=5)
    told: list[str] = []
    bus.on_slow_consumer(told.append)
    gate = asyncio.Event()
    heard: list[str] = []

    class Slow:
        @listen(Sold, to="all")
        async def hear(self, event: Sold) -> None:
            await gate.wait()
            heard.append(event.item)

    await bus.listen(Slow(), service="slow")
    for n in range(30):
        await publisher.publish(Sold(item=str(n)))
    await eventually(lambda: len(told) >= 20)
    gate.set()

    await eventually(lambda: len(heard) == 30 - len(told))
    assert set(told) == {"hubbub.v1.event.shop.sold"}
    assert bus.metrics.slow_consumers == len(told)
