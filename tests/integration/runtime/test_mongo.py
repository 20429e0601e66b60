"""The client that every service uses keeps its promises and tells what it does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson.raw_bson import RawBSONDocument
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from hubbub import mongo
from hubbub.errors import Unavailable
from hubbub.local.programs import find_mongod, free_port, start_guarded, stop
from hubbub.runtime import Process
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(mongo_url: str) -> mongo.MongoSettings:
    return mongo.MongoSettings(url=SecretStr(mongo_url))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def client(
    settings: mongo.MongoSettings, registry: CollectorRegistry
) -> AsyncIterator[mongo.Client]:
    client = mongo.connect(settings, app_name="tests", registry=registry)
    yield client
    await client.close()


async def test_writes_and_reads_are_majority(client: mongo.Client) -> None:
    """Nothing acknowledged disappears with a primary, nothing seen is rolled back."""
    assert client.write_concern.document == {"w": "majority", "j": True}
    assert client.read_concern.level == "majority"
    assert client.options.retry_writes
    assert client.options.retry_reads


async def test_a_replica_set_is_fine(client: mongo.Client) -> None:
    """The check gives the version."""
    assert (await mongo.check(client))[0].isdigit()


async def test_a_standalone_server_is_refused(tmp_path: Path) -> None:
    """The message says what is missing and how to get it."""
    async with _bare_mongod(tmp_path) as url:
        with pytest.raises(mongo.UnusableDatabase, match="standalone"):
            await _check(url)


async def test_a_set_that_was_never_initiated_is_refused(tmp_path: Path) -> None:
    """It answers, but has no primary and never will."""
    async with _bare_mongod(tmp_path, "--replSet", "rs0") as url:
        with pytest.raises(mongo.UnusableDatabase, match="never initiated"):
            await _check(url)


async def test_a_set_whose_majority_is_not_in_the_journal_is_refused(tmp_path: Path) -> None:
    """It would acknowledge what a power cut loses."""
    async with _bare_mongod(tmp_path, "--replSet", "rs0") as url:
        address = url.removeprefix("mongodb://").partition("/")[0]
        configuration = {
            "_id": "rs0",
            "members": [{"_id": 0, "host": address}],
            "writeConcernMajorityJournalDefault": False,
        }
        direct = f"mongodb://{address}/?directConnection=true"
        async with AsyncMongoClient[dict[str, object]](direct) as client:
            await client.admin.command("replSetInitiate", configuration)

            async def is_primary() -> bool:
                return bool((await client.admin.command("hello"))["isWritablePrimary"])

            await eventually(is_primary, within=30)
        with pytest.raises(mongo.UnusableDatabase, match="writeConcernMajorityJournalDefault"):
            await _check(url)


@pytest.mark.parametrize("code", [91, 189, 262, 11602])
def test_a_server_that_cannot_answer_now_is_unavailable(code: int) -> None:
    """The driver says so of reads by a code alone."""
    with pytest.raises(Unavailable), mongo.answering():
        raise OperationFailure("not now", code)


async def test_a_lock_that_the_driver_lost_is_no_defect_of_ours() -> None:
    """What asyncio says then is the same in all versions."""
    with pytest.raises(Unavailable), mongo.answering():
        asyncio.Lock().release()
    with pytest.raises(RuntimeError), mongo.answering():
        raise RuntimeError("something else")


def test_a_bad_question_is_a_defect() -> None:
    with pytest.raises(OperationFailure), mongo.answering():
        raise OperationFailure("unknown operator", 2)


async def test_dates_have_zones(database: mongo.Database) -> None:
    """A moment comes back as the moment it was."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    await database["x"].insert_one({"_id": 1, "at": moment})

    found = await database["x"].find_one({"_id": 1})
    assert found is not None
    assert found["at"] == moment


async def test_the_hub_survives_any_document(
    settings: mongo.MongoSettings, database: mongo.Database
) -> None:
    """A date beyond Python's and broken UTF-8 do not stop who reads everything."""
    far_date = b"\x09far\x00" + (2**62).to_bytes(8, "little", signed=True)
    text = b"\x02text\x00" + (4).to_bytes(4, "little") + b"a\xffb\x00"
    number = b"\x10_id\x00" + (1).to_bytes(4, "little")
    body = number + far_date + text + b"\x00"
    raw = RawBSONDocument((len(body) + 4).to_bytes(4, "little") + body)
    await database.client[database.name]["x"].insert_one(raw)
    hub = mongo.connect_hub(settings, app_name="tests")
    try:
        found = await hub[database.name]["x"].find_one({"_id": 1})
    finally:
        await hub.close()

    assert found is not None
    assert found["text"] == "a\ufffdb"


async def test_commands_and_connections_are_counted(
    client: mongo.Client, registry: CollectorRegistry
) -> None:
    """Durations by command and outcome; connections in use and idle."""
    await client["test"]["x"].find_one({})

    labels = {"command": "find", "outcome": "ok"}
    count = registry.get_sample_value("hubbub_mongo_command_duration_seconds_count", labels)
    assert count == 1
    assert registry.get_sample_value("hubbub_mongo_pool_connections", {"state": "in_use"}) == 0
    idle = registry.get_sample_value("hubbub_mongo_pool_connections", {"state": "idle"})
    assert idle is not None
    assert idle >= 1


async def test_a_process_hands_out_its_database(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`process.mongo()` connects, adds a check, and closes."""
    monkeypatch.setenv("HUBBUB_MONGO_URL", mongo_url)
    process = Process("test")
    async with process.mongo() as database:
        assert database.name == "hubbub"
        await process.health.run_checks()
        assert [one.ok for one in process.health.readiness().checks if one.name == "mongo"] == [
            True
        ]


async def test_a_process_hands_out_its_bus(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`process.bus()` connects, adds a check, drains and closes."""
    monkeypatch.setenv("HUBBUB_NATS_URL", nats_url)
    process = Process("test")
    async with process.bus() as bus:
        assert bus.connected
        await process.health.run_checks()
        assert [one.ok for one in process.health.readiness().checks if one.name == "nats"] == [True]

    assert not bus.connected


@asynccontextmanager
async def _bare_mongod(folder: Path, *arguments: str) -> AsyncIterator[str]:
    """A mongod that nobody made a replica set of; yields its URL."""
    port = free_port()
    command = [
        str(find_mongod()), "--dbpath", str(folder), "--port", str(port),
        "--bind_ip", "127.0.0.1", "--nounixsocket", *arguments,
    ]  # fmt: skip
    process = await start_guarded(command, output=asyncio.subprocess.DEVNULL, death=signal.SIGKILL)
    try:
        await eventually(lambda: _answers(port), within=30)
        yield f"mongodb://127.0.0.1:{port}/x"
    finally:
        await stop(process, within=0)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _check(url: str) -> None:
    settings = mongo.MongoSettings(url=SecretStr(url), server_selection_timeout=0.5)
    client = mongo.connect(settings, app_name="tests")
    try:
        await mongo.check(client)
    finally:
        await client.close()
