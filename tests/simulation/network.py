"""A NATS server in memory, and connections to it that stall, break, lose, repeat and reorder.

`SimulatedLine` is what `hubbub.bus.connection.Connection` is to the code under test, down to
what it does while it is disconnected: it keeps what is sent, and sends it when it is back.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from hubbub.bus.parser import Door
from hubbub.contracts.event_log import LIVE_SUBJECTS, PREFIX
from tests.simulation.loop import Node, SimulatedLoop

NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


@dataclass(frozen=True)
class Weather:
    """How bad the network of a run is."""

    fast: float = 0.002
    """Seconds that a message takes at most, as a rule."""
    slow: float = 0.3
    """The same for one that is slow."""
    slowness: float = 0.02
    """How likely a message is slow."""
    loss: float = 0.0
    """How likely a message is lost without a word."""
    repetition: float = 0.0
    """How likely a live event comes twice."""
    reordering: bool = False
    """Live events of different audiences overtake each other."""
    lag: float = 0.0
    """How likely a question to the log is answered by a copy that lags behind."""


class Service(Protocol):
    """What answers inside the server: JetStream."""

    def take(self, subject: str, reply: str, block: bytes | None, payload: bytes) -> bool:
        """Do with a message what has to be done; False: it is none of ours."""
        ...


class Server:
    """One NATS server: who listens to what."""

    def __init__(self, loop: SimulatedLoop, chance: random.Random, weather: Weather) -> None:
        self.loop = loop
        self.chance = chance
        self.weather = weather
        self.service: Service | None = None
        self.numbers = count()
        self.swallowed = ""
        """Messages of subjects that begin so reach nobody."""
        self._listening: dict[str, dict[int, Listening]] = {}

    def delay(self) -> float:
        """Seconds that the next message takes."""
        weather, drawn = self.weather, self.chance.random()
        if drawn < weather.slowness:
            return weather.slow * drawn / weather.slowness
        return weather.fast * drawn

    def loses(self) -> bool:
        """Whether the next message is lost."""
        return self.weather.loss > 0 and self.chance.random() < self.weather.loss

    def listen(self, listening: Listening) -> None:
        self._listening.setdefault(listening.subject, {})[listening.number] = listening

    def ignore(self, listening: Listening) -> None:
        self._listening.get(listening.subject, {}).pop(listening.number, None)

    def take(self, subject: str, reply: str, block: bytes | None, payload: bytes) -> None:
        """A message of some client."""
        if self.service is not None and self.service.take(subject, reply, block, payload):
            return
        if not self.publish(subject, reply, block, payload) and reply:
            self.publish(reply, "", NO_RESPONDERS, b"")

    def publish(self, subject: str, reply: str, block: bytes | None, payload: bytes) -> bool:
        """Send to whoever listens; whether anybody does."""
        heard = False
        for pattern in _patterns(subject):
            for listening in self._listening.get(pattern, {}).values():
                heard = True
                listening.line.deliver(listening, subject, reply, block, payload)
        return heard


def _patterns(subject: str) -> tuple[str, ...]:
    """Under which names somebody may listen to `subject`: those that Hubbub uses."""
    whole = f"{subject.rpartition('.')[0]}.*"
    if not subject.startswith(PREFIX):
        return (subject, whole)
    rest = subject[len(PREFIX) :].partition(".")[2]
    return (subject, f"{PREFIX}*.{rest}", whole)


class Listening:
    """A subscription, as server and client share it."""

    def __init__(self, line: SimulatedLine, number: int, subject: str, door: Door | None) -> None:
        self.line = line
        self.number = number
        self.subject = subject
        self.door = door
        self._messages: deque[Msg] = deque()
        self._arrived: asyncio.Future[None] | None = None

    async def unsubscribe(self) -> None:
        self.line.end(self)

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        if not self._messages:
            self._arrived = self.line.server.loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived
            except TimeoutError:
                raise nats.errors.TimeoutError from None
        return self._messages.popleft()

    def hand_over(self, subject: str, reply: str, block: bytes | None, payload: bytes) -> None:
        """A message has arrived in the client."""
        if self.door is not None:
            self.door(subject.encode(), reply.encode(), payload, block)
            return
        self._messages.append(message(subject, reply, block, payload))
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


def message(subject: str, reply: str, block: bytes | None, payload: bytes) -> Msg:
    """A message as nats-py hands it over."""
    headers = headers_of(block) if block is not None else None
    return Msg(cast(Client, None), subject, reply, payload, headers)


def headers_of(block: bytes) -> dict[str, str]:
    """The headers in a block; a status is one of them, as in nats-py."""
    first, *lines = block.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    status = first.removeprefix("NATS/1.0").split()
    return headers | {"Status": status[0]} if status else headers


def block_of(headers: dict[str, str], status: str = "") -> bytes:
    """A block with these headers."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"NATS/1.0{status}\r\n{lines}\r\n".encode()


class SimulatedLine:
    """The connection of one node to NATS."""

    max_payload = 1024 * 1024
    is_closed = False

    def __init__(self, server: Server, node: Node) -> None:
        self.server = server
        self.node = node
        self.on_reconnect: Callable[[], None] = _nothing
        self.connected = True
        self.faulty = True
        """Whether loss and reordering apply."""
        self._life = 0  # which connection it is; messages of an earlier one are gone
        self._stalled_until = 0.0
        self._up_at = 0.0
        self._down_at = 0.0
        self._lanes: dict[str, float] = {}
        self._waiting: list[tuple[str, str, bytes | None, bytes]] = []
        self._listening: dict[int, Listening] = {}
        self._numbers = count()
        self._answers: dict[str, asyncio.Future[Msg]] = {}
        self._replies = self.new_inbox()
        self._listen(f"{self._replies}.*", self._answered)

    @property
    def is_connected(self) -> bool:
        return self.connected

    # --- as the code under test sees it -------------------------------------------------------

    def new_inbox(self) -> str:
        return f"_INBOX.{self.node.name}-{next(self._numbers)}"

    async def open_door(self, subject: str, door: Door) -> Listening:
        return self._listen(subject, door)

    async def subscribe(self, subject: str) -> Listening:
        return self._listen(subject, None)

    def send(self, subject: bytes, reply: bytes, headers: bytes | None, payload: bytes) -> None:
        self._send(subject.decode(), reply.decode(), headers, payload)

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self._send(subject, reply, block_of(headers) if headers else None, payload)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        *,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        token = str(next(self._numbers))
        answer: asyncio.Future[Msg] = self.server.loop.create_future()
        self._answers[token] = answer
        try:
            await self.publish(subject, payload, f"{self._replies}.{token}", headers)
            async with asyncio.timeout(timeout):
                found = await answer
        except TimeoutError:
            raise nats.errors.TimeoutError from None
        finally:
            del self._answers[token]
        if found.headers is not None and found.headers.get("Status") == "503":
            raise nats.errors.NoRespondersError
        return found

    async def flush(self, timeout: int = 10) -> None:
        loop = self.server.loop
        pong: asyncio.Future[None] = loop.create_future()
        life = self._life

        def heard() -> None:
            if life == self._life and not pong.done():
                pong.set_result(None)

        if self.connected:
            self._up(lambda: self._down(heard))
        try:
            async with asyncio.timeout(timeout):
                await pong
        except TimeoutError:
            raise nats.errors.FlushTimeoutError from None

    # --- as the server sees it ----------------------------------------------------------------

    def deliver(
        self, listening: Listening, subject: str, reply: str, block: bytes | None, payload: bytes
    ) -> None:
        """On its way to the client, unless it gets lost."""
        if not self.connected:
            return
        server, live = self.server, subject.startswith(LIVE_SUBJECTS)
        if self.faulty and (server.loses() or _begins(subject, server.swallowed)):
            return
        lane = subject if live and self.faulty and server.weather.reordering else ""
        self._down(self._arrive, listening, subject, reply, block, payload, lane=lane)
        if live and self.faulty and server.chance.random() < server.weather.repetition:
            self._down(self._arrive, listening, subject, reply, block, payload, lane=lane)

    def end(self, listening: Listening) -> None:
        """The client does not listen any more."""
        self._listening.pop(listening.number, None)
        if self.connected:
            self._up(self.server.ignore, listening)
        else:
            self.server.ignore(listening)

    # --- what happens to it -------------------------------------------------------------------

    def stall(self, seconds: float) -> None:
        """Nothing moves for a while, in both directions; nothing is lost."""
        self._stalled_until = max(self._stalled_until, self.server.loop.time() + seconds)

    def cut(self, *, gone: bool = True) -> None:
        """What is sent from now on waits. `gone`: what is on its way is lost."""
        self.connected = False
        self._life += gone
        for listening in self._listening.values():
            self.server.ignore(listening)

    def restore(self) -> None:
        """Connected again: first the subscriptions, then what waited."""
        if self.connected or self.node.dead:
            return
        self.connected = True
        self._stalled_until = 0.0
        for listening in self._listening.values():
            self._up(self.server.listen, listening)
        waiting, self._waiting = self._waiting, []
        for sent in waiting:
            self._send(*sent)
        self._down(self.on_reconnect)

    # --- inside -------------------------------------------------------------------------------

    def _listen(self, subject: str, door: Door | None) -> Listening:
        listening = Listening(self, next(self.server.numbers), subject, door)
        self._listening[listening.number] = listening
        if self.connected:
            self._up(self.server.listen, listening)
        return listening

    def _send(self, subject: str, reply: str, block: bytes | None, payload: bytes) -> None:
        if not self.connected:
            self._waiting.append((subject, reply, block, payload))
        elif self.faulty and self.server.loses():
            self._up(_nothing)
        else:
            self._up(self.server.take, subject, reply, block, payload)

    def _up(self, action: Callable[..., object], *args: Any) -> None:
        loop = self.server.loop
        self._up_at = max(self._up_at, self._stalled_until, loop.time() + self.server.delay())
        loop.call_at(
            self._up_at, self._in_life, self._life, action, args, context=loop.world.context
        )

    def _down(self, action: Callable[..., object], *args: Any, lane: str = "") -> None:
        loop = self.server.loop
        at = max(self._stalled_until, loop.time() + self.server.delay())
        if lane:
            at = self._lanes[lane] = max(at, self._lanes.get(lane, 0.0))
        else:
            at = self._down_at = max(at, self._down_at)
        loop.call_at(at, self._in_life, self._life, action, args, context=self.node.context)

    def _in_life(self, life: int, action: Callable[..., object], args: tuple[Any, ...]) -> None:
        if life == self._life:
            action(*args)

    def _arrive(
        self, listening: Listening, subject: str, reply: str, block: bytes | None, payload: bytes
    ) -> None:
        if listening.number in self._listening:
            listening.hand_over(subject, reply, block, payload)

    def _answered(self, subject: bytes, _: bytes, payload: bytes, block: bytes | None) -> None:
        answer = self._answers.get(subject.decode().rpartition(".")[2])
        if answer is not None and not answer.done():
            answer.set_result(message(subject.decode(), "", block, payload))


def _begins(subject: str, beginning: str) -> bool:
    return bool(beginning) and subject.startswith(beginning)


def _nothing() -> None:
    return None
