"""A copy is of one moment, whatever is written while it is made."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from hubbub.backup import snapshot
from hubbub.backup.manifest import LEFT_OUT, BackupFailed
from hubbub.backup.restoring import restore
from hubbub.ids import UserId
from hubbub.local import servers
from hubbub.mongo import Database, MongoSettings, connect
from services.gateway.store.blobs import PIECE, Blobs
from tests.integration.backup.conftest import Interrupt, copy, documents, ignore
from tests.integration.messaging.house import House, house
from tests.waiting import eventually

pytestmark = pytest.mark.integration

FILES = "rocketchat_uploads"


class Busy:
    """People who talk and upload all the time."""

    def __init__(self, home: House, blobs: Blobs) -> None:
        self._home = home
        self._blobs = blobs
        self.sent: Counter[str] = Counter()
        self.uploads = 0
        self._silent = False

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[Busy]:
        ada, bob = await self._home.users("ada", "bob")
        rooms = [await self._home.room(ada, "bob") for _ in range(3)]
        tasks = [
            asyncio.create_task(self._talk(user, room)) for user in (ada, bob) for room in rooms
        ]
        tasks.append(asyncio.create_task(self._upload()))
        try:
            yield self
        finally:
            # Not cancelled: the driver may lose that, and they would talk on for ever.
            self._silent = True
            await asyncio.gather(*tasks)

    async def more(self) -> None:
        """Wait until there is more of everything."""
        sent, uploads = self.sent.total(), self.uploads
        await eventually(
            lambda: self.sent.total() >= sent + 5 and self.uploads > uploads,
            within=10,
            what="people talk on",
        )

    async def _talk(self, user: UserId, room: Any) -> None:
        while not self._silent:
            await self._home.say(user, room)
            self.sent[room] += 1

    async def _upload(self) -> None:
        while not self._silent:
            writer = self._blobs.writer(f"f{self.uploads}")
            await writer.write(bytes(2 * PIECE + 7))
            await writer.close("a.bin", datetime.now(UTC))
            self.uploads += 1


async def test_a_copy_is_of_one_moment(
    database: Database, other: Database, file: Path, interrupt: Interrupt
) -> None:
    """Rooms say how many messages they have, files how many pieces; collections that are read
    later say nothing of what was written since the first one was."""
    blobs = Blobs(database, FILES)
    await blobs.prepare()
    async with house(database) as home, Busy(home, blobs).talking() as busy:
        await busy.more()

        async def talk_on(name: str) -> None:
            if name in {"rocketchat_message", "rocketchat_room", f"{FILES}.files"}:
                await busy.more()

        interrupt(talk_on)
        manifest = await copy(database, file)
        sent, uploads = busy.sent.total(), busy.uploads
    await restore(other, file, ignore)

    rooms = await other.rocketchat_room.find({"msgs": {"$gt": 0}}).to_list()
    assert len(rooms) == 3
    for room in rooms:
        messages = await other.rocketchat_message.find({"rid": room["_id"]}).to_list()
        numbers = [message["seq"] for message in messages if "seq" in message]
        assert sorted(numbers) == list(range(1, room["seq"] + 1))
        assert room["msgs"] == len(messages)
        assert room["lastMessage"]["ts"] == max(message["ts"] for message in messages)
    files = await other[f"{FILES}.files"].find().to_list()
    for one in files:
        pieces = await other[f"{FILES}.chunks"].count_documents({"files_id": one["_id"]})
        assert pieces == 3
    # More came while the collections were read; nothing of that is in the copy.
    assert await other.rocketchat_message.count_documents({}) + 10 < sent
    assert 0 < len(files) < uploads
    assert manifest.cluster_time.seconds <= datetime.now(UTC).timestamp() + 1


async def test_what_is_there_comes_back_as_it_was(
    database: Database, other: Database, file: Path
) -> None:
    """Documents byte by byte and in their order; validators, collations, views, every index."""
    async with house(database) as home:
        ada, bob = await home.users("ada", "bob")
        room = await home.room(ada, "bob")
        await home.say(ada, room, "hello")
        await home.say(bob, room, "ça va?")
        await home.settled()
    validator = {"$jsonSchema": {"required": ["name"]}}
    german = {"locale": "de", "strength": 1}
    await database.create_collection("odd", validator=validator, collation=german)
    await database.odd.insert_many(
        [{"_id": {"b": number, "a": 2**40}, "name": None} for number in range(5)]
    )
    await database.odd.insert_one({"_id": 1}, bypass_document_validation=True)
    await database.odd.create_index(
        [("name", 1), ("where", "2dsphere")],
        partialFilterExpression={"name": {"$exists": True}},
    )
    await database.odd.create_index("name", name="plain", collation={"locale": "simple"})
    await database.odd.create_index([("name", "text")], collation={"locale": "simple"})
    await database.odd.create_index("old", expireAfterSeconds=3600, name="till then")
    await database.create_collection("a_view", viewOn="odd", pipeline=[{"$match": {"_id": 1}}])
    for name in LEFT_OUT:
        await database[name].insert_one({"_id": 1})

    await copy(database, file)
    await restore(other, file, ignore)

    before, after = await documents(database), await documents(other)
    assert before.keys() - after.keys() == LEFT_OUT
    assert after == {name: before[name] for name in after}
    assert after["a_view"] == [{"_id": 1}]
    for name in set(after) - {"a_view"}:
        there = await database[name].index_information()
        assert await other[name].index_information() == there, name
        options = await database[name].options()
        assert await other[name].options() == options, name
    assert len(await other.rocketchat_message.index_information()) > 5


async def test_what_changes_its_shape_meanwhile_is_copied_again(
    database: Database, other: Database, file: Path, interrupt: Interrupt
) -> None:
    """A collection that is dropped after the moment would read as if it were empty."""
    await database.first.insert_one({"_id": 1})
    await database.second.insert_one({"_id": 1})
    changed = False

    async def change(name: str) -> None:
        nonlocal changed
        if name == "second" and not changed:
            changed = True
            await database.second.drop()
            await database.second.insert_one({"_id": 2})
            await database.third.create_index("a")

    interrupt(change)
    await copy(database, file)
    await restore(other, file, ignore)

    assert (await documents(other)) == {"first": [{"_id": 1}], "second": [{"_id": 2}], "third": []}
    assert "a_1" in await other.third.index_information()


async def test_what_never_rests_is_not_copied(
    database: Database, file: Path, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_PAUSE", 0)
    await database.first.insert_one({"_id": 1})
    times = 0

    async def change(_: str) -> None:
        nonlocal times
        times += 1
        await database[f"new{times}"].insert_one({})

    interrupt(change)
    with pytest.raises(BackupFailed, match="changed while they were copied"):
        await copy(database, file)
    assert os.listdir(file.parent) == []  # noqa: PTH208


async def test_an_empty_database_is_probably_the_wrong_one(database: Database, file: Path) -> None:
    await database.hubbub_leases.insert_one({"_id": 1})

    with pytest.raises(BackupFailed, match=f"{database.name} is empty: is it the right one"):
        await copy(database, file)


async def test_what_cannot_be_read_as_of_one_moment_is_named(
    database: Database, file: Path
) -> None:
    await database.create_collection("weather", timeseries={"timeField": "at"})

    with pytest.raises(BackupFailed, match="weather is a timeseries"):
        await copy(database, file)


async def test_a_moment_that_is_too_old_is_said(tmp_path: Path, interrupt: Interrupt) -> None:
    """The server forgets what was after a second; the copy takes longer."""
    async with servers.mongo(tmp_path / "mongo", history=1) as server:
        client = connect(MongoSettings(url=SecretStr(server.url)), app_name="tests")
        database = client["hubbub"]
        await database.first.insert_one({"_id": 1})
        await database.second.insert_one({"_id": 1})

        async def forget(name: str) -> None:
            if name == "first":
                return
            then = (await client.admin.command("hello"))["operationTime"]

            async def is_forgotten() -> bool:
                await database.second.update_one({"_id": 1}, {"$inc": {"n": 1}})
                concern = {"level": "snapshot", "atClusterTime": then}
                try:
                    await database.command({"find": "second", "readConcern": concern})
                except OperationFailure as error:
                    return error.code == 239
                return False

            await eventually(is_forgotten, within=30, what="the server has forgotten")

        interrupt(forget)
        try:
            with pytest.raises(BackupFailed, match="minSnapshotHistoryWindowInSeconds"):
                await snapshot.create(client, database, tmp_path / "a.backup", ignore)
        finally:
            await client.close()
    assert not [name for name in os.listdir(tmp_path) if "backup" in name]  # noqa: PTH208
