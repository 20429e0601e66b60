"""What a streamer tells about a message, on a real NATS."""

from __future__ import annotations

import time

import pytest

from hubbub.contracts.explain import StreamerMemory, StreamerRecall
from hubbub.ids import UserId
from tests.integration.ddp_streamer.harness import Cable
from tests.integration.ddp_streamer.world import World, world
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def recalled(town: World, user_id: str, sequence: int | None) -> StreamerMemory:
    """Asked over the bus, as everybody asks."""
    recall = town.bus.proxy(StreamerRecall, to="ddp-streamer-1")
    return await recall.recall(UserId(user_id), "R1", sequence, int(time.time() * 1000))


async def outcomes(town: World, user_id: str, sequence: int) -> list[tuple[str, str]]:
    told = await recalled(town, user_id, sequence)
    return [(one.outcome, one.reason) for one in told.deliveries]


async def test_delivered_with_its_moments(nats_url: str) -> None:
    """And nobody else's connections are told."""
    async with world(nats_url) as town:
        await town.bus.serve(town.streamer.recall, group=False)
        town.room("R1", "ana", "bo")
        clients = [await town.client(user) for user in ("ana", "bo")]
        for client in clients:
            await client.subscribed("room-messages", "R1")
        before = int(time.time() * 1000)
        sequence = await town.hub.message("R1", "m1")
        await clients[1].hears("room-messages", "R1")

        told = await recalled(town, "bo", sequence)

        [one] = told.deliveries
        assert (one.outcome, one.written, one.closed, one.ended_by) == ("delivered", True, None, "")
        assert one.queued is not None
        assert told.since <= one.opened <= one.queued
        assert before - 50 <= one.queued <= int(time.time() * 1000) + 50
        assert told.recipients == 2
        assert told.arrived == one.queued
        assert (await recalled(town, "nobody", sequence)).deliveries == []


async def test_a_client_that_does_not_read(nats_url: str) -> None:
    """What it got before it stopped is delivered, what came when it was stuck is dropped."""
    async with world(
        nats_url, soft_buffered_bytes=64 * 1024, max_buffered_bytes=1280 * 1024
    ) as town:
        await town.bus.serve(town.streamer.recall, group=False)
        town.room("R1", "slow", "quick")
        quick = await town.client("quick")
        await quick.subscribed("room-messages", "R1")
        slow = await town.client("slow")
        await slow.subscribed("room-messages", "R1")
        first = await town.hub.message("R1", "first")
        await slow.hears("room-messages", "R1")
        slow.stop_reading()
        text = "x" * 20_000
        sequences = [await town.hub.message("R1", f"{number}{text}") for number in range(400)]
        await quick.hears("room-messages", "R1", 401, within=20)
        await eventually(lambda: len(town.streamer.router.sessions) == 1, within=20)
        last = await town.hub.message("R1", "after")
        await quick.hears("room-messages", "R1", 402)

        assert await outcomes(town, "slow", first) == [("delivered", "")]
        found = [(await outcomes(town, "slow", one))[0] for one in sequences]
        assert ("dropped", "slow_client") in found
        # In this order: written, forgotten, no longer connected.
        order = [("delivered", ""), ("dropped", "slow_client"), ("not_connected", "slow")]
        assert found == sorted(found, key=order.index)
        assert await outcomes(town, "slow", last) == [("not_connected", "slow")]
        assert await outcomes(town, "quick", last) == [("delivered", "")]


async def test_who_loses_the_room_and_comes_back(nats_url: str) -> None:
    """The same socket, from one membership to the next."""
    async with world(nats_url) as town:
        await town.bus.serve(town.streamer.recall, group=False)
        town.room("R1", "ana", "bo")
        witness = await town.client("bo")
        await witness.subscribed("room-messages", "R1")
        client = await town.client("ana")
        await client.subscribed("notify-user", "ana/subscriptions-changed")
        sub_id = await client.subscribed("room-messages", "R1")
        first = await town.hub.message("R1", "one")
        await town.leave("ana", "R1")
        await client.ended(sub_id)
        second = await town.hub.message("R1", "two")
        await town.join("ana", "R1")
        await client.subscribed("room-messages", "R1")
        third = await town.hub.message("R1", "three")
        await client.hears("room-messages", "R1", 2)
        await witness.hears("room-messages", "R1", 3)

        found = [await outcomes(town, "ana", one) for one in (first, second, third)]

        assert found == [[("delivered", "")], [("filtered", "not_member")], [("delivered", "")]]


async def test_what_was_missed_and_fetched_is_recovered(nats_url: str) -> None:
    """While the streamer was cut from NATS."""
    async with Cable(nats_url) as cable, world(nats_url, cable.url) as town:
        await town.bus.serve(town.streamer.recall, group=False)
        town.room("R1", "ana")
        client = await town.client("ana")
        await client.subscribed("room-messages", "R1")
        cable.cut()
        sequence = await town.hub.message("R1", "missed")
        await cable.mend()
        await client.hears("room-messages", "R1", within=10)

        assert await outcomes(town, "ana", sequence) == [("recovered", "")]


async def test_without_the_place_in_the_log(nats_url: str) -> None:
    """When no hub remembers the event: who was there, and no more is claimed."""
    async with world(nats_url) as town:
        await town.bus.serve(town.streamer.recall, group=False)
        town.room("R1", "ana")
        client = await town.client("ana")
        await client.subscribed("room-messages", "R1")

        [one] = (await recalled(town, "ana", None)).deliveries

        assert (one.outcome, one.reason) == ("unknown", "place_unknown")
