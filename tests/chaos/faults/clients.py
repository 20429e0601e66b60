"""Faults of clients and of the way to them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.chaos.faults.table import DRILL, Scene, fault
from tests.chaos.history import Ack, Send
from tests.chaos.load import Load
from tests.chaos.reader import agent_of
from tests.chaos.stage import Options
from tests.chaos.wire import Wire, opened
from tests.waiting import eventually

CRAWL = 1024.0  # bytes per second that a slow client reads
LETTERS = 4500  # of each message that slow clients have to read
VOICES = 5  # sockets that say them, each one after the other, as calls of one socket are done
EACH = 4  # such messages per socket and second, at most
CLOSED_WITHIN = 90.0  # seconds in which slow clients are sent away
SILENT_WITHIN = 80.0  # seconds: 30 (and up to 5) until the ping, 30 for the pong, and slack
USUAL = 10.0  # seconds of talk that say how long messages usually take
_SENT_AWAY = 'hubbub_streamer_disconnects_total{reason="slow"}'
_SILENT = 'hubbub_streamer_disconnects_total{reason="ping_timeout"}'
_SLOW = "drill-slow-client"
_CABLE = "drill-pulled-cable"


def _linked(options: Options) -> Options:
    return replace(options, linked_clients=True)


def _short_backlogs(options: Options) -> Options:
    """What is shown is the same with two thirds of the usual backlog, and needs less talk. It is
    more than any one answer (2 MiB at most): a client that gets one is not slow."""
    limits = {
        "HUBBUB_STREAMER_SOFT_BUFFERED_BYTES": "262144",
        "HUBBUB_STREAMER_MAX_BUFFERED_BYTES": "2621440",
    }
    return replace(_linked(options), settings={**options.settings, **limits})


def _longer_before(load: Load) -> Load:
    return replace(load, before=max(load.before, USUAL))


@fault(
    "F23", "slow clients (1 KiB/s), a quarter of all", bound=2.0, options=_short_backlogs,
    load=_longer_before, slowed=20.0, calm=0.5,
)  # fmt: skip
async def slow_clients(scene: Scene) -> None:
    """A quarter of the sockets read a kilobyte per second while much is said in their room, and
    so does one of those who talk there. They are sent away with 1013; nobody waits for them, and
    no memory goes with them. Who comes back catches up once the line is as good as any.

    Bound: that of any message on a busy machine, for all others; 20 s for the slow ones.
    """
    room = scene.rooms[0]
    owner, *talkers = room.writers
    slow = scene.dice.choice(talkers)
    count = scene.load.sockets // 4
    links = scene.stage.links
    before = await _ended(scene, _SENT_AWAY)
    async with (
        _strangers(scene, count, room.id, owner, _SLOW),
        _signed_in(scene, owner, VOICES) as voices,
    ):
        scene.broken(f"{count} sockets, and {slow}")
        scene.slowed(slow)
        for greeting in (_SLOW, agent_of(slow)):
            await links.set("clients>*", greeting=greeting, rate=CRAWL)
        numbers = itertools.count(1)

        async def are_away() -> bool:
            async with asyncio.TaskGroup() as tasks:
                for voice in voices:
                    said = itertools.islice(numbers, EACH)
                    tasks.create_task(_say(scene, voice, room.id, owner, list(said)))
                await asyncio.sleep(1.0)
            return await _ended(scene, _SENT_AWAY) - before >= count + 1

        await eventually(are_away, within=CLOSED_WITHIN, what=f"{count} slow clients are away")
        await links.drop("clients>*", greeting=_SLOW)
        await links.clear()
        scene.healed()


@fault("F24", "half-open clients", bound=2.0, options=_linked)
async def cables_pulled(scene: Scene) -> None:
    """The cables of a quarter of the sockets are pulled: no byte goes either way, and nobody says
    goodbye. The heartbeat finds them within 65 s.

    Bound: that of any message on a busy machine; nobody else notices.
    """
    room = scene.rooms[0]
    owner = room.writers[0]
    count = scene.load.sockets // 4
    links = scene.stage.links
    async with _strangers(scene, count, room.id, owner, _CABLE):
        before = await _ended(scene, _SILENT)
        scene.broken(f"{count} sockets")
        await links.set("clients>*", greeting=_CABLE, held=["up", "down"])

        async def are_found() -> bool:
            return await _ended(scene, _SILENT) - before >= count

        await eventually(are_found, within=SILENT_WITHIN, what=f"{count} cut clients are found")
        await links.drop("clients>*", greeting=_CABLE)
        scene.healed()
    await links.clear()


def _crowded(load: Load) -> Load:
    return replace(load, sockets=load.sockets * 4)


@fault("F25", "reconnect storm", bound=30.0, options=_linked, load=_crowded)
async def storm(scene: Scene) -> None:
    """All sockets, four times as many as usual, are cut at once and come back at once. They may
    have to wait; none of them is told that its token is wrong.

    Bound: 30 s until everybody has what was said meanwhile.
    """
    scene.broken(f"{scene.load.sockets} sockets")
    cut = await scene.stage.links.drop("clients>*")
    scene.healed()
    assert cut >= scene.load.sockets, f"only {cut} sockets were there"
    await scene.lasts(5.0)


async def _ended(scene: Scene, metric: str) -> float:
    return await scene.stage.total(scene.stage.streamers, metric)


@asynccontextmanager
async def _strangers(
    scene: Scene, count: int, room: str, user: str, agent: str
) -> AsyncIterator[None]:
    """So many more sockets of a member, which listen to the room. They are cut when it ends."""
    streamers = scene.stage.streamers
    async with AsyncExitStack() as stack:
        for number in range(count):
            url = streamers[number % len(streamers)].web_socket
            socket = opened(url, _unheard, _unheard, agent=agent)
            wire, _ = await stack.enter_async_context(socket)
            await wire.connect()
            await wire.call("login", {"resume": scene.tokens[user]})
            await wire.subscribe("stream-room-messages", room, False)
        yield


@asynccontextmanager
async def _signed_in(scene: Scene, user: str, count: int) -> AsyncIterator[list[Wire]]:
    wires = []
    async with AsyncExitStack() as stack:
        for _ in range(count):
            url = scene.dice.choice(scene.stage.streamers).web_socket
            wire, _reading = await stack.enter_async_context(opened(url, _unheard, _unheard))
            await wire.connect()
            await wire.call("login", {"resume": scene.tokens[user]})
            wires.append(wire)
        yield wires


async def _say(scene: Scene, wire: Wire, room: str, user: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        await _say_one(scene, wire, room, user, number)


async def _say_one(scene: Scene, wire: Wire, room: str, user: str, number: int) -> None:
    message = f"{scene.mark}{scene.dice.getrandbits(64):016x}"
    body = f"{DRILL}-{user}:{number} {'.' * LETTERS}"
    said: dict[str, Any] = {"proc": DRILL, "room": room, "id": message, "user": user}
    scene.recorder.write(Send(**said, body=body))
    stored = await wire.call("sendMessage", {"_id": message, "rid": room, "msg": body})
    scene.recorder.write(Ack(**said, ts=int(stored["ts"]["$date"])))


def _unheard(_: object) -> None:
    """Nobody asks what these sockets are told."""
