"""Whatever goes wrong: half a minute later everybody's status is what their open sockets say.

Streamers, their links to presence and two replicas of it live through random faults on one
virtual clock: streamers die, restart and freeze, calls and answers get lost or come twice and
late, replicas die with claims in their hands and go deaf, the bucket of leases vanishes.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import cast

import pytest

from hubbub.clock import FakeClock
from hubbub.contracts.presence import STATUS_CODES, ConnectionRecord, Presence, Status
from hubbub.errors import HubbubError, Unavailable
from services.ddp_streamer.lease import RENEW_INTERVAL
from services.ddp_streamer.presence_link import PresenceLink
from services.presence.domain import merged
from tests.integration.presence.conftest import Cluster, Replica

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

USERS = [f"u{number}" for number in range(12)]
STREAMERS = 3
FAULTY = 150  # seconds of faults
LEASE, OBSERVATION, GRACE = 15.0, 20.0, 10.0
HEALED = OBSERVATION + GRACE + 2
"""Seconds after the last fault: a replica that starts observes before it ends anything."""
NOTICED = 3.0  # seconds that a change may take to be told to presence, with calls that fail
LATE = 5.0  # seconds; no call is older when it arrives: its deadline is over then


@dataclass
class Socket:
    """What a link sees of a session."""

    public_id: str
    user_id: str | None
    sequence: int = 0
    status: Status = Status.ONLINE


class Wires:
    """Calls of streamers to whichever replica, some of which get lost, or come twice."""

    def __init__(self, chance: random.Random, clock: FakeClock, replicas: list[Replica]) -> None:
        self.chance = chance
        self.clock = clock
        self.replicas = replicas
        self.faulty = True
        self.late: list[tuple[float, float, Callable[[], Awaitable[None]]]] = []  # due, sent, what

    async def new_connection(self, record: ConnectionRecord, instance: str, boot: str) -> None:
        await self._call(lambda to: to.new_connection(record, instance, boot))

    async def set_connection_status(
        self, record: ConnectionRecord, instance: str, boot: str
    ) -> None:
        await self._call(lambda to: to.set_connection_status(record, instance, boot))

    async def remove_connections(
        self, records: list[ConnectionRecord], instance: str, boot: str
    ) -> None:
        await self._call(lambda to: to.remove_connections(records, instance, boot))

    async def announce(self, records: list[ConnectionRecord], instance: str, boot: str) -> None:
        await self._call(lambda to: to.announce(records, instance, boot))

    async def _call(self, call: Callable[[Presence], Awaitable[None]]) -> None:
        replica = self.chance.choice(self.replicas)
        fate = self.chance.random() if self.faulty else 1.0
        if fate < 0.1:
            raise Unavailable("the call got lost")
        if fate < 0.2:
            now = self.clock.monotonic()
            due = now + self.chance.uniform(0, LATE)
            self.late.append((due, now, lambda: call(replica.service)))
        await call(replica.service)
        if 0.2 <= fate < 0.3:
            raise Unavailable("the answer got lost")

    async def deliver_late(self) -> None:
        """What was under way for long arrives."""
        now = self.clock.monotonic()
        due, self.late = (
            [one for one in self.late if one[0] <= now],
            [one for one in self.late if one[0] > now],
        )
        for _, _, call in due:
            with suppress(Unavailable):  # the replica it was for may be gone
                await call()


@dataclass
class Streamer:
    """One process with its sockets."""

    name: str
    link: PresenceLink
    sockets: list[Socket] = field(default_factory=list)
    frozen: bool = False
    renewed_at: float = -RENEW_INTERVAL


class Town:
    """Everything together; `second` lets a second pass."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.clock = cluster.clock
        self.chance = chance
        self.replicas: list[Replica] = []
        self.lives: list[AsyncExitStack] = []  # of the replicas, in the same order
        self.wires = Wires(chance, self.clock, self.replicas)
        self.streamers: list[Streamer] = []
        self.keys: dict[str, float] = {}  # streamer → when its key runs out
        self.covered: dict[str, float] = dict.fromkeys(USERS, 0.0)
        """When each user last had an open socket on a streamer that works."""
        self.count = 0

    def next_number(self) -> int:
        self.count += 1
        return self.count

    # -- what lives -------------------------------------------------------------------------------

    async def start_replica(self) -> None:
        life = await self.cluster.stack.enter_async_context(AsyncExitStack())
        self.replicas.append(await life.enter_async_context(self.cluster.running()))
        self.lives.append(life)

    def start_streamer(self, name: str = "") -> None:
        name = name or f"streamer-{self.next_number()}"
        link = PresenceLink(cast("Presence", self.wires), name, clock=self.clock)
        self.streamers.append(Streamer(name, link))

    def working(self) -> list[Streamer]:
        return [streamer for streamer in self.streamers if not streamer.frozen]

    async def second(self) -> None:
        """Streamers renew and tell, replicas watch and settle."""
        await self.clock.sleep(1.0)
        now = self.clock.monotonic()
        for name in [name for name, until in self.keys.items() if until <= now]:
            del self.keys[name]
        for streamer in self.working():
            if now - streamer.renewed_at >= RENEW_INTERVAL:
                self._renew(streamer, now)
            try:
                await streamer.link.flush()
            except HubbubError:
                streamer.link.announce_all()  # as its own task does
            for socket in streamer.sockets:
                self.covered[str(socket.user_id)] = now
        await self.wires.deliver_late()
        for replica in self.replicas:
            replica.leases.held = set(self.keys)
            await replica.service.vigil.look()
            if replica.asked:
                replica.asked.clear()
                for streamer in self.working():
                    streamer.link.announce_all()
            told = len(self.cluster.frames)
            await replica.settle()
            self._judge_frames(told, now)

    def _renew(self, streamer: Streamer, now: float) -> None:
        streamer.renewed_at = now
        self.keys[streamer.name] = now + LEASE
        for replica in self.replicas:
            if replica.leases.can_hear:
                replica.service.vigil.heard(streamer.name, streamer.link.boot_id)

    def _judge_frames(self, told: int, now: float) -> None:
        """Nobody is told twice the same, and nobody who is there that somebody left."""
        for user_id, code, _ in self.cluster.frames[told:]:
            if code == 0:
                assert now - self.covered[user_id] >= GRACE - NOTICED, user_id
        for user_id in {user_id for user_id, _, _ in self.cluster.frames[told:]}:
            codes = [code for who, code, _ in self.cluster.frames if who == user_id]
            assert len(codes) < 2 or codes[-1] != codes[-2], user_id

    # -- what people do ---------------------------------------------------------------------------

    def people_act(self) -> None:
        """Some come, go, look away and back."""
        for _ in range(self.chance.randrange(4)):
            streamer = self.chance.choice(self.streamers)
            if streamer.frozen:
                continue
            deed = self.chance.random()
            if deed < 0.45 or not streamer.sockets:
                self._open(streamer, self.chance.choice(USERS))
            elif deed < 0.75:
                self._close(streamer, self.chance.choice(streamer.sockets))
            else:
                socket = self.chance.choice(streamer.sockets)
                socket.status = self.chance.choice([Status.ONLINE, Status.AWAY])
                streamer.link.status(socket, socket.status)

    def _open(self, streamer: Streamer, user_id: str) -> None:
        socket = Socket(f"c{self.next_number()}", user_id)
        streamer.sockets.append(socket)
        streamer.link.opened(socket)

    def _close(self, streamer: Streamer, socket: Socket) -> None:
        streamer.sockets.remove(socket)
        streamer.link.closed(socket)

    # -- what goes wrong --------------------------------------------------------------------------

    async def fault(self) -> None:
        """One of them."""
        faults: list[Callable[[], Awaitable[None]]] = [
            self._kill_streamer,
            self._restart_streamer,
            self._freeze,
            self._kill_replica,
            self._deafen,
            self._lose_bucket,
        ]
        await self.chance.choice(faults)()

    async def _kill_streamer(self) -> None:
        """Most of its clients come back elsewhere."""
        streamer = self.chance.choice(self.streamers)
        self.streamers.remove(streamer)
        self.start_streamer()
        self._move(streamer.sockets)

    async def _restart_streamer(self) -> None:
        """A pod that keeps its name; what it had said before can no longer be under way."""
        streamer = self.chance.choice(self.streamers)
        self.streamers.remove(streamer)
        for _ in range(int(LATE) + 1):
            await self.second()
        self.start_streamer(streamer.name)
        self._move(streamer.sockets)

    def _move(self, sockets: list[Socket]) -> None:
        working = self.working()
        for socket in sockets:
            if working and self.chance.random() < 0.7:
                self._open(self.chance.choice(working), str(socket.user_id))

    async def _freeze(self) -> None:
        self.chance.choice(self.streamers).frozen = True

    async def _kill_replica(self) -> None:
        """With users in its hands that it never settles."""
        victim = self.chance.randrange(len(self.replicas))
        replica, life = self.replicas.pop(victim), self.lives.pop(victim)
        await replica.service._sessions.claim(replica.service._now(), 5)
        await life.aclose()
        await self.start_replica()

    async def _deafen(self) -> None:
        self.chance.choice(self.replicas).leases.can_hear = False

    async def _lose_bucket(self) -> None:
        """Each streamer makes it anew when it renews, and then tells everything."""
        self.keys.clear()
        for streamer in self.working():
            streamer.link.announce_all()

    def mend(self) -> None:
        """What can be mended is."""
        for streamer in self.streamers:
            streamer.frozen = False
        for replica in self.replicas:
            replica.leases.can_hear = True

    # -- what must be true ------------------------------------------------------------------------

    async def check(self) -> None:
        """Each status is what the open sockets say."""
        sockets = [socket for streamer in self.streamers for socket in streamer.sockets]
        for user_id in USERS:
            own = [socket for socket in sockets if socket.user_id == user_id]
            said = merged(socket.status for socket in own).value
            assert await self.cluster.status(user_id) == said, user_id
            connections = await self.cluster.connections(user_id)
            assert connections == sorted(socket.public_id for socket in own), user_id
            codes = [code for who, code, _ in self.cluster.frames if who == user_id]
            assert (codes[-1] if codes else 0) == STATUS_CODES[Status(said)], user_id


@pytest.mark.parametrize("seed", range(3))
async def test_statuses_are_what_open_sockets_say_after_any_faults(
    cluster: Cluster, seed: int
) -> None:
    town = Town(cluster, random.Random(seed))
    for user_id in USERS:
        await cluster.user(user_id)
    for _ in range(2):
        await town.start_replica()
    for _ in range(STREAMERS):
        town.start_streamer()

    while cluster.clock.monotonic() < FAULTY:
        town.people_act()
        if town.chance.random() < 0.08:
            await town.fault()
        if town.chance.random() < 0.08:
            town.mend()
        await town.second()

    town.mend()
    town.wires.faulty = False
    healed_at = cluster.clock.monotonic() + HEALED
    while cluster.clock.monotonic() < healed_at or town.wires.late:
        await town.second()
    await town.check()
    assert {code for _, code, _ in cluster.frames} == {0, 1, 2}
