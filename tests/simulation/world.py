"""Everything together: hubs, streamers, messaging processes, and the clients around them."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry

from services.messaging.domain.sending import Draft, Person
from services.messaging.funnel import Funnel
from services.messaging.metrics import FunnelMetrics
from services.stream_hub.jetstream import JetStreamLog
from services.stream_hub.knowledge import Knowledge
from services.stream_hub.leader import Leader
from services.stream_hub.leadership import Leadership
from services.stream_hub.metrics import HubMetrics
from services.stream_hub.service import take_turns
from services.stream_hub.settings import StreamHubSettings
from tests.simulation.checker import History
from tests.simulation.database import (
    Committer,
    Database,
    DeafTeller,
    Room,
    SimulatedFacts,
    SimulatedLeases,
    SimulatedSource,
)
from tests.simulation.jetstream import JetStream
from tests.simulation.loop import Node, SimulatedLoop, VirtualClock
from tests.simulation.network import Server, SimulatedLine, Weather
from tests.simulation.streamers import Reader, Streamer

_SETTINGS = StreamHubSettings()
_HUB_METRICS = HubMetrics(CollectorRegistry())
_FUNNEL_METRICS = FunnelMetrics(CollectorRegistry())


class Hub:
    """One hub process."""

    def __init__(self, world: World, node: Node) -> None:
        self.node = node
        self.line = SimulatedLine(world.server, node)
        self.stopping = asyncio.Event()
        self._world = world

    async def run(self) -> None:
        """The life of the process."""
        database, node, clock = self._world.database, self.node, self._world.clock
        async with JetStreamLog(self.line, _SETTINGS) as event_log:
            leadership = Leadership(
                SimulatedLeases(database, node),
                _SETTINGS,
                holder=node.name,
                clock=clock,
                metrics=_HUB_METRICS,
                able=event_log.answers,
            )
            leader = Leader(
                event_log,
                SimulatedSource(database, node),
                Knowledge(SimulatedFacts(database, node), limit=100),
                leadership,
                DeafTeller(),
                _SETTINGS,
                clock=clock,
                metrics=_HUB_METRICS,
            )
            self.line.on_reconnect = leader.doubt
            await take_turns(leadership, leader, self.stopping, clock, _SETTINGS.lease_retry)


class World:
    """One run's everything. `chance` decides whatever is left open."""

    def __init__(self, loop: SimulatedLoop, chance: random.Random, weather: Weather) -> None:
        self.loop = loop
        self.chance = chance
        self.clock = VirtualClock(loop)
        self.server = Server(loop, chance, weather)
        self.stream = JetStream(self.server, chance)
        self.database = Database(loop, chance)
        self.hubs: list[Hub] = []
        self.streamers: list[Streamer] = []
        self.readers: list[Reader] = []
        self.events: list[tuple[Any, ...]] = []
        """What happened when."""
        self.nodes: list[Node] = [loop.world]
        self.writing = True
        self._sent: dict[str, list[str]] = defaultdict(list)
        self._funnels: list[tuple[Node, Funnel]] = []
        self._in_edit: set[str] = set()
        self._sending: list[asyncio.Task[Any]] = []
        self._numbers: dict[str, int] = defaultdict(int)

    def record(self, *what: Any) -> None:
        """Note that something happened."""
        self.events.append((round(self.loop.time(), 6), *what))

    @property
    def editing(self) -> bool:
        """Whether changes are under way."""
        return bool(self._in_edit) or not all(sending.done() for sending in self._sending)

    def history(self) -> History:
        """What the checker may know."""
        readings = {reader.name: reader.reading for reader in self.readers}
        return History(self.database.commits, readings, self._sent)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do `action` after a while, whatever runs or does not."""
        self.loop.call_later(seconds, action, context=self.loop.world.context)

    async def heal(self) -> None:
        """Nothing goes wrong any more: everybody runs, and reaches everybody."""
        self.database.away.clear()
        self.database.leaseless.clear()
        self.server.weather = Weather()
        self.stream.silent_until = 0.0
        self.stream.fenced = True
        processes: list[Hub | Streamer] = [*self.hubs, *self.streamers]
        for process in processes:
            process.node.fuse = None
            self.loop.resume_node(process.node)
            process.line.restore()
        for streamer in self.streamers:
            streamer.choked.set()
        if not self.hubs:
            self.start_hub()

    # --- processes ----------------------------------------------------------------------------

    def start_hub(self) -> Hub:
        hub = Hub(self, self._node("hub"))
        self.hubs.append(hub)
        self._start(hub.node, hub.run())
        return hub

    def start_streamer(self) -> Streamer:
        streamer = Streamer(
            self.loop,
            self.server,
            self.database,
            self._node("streamer"),
            on_left=self._come_again,
            record=self.record,
        )
        self.streamers.append(streamer)
        self._start(streamer.node, streamer.run())
        return streamer

    def start_messaging(self) -> None:
        """A process through which messages are sent."""
        node = self._node("messaging")
        funnel = Funnel(
            Committer(self.database, node),
            lambda room_id, stored: None,
            clock=self.clock,
            metrics=_FUNNEL_METRICS,
        )
        self._funnels.append((node, funnel))

    def kill(self, process: Hub | Streamer, *, gone: bool) -> None:
        """As SIGKILL does. `gone`: what it had sent last never arrives."""
        self.record("killed", process.node.name)
        process.node.dead = True
        self.loop.stop_node(process.node)
        process.line.cut(gone=gone)
        if isinstance(process, Hub):
            self.hubs.remove(process)
        else:
            self.streamers.remove(process)
            for reader in list(process.readers):
                if reader.reading.segments:
                    reader.reading.segments[-1].live = False
                reader.streamer, reader.waiting = None, None
                self._come_again(reader, 0.2 + self.chance.random())

    def _node(self, kind: str) -> Node:
        self._numbers[kind] += 1
        node = Node(f"{kind}-{self._numbers[kind]}")
        self.nodes.append(node)
        return node

    def _start(self, node: Node, life: Coroutine[Any, Any, None]) -> None:
        task = self.loop.start_in(node, life)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.failures.append(f"a process died of {error!r}")

    # --- clients ------------------------------------------------------------------------------

    def open_room(self, room_id: str, users: list[str]) -> None:
        """A room whose members all follow it."""
        self.database.rooms[room_id] = Room(set(users))
        for user in users:
            reader = Reader(room_id, user)
            self.readers.append(reader)
            self._come(reader)

    def _come_again(self, reader: Reader, after: float) -> None:
        self.loop.call_later(after, self._come, reader, context=self.loop.world.context)

    def _come(self, reader: Reader) -> None:
        if reader.user not in self.database.rooms[reader.room].members or reader.streamer:
            return
        ready = [one for one in self.streamers if not one.node.stopped]
        if not ready:
            self._come_again(reader, 0.5)
            return
        self.chance.choice(ready).serve(reader)

    async def write(self, writer: str, room_id: str, pause: float) -> None:
        """Send messages by bursts, the next before the one before is answered."""
        chance = self.chance
        while self.writing:
            await asyncio.sleep(chance.expovariate(1 / pause))
            for _ in range(chance.choice((1, 1, 2, 5))):
                self.say(writer, room_id)

    async def edit(self, room_id: str, pause: float) -> None:
        """Change messages. A change bears the date of when it began, and may take its time."""
        chance, database = self.chance, self.database
        while self.writing:
            await asyncio.sleep(chance.expovariate(1 / pause))
            free = [one for one in database.rooms[room_id].messages if one not in self._in_edit]
            if free:
                message = chance.choice(free)
                self._in_edit.add(message)
                self.loop.call_later(
                    chance.choice((0.01, 0.5, 3.0)) * chance.random(),
                    self._finish_edit,
                    room_id,
                    message,
                    database.moment(),
                )

    def _finish_edit(self, room_id: str, message: str, begun: datetime) -> None:
        self._in_edit.discard(message)
        self.database.edit(room_id, message, begun)

    def say(self, writer: str, room_id: str) -> None:
        """Send one message."""
        node, funnel = self._funnels[hash_of(writer) % len(self._funnels)]
        sent = self._sent[f"{writer}/{room_id}"]
        identity = f"{writer}.{room_id}.{len(sent)}"
        sent.append(identity)
        person = Person(writer, writer)
        draft = Draft({"_id": identity, "rid": room_id, "msg": "x", "u": person.reference}, person)
        self._sending.append(self.loop.start_in(node, funnel.send(room_id, draft)))


def hash_of(text: str) -> int:
    """The same number for the same text in every process."""
    return sum(text.encode())
