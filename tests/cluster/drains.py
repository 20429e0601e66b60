"""What streamers say of their drains. Their logs go with them, so they are read while they live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.cluster.kubernetes import Document
from tests.cluster.release import Release

_LOOK_EVERY = 1.0  # seconds; a pod lives longer than that


@dataclass(frozen=True, slots=True)
class Drained:
    """The last word of a streamer."""

    pod: str
    sessions: int
    forced: int
    """How many had to go before their turn or their answers."""


@dataclass(slots=True)
class Drains:
    """All that was said so far."""

    ended: list[Drained] = field(default_factory=list)

    @property
    def forced(self) -> int:
        return sum(one.forced for one in self.ended)

    @property
    def sessions(self) -> int:
        return sum(one.sessions for one in self.ended)


@asynccontextmanager
async def drains_of(release: Release) -> AsyncIterator[Drains]:
    """Follow the logs of every streamer that is there, or comes, while the context lasts."""
    said = Drains()
    following: dict[str, asyncio.Task[None]] = {}
    followed = asyncio.Event()
    watching = asyncio.create_task(_watch(release, said, following, followed), name="drains")
    try:
        async with asyncio.timeout(30):
            await followed.wait()
        yield said
    finally:
        watching.cancel()
        tasks = [watching, *following.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(
    release: Release,
    said: Drains,
    following: dict[str, asyncio.Task[None]],
    followed: asyncio.Event,
) -> None:
    while True:
        for pod in await release.pods("streamer"):
            if pod.name not in following and pod.ready:
                following[pod.name] = asyncio.create_task(_follow(release, pod.name, said))
        followed.set()
        await asyncio.sleep(_LOOK_EVERY)


async def _follow(release: Release, pod: str, said: Drains) -> None:
    process = await asyncio.create_subprocess_exec(
        *("kubectl", "--namespace", release.namespace.name),
        *("logs", "--follow", "--tail=1", pod, "--container=hubbub"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1024 * 1024,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            word = _word(line)
            if word.get("msg") == "drained":
                said.ended.append(Drained(pod, word["sessions"], word["forced"]))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _word(line: bytes) -> Document:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
