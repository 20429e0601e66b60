"""The last step after another tool brought a database back."""

from __future__ import annotations

import pytest
from nats.aio.client import Client

from hubbub.backup.finishing import Finished, finish
from hubbub.backup.manifest import BackupFailed
from hubbub.backup.restoring import HOLDER, LEASES
from hubbub.mongo import Database
from services.ddp_streamer.audiences.leaders import Leaders
from services.stream_hub.store import LEASE_ID, MongoLeaseStore
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

TOKENS = "services.resume.loginTokens"


@pytest.fixture
async def brought_back(database: Database) -> Database:
    """A database as a dump has it: with what no copy of ours has."""
    await database.users.insert_many(
        [
            {"_id": "ana", "services": {"resume": {"loginTokens": [{"hashedToken": "h"}]}}},
            {"_id": "bo", "services": {"resume": {"loginTokens": []}}},
            {"_id": "cy", "services": {"password": {"bcrypt": "b"}}},
        ]
    )
    await database.usersSessions.create_index("due")
    await database.usersSessions.insert_many([{"_id": "ana"}, {"_id": "bo"}])
    await database.hubbub_login_failures.insert_one({"_id": "192.0.2.1"})
    await database.hubbub_schema.insert_one({"_id": "hubbub", "expanded": 1})
    return database


async def test_what_is_over_is_forgotten(brought_back: Database) -> None:
    """With their indexes, and what was migrated, kept; tokens too, unless it is asked for."""
    done = await finish(brought_back)

    assert done == Finished(leases=0, connections=2, counters=1, logins=0)
    assert await brought_back.usersSessions.count_documents({}) == 0
    assert "due_1" in await brought_back.usersSessions.index_information()
    assert await brought_back.hubbub_schema.count_documents({}) == 1
    assert await brought_back.users.count_documents({f"{TOKENS}.hashedToken": "h"}) == 1


async def test_everybody_has_to_sign_in_again(brought_back: Database) -> None:
    done = await finish(brought_back, end_logins=True)

    assert done.logins == 1
    assert await brought_back.users.count_documents({f"{TOKENS}.0": {"$exists": True}}) == 0
    cy = await brought_back.users.find_one({"_id": "cy"})
    assert cy == {"_id": "cy", "services": {"password": {"bcrypt": "b"}}}


async def test_not_while_hubbub_runs(brought_back: Database) -> None:
    leases = MongoLeaseStore(brought_back)
    assert await leases.acquire("hub", 60.0) is not None

    with pytest.raises(BackupFailed, match="Hubbub is running"):
        await finish(brought_back)
    assert await brought_back.usersSessions.count_documents({}) == 2


async def test_a_restore_that_was_cut_short_is_not_finished_so(brought_back: Database) -> None:
    """It would let a hub serve a part of a database as if it were all."""
    await brought_back[LEASES].insert_one({"_id": LEASE_ID, "holder": HOLDER})

    with pytest.raises(BackupFailed, match="repeat it with --force"):
        await finish(brought_back)


async def test_the_hub_begins_a_new_log(
    hubs: Hubs,  # noqa: F811
    client: Client,  # noqa: F811
    database: Database,
) -> None:
    """Though the lease of the copy knows the log by name: what it says of it is no longer so."""
    hub = await hubs.start()
    writer = Writer(database)
    await writer.write(5)
    before = markers(await assert_complete(client, writer))
    await hub.stop()
    leases = MongoLeaseStore(database)

    async def is_free() -> bool:
        return not await leases.is_held()

    await eventually(is_free, within=20, what="nobody leads")
    # As the copy was: two messages were not there yet.
    await database.rocketchat_message.delete_many(
        {"_id": {"$in": [message(3)["_id"], message(4)["_id"]]}}
    )

    assert (await finish(database)).leases == 1
    hub = await hubs.start()
    assert hub.said("log_of_another_database")
    await database.rocketchat_message.insert_one(message(5))
    log = await caught_up(client, 1)

    assert numbers(log) == [5]
    leaders = Leaders()
    assert not any(leaders.is_new_log(marker.log_epoch) for marker in before)
    assert leaders.is_new_log(markers(log)[0].log_epoch)
