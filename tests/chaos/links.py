"""The lines between the programs of the stage: orders to the proxy process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.programs import Program
from tests.chaos.proxy import HOST
from tests.waiting import eventually


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A line to be: its own port leads to `target`."""

    name: str
    port: int
    target: int
    nats: bool = False


class Links:
    """All lines. Patterns are of `fnmatch`: `streamer-1>*` is every line of one streamer.

    `greeting`: only connections whose client calls itself so in its first bytes, such as
    `stream-hub-h3k9` on a line to MongoDB that many share.
    """

    def __init__(self, plans: Sequence[LinkPlan], free: Iterator[int], log: Path) -> None:
        self._control = next(free)
        links = [
            {"name": plan.name, "port": plan.port, "target": plan.target, "nats": plan.nats}
            for plan in plans
        ]
        given = json.dumps({"control": self._control, "links": links})
        command = [sys.executable, "-m", "tests.chaos.proxy", given]
        self.program = Program("proxy", command, log)

    async def answers(self) -> None:
        """Wait until it can be given orders."""

        async def reachable() -> bool:
            with suppress(OSError):
                await self.connections()
                return True
            return False

        await eventually(reachable, within=30.0, what="the proxy answers")

    async def set(self, link: str, *, greeting: str = "", **weather: Any) -> None:
        """Treat these lines so from now on; see `proxy.Weather` for the words."""
        await self._order(do="set", link=link, greeting=greeting, weather=_plain(weather))

    async def drop(self, link: str, *, greeting: str = "") -> int:
        """Cut the connections that are open now; how many there were."""
        count: int = await self._order(do="drop", link=link, greeting=greeting)
        return count

    async def cut(self, link: str, *, greeting: str = "") -> None:
        """Cut what is open and refuse what comes, until `clear`."""
        await self.set(link, greeting=greeting, refused=True)
        await self.drop(link, greeting=greeting)

    async def lose(self, link: str, *words: str, times: int = 1) -> None:
        """Leave out the next messages of NATS with all these words in them, as if never sent."""
        await self._order(do="lose", link=link, words=words, times=times)

    async def lost(self, link: str = "*") -> int:
        """How many messages were left out so far."""
        count: int = await self._order(do="lost", link=link)
        return count

    async def clear(self, link: str = "*") -> None:
        """Everything flows again."""
        await self._order(do="clear", link=link)

    async def connections(self, link: str = "*") -> dict[str, int]:
        """Line → how many connections are open."""
        found: dict[str, int] = await self._order(do="connections", link=link)
        return found

    async def _order(self, **order: Any) -> Any:
        reader, writer = await asyncio.open_connection(HOST, self._control)
        try:
            writer.write(json.dumps(order).encode() + b"\n")
            async with asyncio.timeout(10.0):
                return json.loads(await reader.readline())
        finally:
            writer.close()


def _plain(weather: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: sorted(value) if isinstance(value, frozenset | set | tuple | list) else value
        for name, value in weather.items()
    }
