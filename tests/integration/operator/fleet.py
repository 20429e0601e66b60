"""Streamers that answer an operator and hold no sockets, one per pod of a fake cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hubbub.bus import Bus
from hubbub.contracts.streamers import StreamerControl, StreamerReported
from tests.integration.operator.fake_api import FakeApi

LIMIT = 1000
"""Connections that each of them could hold."""


class FakeStreamer(StreamerControl):
    """One process. A drain empties it when the test says so."""

    def __init__(self, pod: str, instance: str, connections: int = 0) -> None:
        self.pod = pod
        self.instance = instance
        self.connections = connections
        self.draining = False
        self.windows: list[float | None] = []
        self.shed_asked: list[int] = []

    async def drain(self, window: float | None = None) -> bool:
        """See the contract."""
        self.windows.append(window)
        first, self.draining = not self.draining, True
        return first

    async def shed(self, connections: int, youngest: float = 600.0) -> int:
        """See the contract; every connection is old enough."""
        assert youngest == 600.0
        self.shed_asked.append(connections)
        closing = min(connections, self.connections)
        self.connections -= closing
        return closing

    def report(self) -> StreamerReported:
        """What it says of itself."""
        return StreamerReported(
            instance=self.instance,
            pod=self.pod,
            version="1",
            connections=self.connections,
            connection_limit=LIMIT,
            deliveries_per_second=0,
            draining=self.draining,
        )


class Fleet:
    """The streamers of all pods; follows the pods that come and go."""

    def __init__(self, api: FakeApi, bus_of: Callable[[str], Any]) -> None:
        """
        Args:
            bus_of: gives the bus (awaitable) that a process of this instance name serves on.
        """
        self.api = api
        self._bus_of = bus_of
        self._buses: dict[str, Bus] = {}  # by pod
        self.by_pod: dict[str, FakeStreamer] = {}
        self._started = 0
        self.cut: dict[str, int] = {}
        """Pod → connections that it still held when it was deleted."""
        api.on_deleted = self._deleted

    async def follow(self) -> None:
        """Start a streamer in each pod that has none, as the kubelet does."""
        for pod in list(self.api.pods):
            if pod not in self.by_pod:
                await self.start(pod)

    async def start(self, pod: str, connections: int = 0) -> FakeStreamer:
        """A new process in this pod."""
        self._started += 1
        streamer = FakeStreamer(pod, f"ddp-streamer-{self._started}", connections)
        bus = await self._bus_of(streamer.instance)
        await bus.serve(streamer, group=False)
        self._buses[pod] = bus
        self.by_pod[pod] = streamer
        return streamer

    async def restart(self, pod: str) -> FakeStreamer:
        """The drained process ended; the kubelet starts another in the same pod."""
        self.api.set_running(pod, running=False)
        self.api.set_running(pod, running=True)
        self.api.set_ready(pod, ready=True)
        return await self.start(pod)

    def hold(self, **connections: int) -> None:
        """Set the connections of pods; `streamer_1=5` is the pod streamer-1."""
        for name, count in connections.items():
            self.by_pod[name.replace("_", "-")].connections = count

    def empty(self, *pods: str) -> None:
        """The clients of these pods are elsewhere now."""
        for pod in pods:
            self.by_pod[pod].connections = 0

    def empty_draining(self) -> None:
        """Whoever drains is done with it, and its pod is not ready."""
        for pod in self.draining:
            self.empty(pod)
            self.api.set_ready(pod, ready=False)

    @property
    def draining(self) -> list[str]:
        """Pods whose streamers were told to drain."""
        return sorted(pod for pod, one in self.by_pod.items() if one.draining)

    async def report(self) -> None:
        """Everybody reports."""
        for streamer in list(self.by_pod.values()):
            await self._buses[streamer.pod].publish(streamer.report())

    def _deleted(self, pod: str) -> None:
        streamer = self.by_pod.pop(pod, None)
        if streamer is not None:
            self.cut[pod] = streamer.connections
