"""Real servers for integration tests, one of each per session.

They come from testcontainers when a container engine answers, else from the embedded programs;
`HUBBUB_TEST_SERVERS=containers|embedded` forces either. Servers that are already running are
used when `HUBBUB_MONGO_URL` or `HUBBUB_NATS_URL` name them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from hubbub.ids import random_id
from hubbub.mongo import Database, MongoSettings, connect
from tests import servers
from tests.integration import plans

plans.listen()


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A NATS server with JetStream."""
    with servers.nats() as url:
        yield url


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    """A MongoDB replica set of one. The path of the URL names no database of yours."""
    with servers.mongo() as url:
        yield url


@pytest.fixture
async def database(mongo_url: str) -> AsyncIterator[Database]:
    """A database of this test alone, through the client that services use; dropped after.

    A query of a store that reads a whole collection fails the test that makes it first.
    """
    client = connect(MongoSettings(url=SecretStr(mongo_url)), app_name="tests")
    name = f"test_{random_id(12)}"
    try:
        yield client[name]
        problems = await plans.RECORDER.explain(client[name])
        assert not problems, problems
    finally:
        await client.drop_database(name)
        await client.close()
