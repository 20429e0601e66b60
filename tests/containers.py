"""The same servers from a container engine, through testcontainers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

MONGO_IMAGE = "mongo:7.0"
NATS_IMAGE = "nats:2.12"
_DEADLINE = 60.0  # seconds


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
def mongo() -> Iterator[str]:
    """A MongoDB replica set of one.

    testcontainers' own MongoDB is a standalone server, which has no change streams. Its member
    is reached directly: the name it gives itself is not known outside of the container.
    """
    container = (
        DockerContainer(MONGO_IMAGE)
        .with_command("--replSet rs0 --bind_ip_all")
        .with_exposed_ports(27017)
        .waiting_for(LogMessageWaitStrategy("Waiting for connections"))
    )
    with container:
        members = {"_id": "rs0", "members": [{"_id": 0, "host": "localhost:27017"}]}
        _evaluate(container, f"rs.initiate({json.dumps(members)}).ok")
        deadline = time.monotonic() + _DEADLINE
        while "true" not in _evaluate(container, "db.hello().isWritablePrimary"):
            if time.monotonic() > deadline:
                raise TimeoutError("the MongoDB container did not become primary")
            time.sleep(0.2)
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(27017)}"
        yield f"mongodb://{address}/hubbub?directConnection=true"


def _evaluate(container: DockerContainer, expression: str) -> str:
    outcome = container.exec(["mongosh", "--quiet", "--eval", expression])
    output: bytes = outcome.output
    return output.decode(errors="replace")
