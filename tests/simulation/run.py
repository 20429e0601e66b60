"""One run from one number: build the world, let things go wrong, heal it, judge."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import MutableMapping
from typing import Any, NamedTuple

import structlog

from tests.simulation import faults
from tests.simulation.checker import complete, violations
from tests.simulation.loop import Livelock, SimulatedLoop
from tests.simulation.world import World

_WARMUP = 1.0
_DURATION = 12.0
"""Seconds of simulated time in which things go wrong."""
_HEALING = 60.0
"""Seconds within which everybody must be well again."""
_AFTER = 0.5


class Outcome(NamedTuple):
    """What became of a run."""

    seed: int
    violations: list[str]
    trace: str
    """Names the whole course of the run; two runs with the same name were the same."""
    story: list[tuple[Any, ...]]
    settled_after: float
    """Seconds of simulated time from the last fault's end until all was well."""
    steps: int


def run(seed: int, *, told: bool = False, at_the_end: faults.Fault | None = None) -> Outcome:
    """Run once. The same seed gives the same outcome, in every process.

    Args:
        told: the story has the log lines of the code under test, too.
        at_the_end: what goes wrong when all was well again.
    """
    before = random.getstate()
    random.seed(seed)  # the code under test varies its pauses
    loop = SimulatedLoop(seed)
    try:
        return loop.run_until_complete(_run(loop, seed, told, at_the_end))
    finally:
        random.setstate(before)
        loop.close()


async def _run(
    loop: SimulatedLoop, seed: int, told: bool, at_the_end: faults.Fault | None
) -> Outcome:
    chance = random.Random(seed + 1)
    world = World(loop, chance, faults.weather_of(chance))
    healthy, found = loop.time(), list[str]()
    with _Logs(world if told else None):
        try:
            await _live(world)
            healthy = loop.time()
            if not await _settled(world):
                found.append("unsettled: somebody is still behind")
            if at_the_end is not None:
                at_the_end(world)
                if not await _settled(world):
                    found.append("unsettled: somebody is behind at the end")
        except Livelock as error:
            found.append(f"livelock: {error}")
        found += violations(world.history()) + loop.failures
        events, settled, steps = list(world.events), loop.time() - healthy, loop.steps
        await _bury(world)
    course = repr((events, world.database.commits, steps, round(settled, 6)))
    trace = hashlib.sha256(course.encode()).hexdigest()[:16]
    return Outcome(seed, found, trace, events, settled, steps)


async def _live(world: World) -> None:
    chance, tasks = world.chance, []
    for _ in range(2):
        world.start_hub()
        world.start_streamer()
        world.start_messaging()
    for index in range(chance.randint(1, 3)):
        users = [f"user-{number}" for number in range(chance.randint(1, 3))]
        world.open_room(f"room-{index}", users)
    pace = chance.choice((0.3, 1.0))
    for room in world.database.rooms:
        writers = [f"writer-{number}" for number in range(chance.randint(1, 2))]
        tasks += [asyncio.create_task(world.write(writer, room, pace)) for writer in writers]
        tasks.append(asyncio.create_task(world.edit(room, 2 * pace)))
    await asyncio.sleep(_WARMUP)
    hours = sorted(chance.random() * _DURATION for _ in range(chance.randint(2, 7)))
    for hour in hours:
        await asyncio.sleep(max(0.0, _WARMUP + hour - world.loop.time()))
        fault = faults.draw(chance)
        world.record("fault", fault.__name__)
        fault(world)
    await asyncio.sleep(chance.random() * 3)
    world.writing = False
    await asyncio.gather(*tasks)
    await world.heal()


async def _settled(world: World) -> bool:
    """Whether everybody catches up in time, and nothing comes behind that."""
    limit = world.loop.time() + _HEALING
    while world.editing or not complete(world.history()):
        if world.loop.time() > limit:
            return False
        await asyncio.sleep(0.25)
    await asyncio.sleep(_AFTER)
    return True


async def _bury(world: World) -> None:
    """End whatever still runs, dead processes too, so that nothing outlives the run."""
    loop = world.loop
    loop.set_exception_handler(lambda *_: None)
    for node in world.nodes:
        node.fuse = None
        loop.resume_node(node)
    me = asyncio.current_task()
    while left := [task for task in asyncio.all_tasks(loop) if task is not me]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=5.0)


class _Logs:
    """Log lines go into the story of a world, or nowhere."""

    def __init__(self, world: World | None) -> None:
        self._world = world

    def __enter__(self) -> None:
        self._before = structlog.get_config()
        structlog.configure(
            processors=[self._take],
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)

    def _take(self, _: Any, level: str, line: MutableMapping[str, Any]) -> Any:
        if self._world is not None:
            node = self._world.loop.running_node
            self._world.record("log", node.name, level, dict(line))
        raise structlog.DropEvent
