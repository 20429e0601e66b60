"""The same servers from a container engine, through testcontainers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from hubbub.local.replica_set import make_primary

MONGO_IMAGE = "mongo:6.0"
NATS_IMAGE = "nats:2"
_DEADLINE = 60.0  # seconds


def images() -> list[str]:
    """What has to be there: the servers, and what removes them when a test run is killed."""
    reaper = [] if testcontainers_config.ryuk_disabled else [testcontainers_config.ryuk_image]
    return [MONGO_IMAGE, NATS_IMAGE, *reaper]


@contextmanager
def nats() -> Iterator[str]:
    """A NATS server with JetStream."""
    container = (
        DockerContainer(NATS_IMAGE)
        .with_command("--jetstream")
        .with_exposed_ports(4222)
        .waiting_for(LogMessageWaitStrategy("Server is ready"))
    )
    with container:
        yield f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}"


@contextmanager
def mongo(history: int) -> Iterator[str]:
    """A MongoDB replica set of one whose past stays readable for `history` seconds.

    testcontainers' own MongoDB is a standalone server, which has no change streams. Its member
    is reached directly: the name it gives itself is not known outside of the container.
    """
    container = (
        DockerContainer(MONGO_IMAGE)
        .with_command(f"--replSet rs0 --setParameter minSnapshotHistoryWindowInSeconds={history}")
        .with_exposed_ports(27017)
        .waiting_for(LogMessageWaitStrategy("Waiting for connections"))
    )
    with container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(27017)}"
        asyncio.run(_within_deadline(make_primary(address, member="localhost:27017")))
        yield f"mongodb://{address}/hubbub?directConnection=true"


async def _within_deadline(start: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(_DEADLINE):
        await start
