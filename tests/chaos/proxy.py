"""A TCP proxy that behaves as badly as it is told: a process of its own, so that load elsewhere
does not disturb it.

    python -m tests.chaos.proxy '{"control": 18000, "links": [{"name": "a", "port": 18001, ...}]}'

Each *link* is a listening port and the port that it leads to. A connection is known by the link
and by its *greeting*, the first bytes that its client says: a MongoDB client and a NATS client
name themselves there. Orders come to the control port, one JSON document per line, each answered
by one line; `tests.chaos.links` is the other end.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.chaos.nats_frames import Splitter

HOST = "127.0.0.1"
CHUNK = 65_536  # bytes

Direction = Literal["up", "down"]
"""Up is from who opened the connection to the server; down is the way back."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How a link treats what is sent over it."""

    held: frozenset[str] = frozenset()
    """Directions in which nothing moves although both ends stay connected: half-open, or both."""
    delay: float = 0.0
    """Seconds that each chunk waits, one after the other."""
    rate: float = 0.0
    """Bytes per second of each direction; 0 for any."""
    refused: bool = False
    """Whether new connections are closed at once."""


CLEAR = Weather()


@dataclass(slots=True)
class Loss:
    """A message that is left out: the next `left` ones from the server with all these words."""

    words: list[bytes]
    left: int


@dataclass(eq=False, slots=True)
class Link:
    """One listening port and where it leads."""

    name: str
    port: int
    target: int
    nats: bool = False
    """Whether NATS is spoken, so that single messages can be lost."""
    weather: dict[str, Weather] = field(default_factory=dict)
    """For connections whose greeting contains the key; "" is for all others."""
    losses: list[Loss] = field(default_factory=list)
    lost: int = 0
    pairs: set[Pair] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def weather_of(self, greeting: bytes) -> Weather:
        for word, weather in self.weather.items():
            if word and word.encode() in greeting:
                return weather
        return self.weather.get("", CLEAR)

    def set(self, word: str, weather: Weather) -> None:
        """From now on; those who wait look again."""
        self.weather[word] = weather
        self.changed.set()
        self.changed = asyncio.Event()

    def is_lost(self, message: bytes) -> bool:
        """Whether this message is one of those to leave out."""
        for loss in self.losses:
            if loss.left and all(word in message for word in loss.words):
                loss.left -= 1
                self.lost += 1
                return True
        return False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either end closes it."""
        if self.weather.get("", CLEAR).refused:
            writer.transport.abort()
            return
        try:
            server, upstream = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = Pair(self, writer, upstream)
        self.pairs.add(pair)
        pumps = [
            asyncio.create_task(pair.pump(reader, upstream, "up")),
            asyncio.create_task(pair.pump(server, writer, "down")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.pairs.discard(pair)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            # What was said before the end still arrives.
            upstream.close()
            writer.close()


@dataclass(eq=False, slots=True)
class Pair:
    """Both halves of one connection."""

    link: Link
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    greeting: bytes = b""

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        """Carry one direction until its sender closes it or the connection is cut."""
        splitter = Splitter() if self.link.nats and direction == "down" else None
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if direction == "up" and not self.greeting:
                    self.greeting = data
                    if self._weather.refused:
                        break
                kept = data
                if splitter is not None:
                    messages = splitter.feed(data)
                    kept = b"".join(one for one in messages if not self.link.is_lost(one))
                if kept:
                    await self._carry(kept, writer, direction)

    @property
    def _weather(self) -> Weather:
        return self.link.weather_of(self.greeting)

    async def _carry(self, data: bytes, writer: asyncio.StreamWriter, direction: Direction) -> None:
        await asyncio.sleep(self._weather.delay)
        left = memoryview(data)
        while left:
            while direction in self._weather.held:
                await self.link.changed.wait()
            rate = self._weather.rate
            piece = left[: max(1, int(rate / 10))] if rate else left
            writer.write(piece)
            await writer.drain()
            left = left[len(piece) :]
            if rate:
                await asyncio.sleep(len(piece) / rate)

    def abort(self) -> None:
        """End both halves without a farewell."""
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """All links, and who gives them orders."""

    def __init__(self, links: Iterable[Link]) -> None:
        self._links = list(links)

    async def run(self, control: int) -> None:
        """Serve for ever."""
        for link in self._links:
            await asyncio.start_server(link.accept, HOST, link.port, backlog=1024)
        server = await asyncio.start_server(self._obey, HOST, control)
        await server.serve_forever()

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(self._do(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    def _do(self, order: dict[str, Any]) -> Any:
        links = [one for one in self._links if fnmatch.fnmatch(one.name, order.get("link", "*"))]
        word = order.get("greeting", "")
        match order["do"]:
            case "set":
                changes = dict(order["weather"])
                if "held" in changes:
                    changes["held"] = frozenset(changes["held"])
                for link in links:
                    link.set(word, replace(CLEAR, **changes))
            case "clear":
                for link in links:
                    link.weather.clear()
                    link.losses.clear()
                    link.set("", CLEAR)
            case "drop":
                pairs = [pair for link in links for pair in link.pairs]
                struck = [pair for pair in pairs if word.encode() in pair.greeting]
                for pair in struck:
                    pair.abort()
                return len(struck)
            case "lose":
                for link in links:
                    words = [text.encode() for text in order["words"]]
                    link.losses.append(Loss(words, order["times"]))
            case "lost":
                return sum(link.lost for link in links)
            case "connections":
                return {link.name: len(link.pairs) for link in links}
            case unknown:
                raise ValueError(f"unknown order {unknown!r}")
        return len(links)


def main(arguments: list[str]) -> None:
    """Serve what the one argument describes."""
    given = json.loads(arguments[0])
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(given))


async def _run(given: dict[str, Any]) -> None:
    await Proxy([Link(**link) for link in given["links"]]).run(given["control"])


if __name__ == "__main__":
    main(sys.argv[1:])
