"""The embedded servers: real ones, on any port, that keep their data and leave nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import nats
import pytest
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from hubbub import mongo
from hubbub.local import servers
from hubbub.local.programs import CannotStart, free_port
from tests.waiting import eventually

pytestmark = pytest.mark.integration

_NO_SUCH_TRANSACTION = 251


def client(url: str) -> mongo.Client:
    settings = mongo.MongoSettings(url=SecretStr(url))
    return mongo.connect(settings, app_name="tests")


async def test_mongo_is_a_replica_set_that_survives_another_port(tmp_path: Path) -> None:
    """Data written on one port is there on the next one, and change streams work."""
    for start in range(2):
        async with servers.mongo(tmp_path) as server:
            connection = client(server.url)
            try:
                await mongo.check(connection)
                collection = connection["test"]["soup"]
                async with await collection.watch() as changes:
                    await collection.insert_one({"start": start})
                    async with asyncio.timeout(10):
                        change = await changes.next()
                assert change["fullDocument"]["start"] == start
                assert await collection.count_documents({}) == start + 1
            finally:
                await connection.close()


async def test_the_server_runs_no_javascript(tmp_path: Path) -> None:
    """`$where` in a filter would be somebody else's program beside all data."""
    async with servers.mongo(tmp_path) as server:
        connection = client(server.url)
        try:
            await connection["test"]["soup"].insert_one({"_id": "tomato"})
            with pytest.raises(OperationFailure, match=r"(?i)script"):
                await connection["test"]["soup"].find_one({"$where": "sleep(1) || true"})
        finally:
            await connection.close()


async def test_what_a_vanished_client_began_is_undone_soon(tmp_path: Path) -> None:
    """A transaction whose owner was killed holds back others for seconds, not for a minute."""
    async with servers.mongo(tmp_path) as server:
        vanished, other = client(server.url), client(server.url)
        mine, theirs = vanished["test"]["soup"], other["test"]["soup"]
        try:
            await theirs.insert_one({"_id": "tomato"})
            session = vanished.start_session()
            await session.start_transaction()
            await mine.update_one({}, {"$set": {"by": "vanished"}}, session=session)
            # Nothing of it is told to the server: so does a killed process end.

            async with asyncio.timeout(9):
                await theirs.update_one({}, {"$set": {"by": "other"}})
            assert await theirs.find_one() == {"_id": "tomato", "by": "other"}
            with pytest.raises(OperationFailure) as caught:
                await session.commit_transaction()
            assert caught.value.code == _NO_SUCH_TRANSACTION
            await session.end_session()
        finally:
            await vanished.close()
            await other.close()


async def test_nats_has_jetstream(tmp_path: Path) -> None:
    """Streams survive a restart of the server."""
    for start in range(2):
        async with servers.nats(tmp_path) as server:
            connection = await nats.connect(server.url)
            try:
                stream = connection.jetstream()
                await stream.add_stream(name="SOUP", subjects=["soup.>"])
                ack = await stream.publish("soup.served", b"")
                assert ack.seq == start + 1
            finally:
                await connection.close()


@pytest.mark.parametrize("kind", ["mongod", "nats-server"])
async def test_a_taken_port_is_said(tmp_path: Path, kind: str) -> None:
    """A port that was asked for is not silently exchanged."""
    start = servers.mongo if kind == "mongod" else servers.nats
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"{kind} cannot start: port {port} of 127.0.0.1"):
            async with start(tmp_path, port=port):
                raise AssertionError("it started")


async def test_a_server_that_cannot_start_names_its_log(tmp_path: Path) -> None:
    """Its last words are in the message, and where the rest is."""
    (tmp_path / "data" / "mongod.lock").mkdir(parents=True)
    with pytest.raises(CannotStart, match="ended at its start with status") as refused:
        async with servers.mongo(tmp_path):
            raise AssertionError("it started")

    assert str(tmp_path / "mongod.log") in str(refused.value)


async def test_a_dead_server_starts_again_where_it_was(tmp_path: Path) -> None:
    """The address stays what everybody knows."""
    async with servers.nats(tmp_path, port=free_port()) as server:
        before = server.process
        before.kill()
        await before.wait()
        await server.start_again()

        assert server.process is not before
        connection = await nats.connect(server.url)
        await connection.close()


async def test_servers_die_with_their_starter(tmp_path: Path) -> None:
    """kill -9 of whoever started one leaves nothing running."""
    program = (
        "import asyncio, sys; from pathlib import Path; from hubbub.local import servers\n"
        "async def main():\n"
        "    async with servers.nats(Path(sys.argv[1])) as server:\n"
        "        print(server.process.pid, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    async with asyncio.timeout(30):
        pid = int(await starter.stdout.readline())
    assert _lives(pid)
    starter.send_signal(signal.SIGKILL)
    await starter.communicate()  # to the end, so that its pipe is closed

    await eventually(lambda: not _lives(pid), within=10)


def _lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    except OSError:
        os.kill(pid, 0)
        return True
