"""A process full of clients.

    python -m tests.chaos.crowd SPECIFICATION.json

Orders come to the standard input, one JSON document per line, each answered by one line on the
standard output: `begin` (when everybody is online), `stop` (when everything that was begun is
answered), `settle` (when everybody was shown what stands in the rooms) and `end`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from tests.chaos.history import Recorder
from tests.chaos.reader import Person, Reader
from tests.chaos.talk import Rates, Talk

ONLINE_WITHIN = 60.0  # seconds
LOOK = 0.05  # seconds


class Crowd:
    """All clients of this process."""

    def __init__(self, given: dict[str, Any], recorder: Recorder) -> None:
        dice = random.Random(given["seed"])
        rooms: dict[str, dict[str, Any]] = given["rooms"]
        people = {one["name"]: Person(**one) for one in given["people"]}
        self.readers = {
            name: Reader(
                person,
                [room for room, has in rooms.items() if name in has["writers"] + has["guests"]],
                given["since"],
                given["urls"],
                recorder,
                given["proc"],
                random.Random(dice.random()),
            )
            for name, person in people.items()
        }

        def of(kind: str, talked: bool) -> dict[str, list[Reader]]:
            return {
                room: [self.readers[name] for name in has[kind]]
                for room, has in rooms.items()
                if not talked or not has["quiet"]
            }

        self.talk = Talk(
            Rates(**given["rates"]),
            of("writers", talked=True),
            of("guests", talked=True),
            recorder,
            given["proc"],
            given["mark"],
            random.Random(dice.random()),
        )

    async def run(self) -> None:
        """Obey until the end."""
        living = [
            asyncio.create_task(reader.live(), name=name) for name, reader in self.readers.items()
        ]
        obeying = asyncio.create_task(self._obey(), name="orders")
        done, _ = await asyncio.wait([*living, obeying], return_when=asyncio.FIRST_COMPLETED)
        for task in [*living, obeying]:
            task.cancel()
        await asyncio.gather(*living, obeying, return_exceptions=True)
        await self.talk.close()
        for task in done:
            task.result()  # a client that failed is an error of the drill

    async def _obey(self) -> None:
        orders = asyncio.StreamReader(limit=2**26)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            order = json.loads(line)
            answer: Any = True
            match order["do"]:
                case "begin":
                    async with asyncio.timeout(ONLINE_WITHIN):
                        for reader in self.readers.values():
                            await reader.online()
                    self.talk.begin()
                case "stop":
                    async with asyncio.timeout(order["within"]):
                        await self.talk.stop()
                case "settle":
                    answer = await self._settle(order["shown"], order["within"])
                case _:  # "end"
                    return
            print(json.dumps(answer), flush=True)

    async def _settle(self, shown: dict[str, list[str]], within: float) -> bool:
        """Wait until all who are in a room have this of it; whether it came so far."""
        wanted = {room: frozenset(ids) for room, ids in shown.items()}
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if all(
                wanted.get(place.room, frozenset()) <= place.shown
                for reader in self.readers.values()
                for place in reader.places.values()
            ):
                return True
            await asyncio.sleep(LOOK)
        return False


async def main(given: dict[str, Any]) -> None:
    """Be the crowd that is described."""
    with Recorder(Path(given["history"])) as recorder:
        await Crowd(given, recorder).run()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_bytes())))
