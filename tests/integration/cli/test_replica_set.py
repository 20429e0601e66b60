"""`hubbub replica-set` on a mongod that nobody has initiated, as a container starts one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from hubbub import mongo
from hubbub.local.programs import find_mongod, free_port, start_guarded, stop

pytestmark = pytest.mark.integration

HOST = "127.0.0.1"


@pytest.fixture
async def mongod(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a server that is told of a replica set, and is in none."""
    port = free_port(HOST)
    command = [
        str(find_mongod()), "--replSet", "rs0", "--bind_ip", HOST, "--port", str(port),
        "--dbpath", str(tmp_path), "--nounixsocket",
    ]  # fmt: skip
    process = await start_guarded(command, output=asyncio.subprocess.DEVNULL, death=signal.SIGKILL)
    yield port
    await stop(process, within=5.0)


async def _run(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hubbub.cli.main", "replica-set", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_server_is_what_hubbub_needs_afterwards(mongod: int) -> None:
    """Reached directly, as the chart does it: its own name is known to itself alone."""
    arguments = ["--address", f"{HOST}:{mongod}", "--member", f"localhost:{mongod}"]
    async with asyncio.timeout(60):
        process = await _run(*arguments, "--stay")
        assert process.stdout is not None
        said = await process.stdout.readline()
        assert said.decode().strip() == f"{HOST}:{mongod} is the primary of rs0"
        assert process.returncode is None

        url = SecretStr(f"mongodb://{HOST}:{mongod}/hubbub?directConnection=true")
        client = mongo.connect(mongo.MongoSettings(url=url), app_name="tests")
        try:
            assert await mongo.check(client)
            collection = mongo.database_of(client)["soup"]
            async with await collection.watch() as changes, client.start_session() as session:
                async with await session.start_transaction():
                    await collection.insert_one({"kind": "leek"}, session=session)
                change = await changes.next()
            assert change["fullDocument"]["kind"] == "leek"
        finally:
            await client.close()

        process.terminate()
        await process.communicate()  # to the end of what it says, so that its pipes are closed
        assert process.returncode == 0

        again = await _run(*arguments)
        await again.communicate()
        assert again.returncode == 0


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    nobody = f"{HOST}:{free_port(HOST)}"
    async with asyncio.timeout(30):
        process = await _run("--address", nobody, "--within", "1")
        _, complaint = await process.communicate()

    assert process.returncode == 1
    assert f"{nobody} did not become a primary within 1 seconds" in complaint.decode()
