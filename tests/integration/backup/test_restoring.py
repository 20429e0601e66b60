"""Into which databases a copy is restored, and what a restore leaves behind."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson.raw_bson import RawBSONDocument
from nats.aio.client import Client

from hubbub.backup import restoring, schema
from hubbub.backup.manifest import BackupFailed, Copied, Shape
from hubbub.backup.restoring import restore, try_out
from hubbub.contracts.event_log import Marker
from hubbub.mongo import Database
from services.ddp_streamer.audiences.leaders import Leaders
from services.stream_hub.store import LEASE_ID, LEASES, MongoLeaseStore
from tests.integration.backup.conftest import copy, documents, ignore, server_of
from tests.integration.stream_hub.conftest import client, hubs  # noqa: F401 - fixtures
from tests.integration.stream_hub.hubs import (
    Hubs,
    Writer,
    assert_complete,
    caught_up,
    markers,
    message,
    numbers,
)
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def copied(database: Database, file: Path) -> Path:
    """A copy of a small database."""
    await database.users.insert_many([{"_id": number} for number in range(3000)])
    await database.users.create_index("name")
    await database.rooms.insert_one({"_id": 1})
    await copy(database, file)
    return file


async def test_only_an_empty_database_is_filled(copied: Path, other: Database) -> None:
    """Unless it is said that what it has may go."""
    await other.mine.insert_one({"_id": 1})

    with pytest.raises(BackupFailed, match=r"is not empty \(1 collections\).*--force"):
        await restore(other, copied, ignore)
    assert await documents(other) == {"mine": [{"_id": 1}]}

    await restore(other, copied, ignore, force=True)
    assert {name: len(found) for name, found in (await documents(other)).items()} == {
        "rooms": 1,
        "users": 3000,
    }


async def test_a_damaged_copy_touches_nothing(copied: Path, other: Database) -> None:
    await other.mine.insert_one({"_id": 1})
    os.truncate(copied, 1000)

    with pytest.raises(BackupFailed, match="its end is missing"):
        await restore(other, copied, ignore, force=True)
    assert await documents(other) == {"mine": [{"_id": 1}]}


async def test_not_while_hubbub_runs(copied: Path, other: Database) -> None:
    """The lease of the hub that leads tells. A lease that has run out tells nothing."""
    leases = MongoLeaseStore(other)
    assert await leases.acquire("hub", 60.0) is not None

    with pytest.raises(BackupFailed, match="Hubbub is running on the database"):
        await restore(other, copied, ignore, force=True)

    await leases.release("hub", 1, None)
    await restore(other, copied, ignore, force=True)
    assert LEASES not in await other.list_collection_names()


async def test_a_restore_cut_short_is_not_taken_for_a_database(
    copied: Path, other: Database
) -> None:
    """No hub leads on a part of the documents. The next restore clears it away."""

    def stop(_: Copied) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await restore(other, copied, stop)
    assert await MongoLeaseStore(other).acquire("hub", 4.0) is None
    assert await MongoLeaseStore(other).is_held()

    await restore(other, copied, ignore, force=True)
    assert (await MongoLeaseStore(other).acquire("hub", 4.0)) is not None


async def test_somebody_who_writes_meanwhile_is_noticed(
    copied: Path, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = schema.make

    async def making(database: Database, shape: Shape) -> None:
        await make(database, shape)
        await database.users.insert_one({"_id": 7})

    monkeypatch.setattr(schema, "make", making)
    with pytest.raises(BackupFailed, match="is Hubbub still running"):
        await restore(other, copied, ignore)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param("document", "users has 3001 documents, the copy has 3000", id="count"),
        pytest.param("content", "the documents of users differ from the copy", id="content"),
        pytest.param("index", "the indexes of users differ from the copy", id="index"),
        pytest.param("validator", "the options of users differ from the copy", id="options"),
        pytest.param("collection", "collections differ from the copy: other", id="collections"),
    ],
)
async def test_a_scratch_database_shows_what_differs(
    copied: Path,
    database: Database,
    spoil: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever differs is named, and the scratch database is gone afterwards."""
    insert, index = restoring._insert, schema.index
    scratch = re.compile(rf"^{database.name}_verify_")

    async def inserting(scratched: Database, name: str, batch: list[RawBSONDocument]) -> None:
        await insert(scratched, name, batch)
        is_last = batch[-1]["_id"] == 2999
        if name == "users" and spoil == "document" and is_last:
            await scratched.users.insert_one({"_id": "more"})
        if name == "users" and spoil == "content":
            await scratched.users.update_one({"_id": 5}, {"$set": {"name": "eve"}})

    async def indexing(scratched: Database, shape: Shape) -> None:
        await index(scratched, shape)
        if shape.name != "users":
            return
        if spoil == "index":
            await scratched.users.create_index("other")
        if spoil == "validator":
            await scratched.command("collMod", "users", validator={"name": "x"})
        if spoil == "collection":
            await scratched.other.insert_one({})

    monkeypatch.setattr(restoring, "_insert", inserting)
    monkeypatch.setattr(schema, "index", indexing)
    with pytest.raises(BackupFailed, match=complaint):
        await try_out(server_of(database), database, copied, ignore)

    names = await database.client.list_database_names()
    assert not [name for name in names if scratch.match(name)]


async def test_trying_out_leaves_everything_as_it_was(copied: Path, database: Database) -> None:
    before = await documents(database)
    assert (await try_out(server_of(database), database, copied, ignore)).count == 3001
    assert await documents(database) == before
    names = await database.client.list_database_names()
    assert not [name for name in names if name.startswith(f"{database.name}_")]


async def test_what_is_too_old_to_be_kept_still_comes_back(
    database: Database, other: Database, file: Path
) -> None:
    """An index that removes old documents is made after they were counted."""
    old = datetime.now(UTC) - timedelta(days=1)
    await database.trash.insert_many([{"_id": number, "at": old} for number in range(10)])
    await database.trash.create_index("at", expireAfterSeconds=10**6)
    await copy(database, file)

    await restore(other, file, ignore)

    assert (await other.trash.index_information())["at_1"]["expireAfterSeconds"] == 10**6


async def test_a_hub_on_a_restored_database_begins_a_new_log(
    hubs: Hubs,  # noqa: F811
    client: Client,  # noqa: F811
    database: Database,
    file: Path,
) -> None:
    """The log in NATS tells of another history: it is forgotten, streamers notice by its name,
    and nothing that was restored is told of as if it were new."""
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(5)
    await copy(database, file)
    await writer.write(5)
    before = markers(await assert_complete(client, writer))
    await hub.stop()
    await eventually(lambda: _free(database), within=10, what="nobody leads")

    await restore(database, file, ignore, force=True)
    assert await database.rocketchat_message.count_documents({}) == 5
    hub = await hubs.start()
    assert hub.said("log_of_another_database")
    await database.rocketchat_message.insert_one(message(5))
    log = await caught_up(client, 1)

    assert numbers(log) == [5]
    after = markers(log)
    assert after[0].epoch == 1
    assert _streamer_loads_anew(before, after)
    lease = await database[LEASES].find_one({"_id": LEASE_ID})
    assert lease is not None
    assert lease["log"]["created"] in after[0].log_epoch


async def _free(database: Database) -> bool:
    return not await MongoLeaseStore(database).is_held()


def _streamer_loads_anew(before: list[Marker], after: list[Marker]) -> bool:
    """Whether a streamer that ran on all the time takes it for another log."""
    leaders = Leaders()
    assert not any(leaders.is_new_log(marker.log_epoch) for marker in before)
    return leaders.is_new_log(after[0].log_epoch)


async def test_being_stopped_clears_the_scratch_database_away(
    copied: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def waiting(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(schema, "index", waiting)
    task = asyncio.create_task(try_out(server_of(database), database, copied, ignore))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    names = await database.client.list_database_names()
    assert not [name for name in names if name.startswith(f"{database.name}_verify")]
