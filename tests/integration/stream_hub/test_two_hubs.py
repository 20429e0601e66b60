"""Two hubs that both believe they lead, on real servers.

The old one stands still at the worst moment: behind its look at the lease, before its publish.
It lives in a thread with an event loop of its own, so that all of it stands still, as a process
that is frozen does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from hubbub.bus import BusSettings
from hubbub.bus.connection import Connection
from hubbub.bus.nats import NatsBus
from hubbub.clock import SystemClock
from hubbub.contracts.event_log import LOG_STREAM
from hubbub.mongo import Database, MongoSettings, connect, connect_hub
from hubbub.tasks import owned
from hubbub.telemetry.metrics import new_registry
from services.stream_hub.jetstream import EXPECTED_SEQUENCE, JetStreamLog
from services.stream_hub.knowledge import Knowledge
from services.stream_hub.leader import Leader
from services.stream_hub.leadership import Leadership
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import FactStore, MongoLeaseStore
from services.stream_hub.tail import Tail
from services.stream_hub.term import LeadershipLost, leaves
from tests.integration.stream_hub.hubs import (
    ROOM,
    Writer,
    assert_complete,
    caught_up,
    counting,
    markers,
    wait_for_database,
    whole_log,
)
from tests.waiting import eventually

pytestmark = pytest.mark.integration

QUICK = StreamHubSettings(
    lease_ttl=1.5, lease_fence=1.0, lease_renew=0.3, lease_retry=0.1, acknowledge_timeout=1.0
)


@dataclass
class Standstill:
    """When the old leader stops, and when it goes on."""

    wanted: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    epoch: int = 0
    """Of its successor. Not 0: the fence of the log is as good as not there, and what it was
    about to publish gets in."""


class StandingLog(JetStreamLog):
    """Hands over an event only when the standstill is over."""

    def __init__(
        self, client: Connection, settings: StreamHubSettings, standstill: Standstill
    ) -> None:
        super().__init__(client, settings)
        self._standstill = standstill

    def append(self, number: int, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        standstill = self._standstill
        if standstill.wanted.is_set() and not standstill.over.is_set():
            standstill.reached.set()
            standstill.over.wait(60)  # nothing else of this hub happens meanwhile
            if standstill.epoch:
                self._prefix = f"hubbub.v1.append.{standstill.epoch}.".encode()
                del headers[EXPECTED_SEQUENCE]
        super().append(number, audience, payload, headers)


@dataclass
class Servers:
    """Where hubs work."""

    mongo_url: str
    nats_url: str
    database: Database


@asynccontextmanager
async def _hub(
    servers: Servers, name: str, standstill: Standstill | None = None
) -> AsyncIterator[tuple[Leadership, Leader]]:
    """A hub in this event loop."""
    clock, metrics = SystemClock(), HubMetrics(new_registry())
    bus = NatsBus(BusSettings(nats_url=servers.nats_url), service="stream-hub", instance=name)
    url = MongoSettings(url=SecretStr(servers.mongo_url))
    client, history = connect(url, app_name=name), connect_hub(url, app_name=name)
    database, watched = client[servers.database.name], history[servers.database.name]
    await bus.connect()
    log = (
        JetStreamLog(bus.client, QUICK)
        if standstill is None
        else StandingLog(bus.client, QUICK, standstill)
    )
    try:
        async with log:
            leadership = Leadership(
                MongoLeaseStore(database), QUICK, holder=name, clock=clock, metrics=metrics
            )
            yield (
                leadership,
                Leader(
                    log,
                    Tail(watched, QUICK, clock=clock, metrics=metrics),
                    Knowledge(FactStore(watched), limit=100),
                    leadership,
                    bus,
                    QUICK,
                    clock=clock,
                    metrics=metrics,
                ),
            )
    finally:
        await bus.close()
        await client.close()
        await history.close()


async def _lead(
    servers: Servers, name: str, stopping: asyncio.Event, standstill: Standstill | None = None
) -> list[str]:
    """One term; why it ended."""
    ends: list[str] = []
    async with _hub(servers, name, standstill) as (leadership, leader):
        term = await leadership.acquire()
        try:
            async with owned(leadership.keep(term)):
                await leader.lead(term, stopping)
        except* LeadershipLost as lost:
            ends += [str(error) for error in leaves(lost)]
        finally:
            await leadership.release(term)
    return ends


def _in_a_thread(servers: Servers, standstill: Standstill) -> asyncio.Future[list[str]]:
    async def lead() -> list[str]:
        return await _lead(servers, "old", asyncio.Event(), standstill)

    return asyncio.ensure_future(asyncio.to_thread(asyncio.run, lead()))


@pytest.mark.parametrize("fence", [True, False], ids=["fence", "marker-alone"])
async def test_a_leader_that_stood_still_before_its_publish_does_no_harm(
    mongo_url: str,
    nats_url: str,
    database: Database,
    client: Client,
    fence: bool,
) -> None:
    """With the fence of the log it is refused. Without, its event is there and does not count."""
    await client.request(f"$JS.API.STREAM.DELETE.{LOG_STREAM}", b"", timeout=5)
    await wait_for_database(database)
    await database.rocketchat_room.insert_one({"_id": ROOM, "t": "c", "name": "general"})
    servers, standstill = Servers(mongo_url, nats_url, database), Standstill()
    writer, stopping = Writer(database), asyncio.Event()
    old = _in_a_thread(servers, standstill)
    try:
        await eventually(lambda: _marked(client), within=30, what="the first leader")
        await writer.write(20)
        await caught_up(client, 20)
        standstill.wanted.set()
        await writer.write(1)
        await eventually(standstill.reached.is_set, within=30)

        new = asyncio.ensure_future(_lead(servers, "new", stopping))
        try:
            await writer.write(10)
            log = await caught_up(client, 31)
            assert len(markers(log)) == 2
            standstill.epoch = 0 if fence else markers(log)[-1].epoch
            standstill.over.set()
            async with asyncio.timeout(30):
                ends = await old
            assert set(ends) <= {"expired", "superseded", "taken"}
            assert ends
            for _ in range(3):  # one by one: of several, one could fit where the stale event stands
                await writer.write(1)
                log = await assert_complete(client, writer)
        finally:
            stopping.set()
            assert await new == []
    finally:
        standstill.over.set()
        await asyncio.gather(old, return_exceptions=True)

    stale = [stored for stored in log if stored.marker is None and stored not in counting(log)]
    assert len(stale) == (0 if fence else 1)
    assert not any(marker.resync for marker in markers(log))


async def _marked(client: Client) -> bool:
    return bool(markers(await whole_log(client)))
