"""Services with a fault each, for tests of a process's life: `python processes.py NAME`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from hubbub.runtime import Process, run_process
from hubbub.runtime.process import HURRY
from hubbub.settings import WrongSettings
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)


async def obedient(process: Process) -> None:
    """Stops when it is asked."""
    process.health.ready()
    await process.stopping.wait()


async def stubborn(process: Process) -> None:
    """Drains for ever."""
    process.health.ready()
    await process.stopping.wait()
    await asyncio.sleep(3600)


async def hurrying(process: Process) -> None:
    """Shortens its drain by itself when it is told to, and takes a while for that."""
    process.hurry_limit = None
    process.health.ready()
    await process.stopping.wait()
    await process.hurried.wait()
    await asyncio.sleep(HURRY + 0.5)


async def talkative(process: Process) -> None:
    """Says something in general and in detail all the time, and knows a secret."""

    async def talk(password: str) -> None:
        while True:
            log.info("news")
            log.debug("detail")
            await asyncio.sleep(0.02)

    process.connections = lambda: [{"id": "c1"}]
    process.health.ready()
    async with asyncio.TaskGroup() as tasks:
        talking = tasks.create_task(talk("hunter2"), name="talk")
        await process.stopping.wait()
        talking.cancel()


async def failing(process: Process) -> None:
    """One of its tasks dies."""

    async def dies() -> None:
        await asyncio.sleep(0.05)
        raise ValueError("the reason")

    process.health.ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(dies())
        tasks.create_task(process.stopping.wait())


async def misconfigured(process: Process) -> None:
    """Finds a wrong setting inside a task."""

    async def reads() -> None:
        raise WrongSettings("HUBBUB_X: expected a, found b")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reads())


async def without_database(process: Process) -> None:
    """Waits for a database that never comes."""
    async with process.mongo():
        process.health.ready()


async def without_bus(process: Process) -> None:
    """Waits for a broker that never comes."""
    async with process.bus():
        process.health.ready()


async def finished(process: Process) -> None:
    """Has nothing more to do."""
    process.health.ready()


if __name__ == "__main__":
    services: dict[str, Callable[[Process], Awaitable[None]]] = {
        service.__name__: service
        for service in (
            obedient,
            stubborn,
            hurrying,
            talkative,
            failing,
            misconfigured,
            without_database,
            without_bus,
            finished,
        )
    }
    sys.exit(run_process(sys.argv[1], services[sys.argv[1]]))
