"""What may happen to the log: purged, full, without room, set back. The hub notices and says so.

The claim of each test: what counts is complete and in order, or clients are told that it is not.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import APIError

from hubbub.contracts.event_log import LOG_STREAM
from hubbub.local import servers
from hubbub.local.programs import find_nats_server, free_port, stop
from hubbub.mongo import Database
from tests.integration.ddp_streamer.harness import Cable
from tests.integration.stream_hub.hubs import (
    ROOM,
    Hubs,
    Stored,
    Writer,
    assert_complete,
    caught_up,
    connected,
    markers,
    message,
    numbers,
    whole_log,
)
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def _resynced(client: Client) -> list[Stored]:
    log = await whole_log(client)
    return log if any(marker.resync for marker in markers(log)) else []


async def test_a_purged_log_goes_on_without_a_hole(
    hubs: Hubs, client: Client, database: Database
) -> None:
    await hubs.start()
    writer = Writer(database)
    await writer.write(20)
    await assert_complete(client, writer)
    await client.request(f"$JS.API.STREAM.PURGE.{LOG_STREAM}", b"", timeout=5)
    await writer.write(20)
    log = await caught_up(client, 20)
    assert numbers(log) == list(range(20, 40))
    assert markers(log) == []


async def test_a_log_at_its_limit_drops_what_is_oldest_and_goes_on(
    hubs: Hubs, client: Client, database: Database
) -> None:
    hubs.settings["HUBBUB_STREAM_HUB_LOG_MAX_BYTES"] = str(1024**2)
    hub = await hubs.start()
    writer = Writer(database)
    text = "x" * 20_000
    await database.rocketchat_message.insert_many(
        [message(number) | {"alias": text} for number in range(100)]
    )
    writer.written = 100
    await writer.write(20)

    async def arrived() -> list[Stored]:
        log = await whole_log(client)
        return log if numbers(log)[-1:] == [119] else []

    await eventually(arrived, within=30)
    found = numbers(await whole_log(client))  # of then: the first look may have seen more
    assert found[0] > 20
    assert found == list(range(found[0], 120))
    assert not hub.said("resync")
    assert not hub.said("leadership_ended")


@asynccontextmanager
async def _small_nats(folder: Path, store: str) -> AsyncIterator[str]:
    """A NATS server whose JetStream has only so much room; its URL."""
    port = free_port()
    config = _config(folder, port, store)
    with (folder / "nats.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            str(find_nats_server()), "-c", str(config), stdout=output, stderr=output
        )
    url = f"nats://127.0.0.1:{port}"
    try:
        await eventually(lambda: _greets(url), within=20, what="NATS answers")
        yield url
    finally:
        await stop(process, within=5.0)


def _config(folder: Path, port: int, store: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f'jetstream {{ store_dir: "{folder}/store", max_mem: 1MB, max_file: {store} }}\n'
    )
    return config


async def _greets(url: str) -> bool:
    try:
        client = await nats.connect(
            url, allow_reconnect=False, max_reconnect_attempts=0, error_cb=_ignore
        )
    except (OSError, nats.errors.Error):
        return False
    await client.close()
    return True


async def _ignore(_: Exception) -> None:
    """Until it is there, nobody answers."""


async def _fill(stream: JetStreamContext, subject: str) -> None:
    for _ in range(100):
        await stream.publish(subject, b"x" * 500_000)


async def test_a_log_without_room_is_said_and_caught_up_when_there_is_some(
    hubs: Hubs, database: Database, tmp_path: Path
) -> None:
    """Somebody else's stream took all of JetStream's room."""
    async with _small_nats(tmp_path / "nats", "6MB") as url, connected(url) as client:
        hubs.nats_url = url
        hubs.settings["HUBBUB_STREAM_HUB_LOG_MAX_BYTES"] = str(2 * 1024**2)
        hub = await hubs.start()
        writer = Writer(database)
        await writer.write(5)
        await assert_complete(client, writer)
        stream = client.jetstream()
        await stream.add_stream(
            StreamConfig(name="HOG", subjects=["hog"], storage=StorageType.FILE)
        )
        with pytest.raises(APIError):
            await _fill(stream, "hog")
        await writer.write(20)
        await eventually(lambda: hub.said("log_full"), within=20)
        assert numbers(await whole_log(client)) == list(range(5))
        await stream.delete_stream("HOG")
        log = await assert_complete(client, writer)
        assert not any(marker.resync for marker in markers(log))
        assert hub.said("log_full") < 10
        await hubs.end()


async def test_a_log_that_cannot_be_made_is_made_when_there_is_room(
    hubs: Hubs, database: Database, tmp_path: Path
) -> None:
    """The log is to be larger than what JetStream may take."""
    folder = tmp_path / "nats"
    async with _small_nats(folder, "6MB") as url, connected(url) as client:
        hubs.nats_url = url
        stream = client.jetstream()
        await stream.add_stream(
            StreamConfig(
                name="HOG", subjects=["hog"], storage=StorageType.FILE, max_bytes=5 * 1024**2
            )
        )
        hubs.settings["HUBBUB_STREAM_HUB_LOG_MAX_BYTES"] = str(2 * 1024**2)
        hub = await hubs.start(leading=False)
        await eventually(lambda: hub.said("waiting_for_log"), within=20)
        writer = Writer(database)
        await writer.write(20)
        await stream.delete_stream("HOG")
        await assert_complete(client, writer)
        await hubs.end()


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_a_hub_cut_off_from_nats_lets_the_other_one_lead(
    hubs: Hubs, client: Client, database: Database, how: str
) -> None:
    """Its lease would be renewed for ever: MongoDB it does reach."""
    direct = hubs.nats_url
    async with Cable(direct) as cable:
        hubs.nats_url = cable.url
        first = await hubs.start()
        hubs.nats_url = direct
        second = await hubs.start(leading=False)
        writer = Writer(database)
        await writer.write(20)
        await caught_up(client, 20)
        if how == "cut":
            cable.cut()
        else:
            cable.silence()
        await writer.write(20)
        await eventually(lambda: second.said("log_taken_over"), within=30)
        log = await assert_complete(client, writer)
        assert not any(marker.resync for marker in markers(log))
        assert first.said("cut_off") == 1
        await writer.write(5)
        await assert_complete(client, writer)
        assert first.said("leadership_began") == 1
        await hubs.end()


@dataclass
class Restored:
    """A NATS server that can be set back to an older copy of its store."""

    server: servers.Server
    folder: Path

    async def down(self) -> None:
        await stop(self.server.process, within=5.0)

    def keep(self) -> None:
        shutil.copytree(self.folder / "jetstream", self.folder / "copy")

    def set_back(self) -> None:
        shutil.rmtree(self.folder / "jetstream")
        shutil.copytree(self.folder / "copy", self.folder / "jetstream")


@pytest.mark.parametrize("when", ["under a leader", "while no hub led"])
async def test_a_log_that_is_set_back_is_noticed(
    hubs: Hubs, database: Database, tmp_path: Path, when: str
) -> None:
    """A power cut, or a volume that was restored: its end is missing. It may have grown again
    meanwhile: then its length says nothing."""
    folder = tmp_path / "nats"
    async with servers.nats(folder) as server:
        store = Restored(server, folder)
        hubs.nats_url = server.url
        hub = await hubs.start()
        writer = Writer(database)
        await writer.write(20)
        async with connected(server.url) as client:
            before = markers(await assert_complete(client, writer))
        await store.down()
        store.keep()
        await server.start_again()
        await writer.write(20)
        async with connected(server.url) as client:
            await assert_complete(client, writer)
        if when == "while no hub led":
            await hub.stop()
        await store.down()
        store.set_back()
        await server.start_again()
        async with connected(server.url) as client:
            if when == "while no hub led":
                for number in range(40):
                    await _forge(client, before[-1].epoch, number)
                hub = await hubs.start()
                assert hub.said('"reason": "rewritten"') or hub.said('"reason":"rewritten"')
            else:
                await eventually(lambda: hub.said("log_taken_over") == 2, within=30)
            await writer.write(5)
            log = await caught_up(client, 25)
        assert numbers(log) == [*range(20), *range(40, 45)]
        assert markers(log)[-1].log_epoch != before[-1].log_epoch
        await hubs.end()


async def _forge(client: Client, epoch: int, number: int) -> None:
    """Store an event that no hub made of a change."""
    headers = {"Hub-Epoch": str(epoch), "Hub-Event-Id": f"8200000000:{number}", "Hub-Kind": "frame"}
    subject = f"hubbub.v1.append.{epoch}.room.elsewhere"
    await client.request(subject, b"{}", timeout=5, headers=headers)


async def test_a_database_that_is_dropped_begins_a_new_log(
    hubs: Hubs, client: Client, database: Database
) -> None:
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(5)
    before = await assert_complete(client, writer)
    await database.client.drop_database(database.name)
    await eventually(lambda: hub.said("log_of_another_database"), within=20)
    await eventually(lambda: hub.said("log_taken_over") == 2, within=20)
    await database.rocketchat_room.insert_one({"_id": ROOM, "t": "c", "name": "general"})
    await writer.write(5)
    log = await caught_up(client, 5)
    assert numbers(log) == list(range(5, 10))
    assert markers(log)[0].log_epoch != markers(before)[0].log_epoch


async def test_a_place_is_remembered_where_nothing_happens(hubs: Hubs, database: Database) -> None:
    """The place of an old change is gone with that part of the history; that of an empty answer
    moves on with it."""

    async def place() -> str:
        lease: Mapping[str, Mapping[str, Mapping[str, str]]] | None
        lease = await database.hubbub_leases.find_one({}, {"checkpoint.token": 1})
        return lease["checkpoint"]["token"]["_data"] if lease else ""

    await hubs.start()
    before = await eventually(place, within=20)
    await database.of_somebody_else.insert_one({"x": 1})

    async def moved() -> bool:
        return await place() > before

    await eventually(moved, within=20)


async def test_an_event_too_large_for_nats_is_said_to_be_missing(
    hubs: Hubs, client: Client, database: Database
) -> None:
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(2)
    large = message(2) | {"alias": "x" * (1024**2 + 1)}
    await database.rocketchat_message.insert_one(large)
    await database.rocketchat_message.insert_one(message(3))
    log = await caught_up(client, 3)
    assert numbers(log) == [0, 1, 3]
    room = [stored for stored in log if stored.subject.endswith(f"room.{ROOM}")]
    assert b'"events-missing"' in room[2].payload
    assert room[2].headers["Hub-Room-Type"] == "c"
    assert hub.said("event_too_large") == 1
    assert not any(marker.resync for marker in markers(log))
