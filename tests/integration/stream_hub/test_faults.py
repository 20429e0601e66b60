"""Hubs that die, freeze, lose their log or meet documents nobody foresaw.

The claim of each test is the same: every change counts exactly once, in the database's order.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from nats.aio.client import Client
from pydantic import SecretStr

from hubbub.contracts.event_log import LOG_STREAM
from hubbub.local import servers
from hubbub.mongo import Database, MongoSettings, connect
from tests.integration.stream_hub.hubs import (
    Hubs,
    Stored,
    Writer,
    assert_complete,
    caught_up,
    connected,
    counting,
    markers,
    message,
    numbers,
    whole_log,
)
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def test_killed_and_started_again_under_load(
    hubs: Hubs, client: Client, database: Database
) -> None:
    hub = await hubs.start()
    writer = Writer(database)
    async with writer.writing():
        for _ in range(3):
            await asyncio.sleep(0.7)
            await hub.kill()
            hub = await hubs.start()
        await asyncio.sleep(0.5)
    log = await assert_complete(client, writer)
    assert writer.written > 500
    epochs = [marker.epoch for marker in markers(log)]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 4
    assert {marker.log_epoch for marker in markers(log)} == {markers(log)[0].log_epoch}
    assert not any(marker.resync for marker in markers(log))


async def test_what_is_written_while_no_hub_runs_is_told_later(
    hubs: Hubs, client: Client, database: Database
) -> None:
    """From the very first start on: even a hub that was killed right then lost nothing."""
    hub = await hubs.start()
    await hub.kill()
    writer = Writer(database)
    await writer.write(300)
    await hubs.start()
    await assert_complete(client, writer)


async def test_a_standby_takes_over_from_the_dead(
    hubs: Hubs, client: Client, database: Database
) -> None:
    leader = await hubs.start()
    standby = await hubs.start(leading=False)
    writer = Writer(database)
    async with writer.writing():
        await caught_up(client, 50)
        await leader.kill()
        await eventually(lambda: standby.said("log_taken_over"), within=30)
        await asyncio.sleep(0.3)
    await assert_complete(client, writer)


async def test_a_polite_stop_hands_over_long_before_the_lease_would_run_out(
    hubs: Hubs, client: Client, database: Database
) -> None:
    hubs.settings |= {
        "HUBBUB_STREAM_HUB_LEASE_TTL": "60",
        "HUBBUB_STREAM_HUB_LEASE_FENCE": "50",
    }
    leader = await hubs.start()
    standby = await hubs.start(leading=False)
    writer = Writer(database)
    async with writer.writing():
        await caught_up(client, 50)
        assert await leader.stop() == 0
        await eventually(lambda: standby.said("log_taken_over"), within=30)
        await asyncio.sleep(0.3)
    await assert_complete(client, writer)


async def test_a_frozen_leader_wakes_up_beside_its_successor(
    hubs: Hubs, client: Client, database: Database
) -> None:
    first = await hubs.start()
    second = await hubs.start(leading=False)
    writer = Writer(database, pause=0.001, batch=10)
    async with writer.writing():
        for leader, other in ((first, second), (second, first)):
            await asyncio.sleep(0.5)
            before = other.said("log_taken_over")
            leader.send(signal.SIGSTOP)
            await eventually(lambda: other.said("log_taken_over") > before, within=10)  # noqa: B023
            leader.send(signal.SIGCONT)
            await eventually(lambda: leader.said("leadership_ended"), within=10)  # noqa: B023
        await asyncio.sleep(0.5)
    await assert_complete(client, writer)


async def test_nats_killed_and_started_again(
    mongo_url: str, database: Database, hubs: Hubs, tmp_path: Path
) -> None:
    writer = Writer(database, pause=0.005)
    async with servers.nats(tmp_path / "nats") as server:
        hubs.nats_url = server.url
        await hubs.start()
        async with writer.writing():
            await asyncio.sleep(0.7)
            server.process.kill()
            await server.process.wait()
            await asyncio.sleep(1.0)
            async with servers.nats(tmp_path / "nats", port=server.port) as again:
                await asyncio.sleep(1.0)
                async with connected(again.url) as client:
                    await caught_up(client, writer.written - 50, within=20)
                    log = await whole_log(client)
                    found = numbers(log)
                    assert len(found) == len(set(found))
                    # What a killed server had acknowledged and not yet written may be gone;
                    # then the log says so. What it kept is in order and complete behind that.
                    if found != list(range(len(found))):
                        assert any(marker.resync for marker in markers(log))
                    assert found == sorted(found)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", ["frozen", "killed"])
async def test_the_database_is_away_for_a_while(
    nats_url: str, client: Client, tmp_path: Path, fault: str
) -> None:
    async with servers.mongo(tmp_path / "mongo") as server:
        hubs = Hubs(server.url, nats_url, tmp_path)
        database = connect(MongoSettings(url=SecretStr(server.url)), app_name="test").hubbub
        writer = Writer(database)
        try:
            hub = await hubs.start()
            await writer.write(50)
            await assert_complete(client, writer)
            if fault == "frozen":
                server.process.send_signal(signal.SIGSTOP)
                await eventually(lambda: hub.said("leadership_ended"), within=10)
                server.process.send_signal(signal.SIGCONT)
                await writer.write(50)
                await assert_complete(client, writer)
            else:
                server.process.kill()
                await server.process.wait()
                async with servers.mongo(tmp_path / "mongo", port=server.port):
                    await writer.write(50)
                    await assert_complete(client, writer)
                    await hubs.end()
        finally:
            await hubs.end()
            await database.client.close()
            # The driver leaves sockets of attempts that were refused to the collector; they
            # must not be counted against the next test.
            del database, writer
            gc.collect()


async def test_a_deleted_log_begins_anew_and_says_so(
    hubs: Hubs, client: Client, database: Database
) -> None:
    await hubs.start()
    writer = Writer(database)
    async with writer.writing():
        old = await caught_up(client, 50)
        await client.request(f"$JS.API.STREAM.DELETE.{LOG_STREAM}", b"", timeout=5)
        log = await eventually(lambda: _messages(client), within=15)
    assert markers(log)[0].resync
    assert markers(log)[0].log_epoch != markers(old)[0].log_epoch
    log = await eventually(lambda: _up_to(client, writer.written - 1), within=15)
    found = numbers(log)
    assert found == list(range(found[0], writer.written))


async def _messages(client: Client) -> list[Stored]:
    log = await whole_log(client)
    return log if len(numbers(log)) > 20 and markers(log)[0].resync else []


async def _up_to(client: Client, last: int) -> list[Stored]:
    log = await whole_log(client)
    return log if numbers(log)[-1:] == [last] else []


@pytest.mark.parametrize(
    "damage",
    [{"checkpoint.sequence": Int64(10**9)}, {"checkpoint.event_id": "of another history:0"}],
)
async def test_a_log_that_lost_its_end_is_noticed(
    hubs: Hubs, client: Client, database: Database, damage: dict[str, Any]
) -> None:
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(20)
    await assert_complete(client, writer)
    await hub.stop()
    await database.hubbub_leases.update_one({}, {"$set": damage})
    await hubs.start()
    await writer.write(20)
    log = await assert_complete(client, writer)
    first, second = markers(log)
    assert not first.resync
    assert second.resync
    assert second.log_epoch != first.log_epoch


async def test_a_history_that_is_gone_is_said(
    hubs: Hubs, client: Client, database: Database
) -> None:
    """The place where the hub stopped is not in the history that the database remembers."""
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(5)
    log = await assert_complete(client, writer)
    await hub.stop()
    token = counting(log)[-1].headers["Hub-Event-Id"].partition(":")[0]
    earlier = f"82{int(token[2:10], 16) - 1:08X}{token[10:]}"
    await database.hubbub_leases.update_one({}, {"$set": {"checkpoint.token._data": earlier}})
    hub = await hubs.start()
    await eventually(lambda: hub.said("history_lost"))
    log = await eventually(lambda: _resynced(client))
    assert [marker.resync for marker in markers(log)] == [False, False, True]
    await writer.write(5)
    await assert_complete(client, writer)


async def _resynced(client: Client) -> list[Stored]:
    log = await whole_log(client)
    return log if any(marker.resync for marker in markers(log)) else []


async def test_a_long_history_of_nobodys_business_is_searched_with_patience(
    hubs: Hubs, client: Client, database: Database
) -> None:
    """A hub that was away must find its way through what others wrote meanwhile, though the
    search takes longer than an answer usually may."""
    hubs.settings["HUBBUB_STREAM_HUB_READ_TIMEOUT"] = "1"
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(1)
    await assert_complete(client, writer)
    await hub.stop()
    for _ in range(40):
        await database.import_of_something_else.insert_many([{"x": n} for n in range(5000)])
    await hubs.start()
    await writer.write(1)
    log = await assert_complete(client, writer)
    assert not any(marker.resync for marker in markers(log))


async def test_a_dropped_collection_is_said(hubs: Hubs, client: Client, database: Database) -> None:
    await hubs.start()
    await database.rocketchat_message.drop()
    await eventually(lambda: _resynced(client))
    writer = Writer(database)
    await writer.write(5)
    await assert_complete(client, writer)


def _raw(document: dict[str, Any], old: bytes, new: bytes) -> RawBSONDocument:
    encoded = bson.encode(document)
    assert encoded.count(old) == 1
    return RawBSONDocument(encoded.replace(old, new))


async def test_documents_nobody_can_decode_do_not_stop_the_rest(
    hubs: Hubs, client: Client, database: Database
) -> None:
    await hubs.start()
    writer = Writer(database)
    await writer.write(5)
    far = _raw(
        message(5) | {"ts": datetime(2026, 1, 1, tzinfo=UTC)},
        (1_767_225_600_000).to_bytes(8, "little"),
        (100_000_000_000_000_000).to_bytes(8, "little"),
    )
    broken = _raw(message(6) | {"alias": "brokenXX"}, b"brokenXX", b"broken\xff\xfe")
    for document in (far, broken):
        await database.rocketchat_message.insert_one(document)
        writer.written += 1
    await writer.write(5)
    log = await assert_complete(client, writer)
    assert not any(marker.resync for marker in markers(log))


async def test_a_large_change_that_is_no_ones_news_passes(
    hubs: Hubs, client: Client, database: Database
) -> None:
    """Document and difference together would be larger than an answer of the database may be."""
    await hubs.start()
    writer = Writer(database)
    await writer.write(3)
    large = "x" * (9 * 1024 * 1024)
    await database.rocketchat_message.update_one({"_id": "m1"}, {"$set": {"html": large}})
    await database.rocketchat_message.update_one({"_id": "m1"}, {"$unset": {"html": 1}})
    await writer.write(3)
    log = await assert_complete(client, writer)
    assert not any(marker.resync for marker in markers(log))


async def test_a_change_the_database_cannot_send_is_passed_over_and_said(
    hubs: Hubs, client: Client, database: Database
) -> None:
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(3)
    await database.users.insert_one({"_id": "u9", "username": "nine"})
    large = "x" * (9 * 1024 * 1024)
    await database.users.update_one({"_id": "u9"}, {"$set": {"customFields": {"x": large}}})
    await eventually(lambda: hub.said("change_unreadable"), within=20)
    await database.users.update_one(
        {"_id": "u9"}, {"$unset": {"customFields": 1}, "$set": {"name": "Nine"}}
    )
    await writer.write(3)
    log = await assert_complete(client, writer)
    assert hub.said("change_unreadable") == 1
    assert [marker.resync for marker in markers(log)] == [False, True]
    users = [stored for stored in counting(log) if stored.subject.endswith("user.u9")]
    assert b'"diff":{"name":"Nine"}' in users[-1].payload


async def test_a_log_of_another_database_is_not_believed(
    hubs: Hubs, client: Client, database: Database
) -> None:
    """The database was set back (or is another one): its epochs begin below the log's."""
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(5)
    await assert_complete(client, writer)
    await hub.stop()
    await database.hubbub_leases.delete_many({})
    hub = await hubs.start()
    assert hub.said("log_of_another_database")
    await database.rocketchat_message.insert_one(message(5))
    log = await caught_up(client, 1)
    assert numbers(log) == [5]
    assert markers(log)[0].epoch == 1
