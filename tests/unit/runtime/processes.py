"""Services with a fault each, for tests of a process's life: `python processes.py NAME`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from hubbub.runtime import Process, run_process
from hubbub.settings import WrongSettings


async def obedient(process: Process) -> None:
    """Stops when it is asked."""
    process.health.ready()
    await process.stopping.wait()


async def stubborn(process: Process) -> None:
    """Drains for ever."""
    process.health.ready()
    await process.stopping.wait()
    await asyncio.sleep(3600)


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
            failing,
            misconfigured,
            without_database,
            without_bus,
            finished,
        )
    }
    sys.exit(run_process(sys.argv[1], services[sys.argv[1]]))
