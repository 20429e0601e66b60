"""An operator's passes, one at a time, over a fake cluster with fake streamers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import kopf
from prometheus_client import CollectorRegistry

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock
from services.operator.kubernetes import Cluster, connected
from services.operator.metrics import OperatorMetrics
from services.operator.pool import Pacer, PoolKeeper
from services.operator.streamers import Reports, Streamers
from tests.integration.operator.fake_api import NAMESPACE, FakeApi, serving
from tests.integration.operator.fleet import Fleet


class Harness:
    """A cluster, its streamers and one operator."""

    def __init__(self, cluster: Cluster, api: FakeApi, session: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        self.api = api
        self._session = session
        self.bus = LocalBus()
        self.fleet = Fleet(api, self._named)
        self.clock = FakeClock()
        self.began = datetime.now(UTC)
        self.offset = timedelta()
        self.keeper = self._keeper()
        self.metrics: OperatorMetrics

    async def cluster_of(self, replicas: int, **connections: int) -> None:
        """A deployment with these connections on its pods."""
        self.api.make_deployment(replicas)
        await self.fleet.follow()
        self.fleet.hold(**connections)

    async def restart_operator(self) -> None:
        """Another process takes over: nothing of the old one is left."""
        await self.bus.close()
        self.bus = LocalBus()
        for pod, streamer in list(self.fleet.by_pod.items()):
            self.bus.instance = streamer.instance
            await self.bus.serve(streamer, group=False)
            self.fleet._buses[pod] = self.bus
        self.keeper = self._keeper()
        await self.bus.listen(self.reports, service="operator")

    async def look(self, passes: int = 1, *, report: bool = True) -> None:
        """The operator makes so many passes; streamers report before each."""
        for _ in range(passes):
            await self.fleet.follow()
            if report:
                await self.fleet.report()
                await self.bus.settled()
            await self.keeper.look_after("streamers")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.offset += timedelta(seconds=seconds)
        self.clock.advance(seconds)

    def now(self) -> datetime:
        """The time of the operator; that of the API server goes on by itself."""
        return self.began + self.offset

    async def _named(self, instance: str) -> LocalBus:
        self.bus.instance = instance  # what is served now is reached by this name
        return self.bus

    def _keeper(self) -> PoolKeeper:
        self.reports = Reports(silent_after=20.0, clock=self.clock)
        self.metrics = OperatorMetrics(CollectorRegistry())
        return PoolKeeper(
            self.cluster,
            Streamers(self.bus, self.reports, self._session),
            self.metrics,
            pacer=Pacer(0.0001),
            now=self.now,
        )


@asynccontextmanager
async def harness(**options: Any) -> AsyncIterator[Harness]:
    """One operator over an empty cluster."""
    async with serving(FakeApi(**options)) as api, aiohttp.ClientSession() as session:
        access = kopf.ConnectionInfo(server=api.url)
        async with connected(
            lambda: access, namespace=NAMESPACE, identity="operator-test", timeout=5.0
        ) as cluster:
            made = Harness(cluster, api, session)
            await made.bus.listen(made.reports, service="operator")
            try:
                yield made
            finally:
                await made.bus.close()
