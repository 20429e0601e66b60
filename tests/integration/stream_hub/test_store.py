"""The hub's queries: its lease, and what its decisions look up."""

from __future__ import annotations

import pytest

from hubbub.mongo import Database
from services.stream_hub.store import Checkpoint, FactStore, LogIdentity, MongoLeaseStore

pytestmark = pytest.mark.integration


async def test_a_lease_passes_on_with_its_checkpoint(database: Database) -> None:
    """Who holds it writes to it; the next one begins where the last one was, with a new epoch."""
    leases = MongoLeaseStore(database)
    checkpoint = Checkpoint(token={"_data": "x"}, sequence=7, event_id="e7", epoch=1)

    first = await leases.acquire("one", 60)
    assert first is not None
    assert await leases.is_held()
    assert await leases.acquire("two", 60) is None
    assert await leases.renew("one", first.epoch, 60, checkpoint)
    assert await leases.save_log("one", first.epoch, LogIdentity("then", 2))
    assert not await leases.renew("two", first.epoch, 60, None)
    await leases.release("one", first.epoch, None)
    assert not await leases.is_held()
    second = await leases.acquire("two", 60)

    assert second is not None
    assert second.epoch == first.epoch + 1
    assert second.checkpoint == checkpoint
    assert second.log == LogIdentity("then", 2)
    assert not await leases.renew("one", first.epoch, 60, None)


async def test_the_history_of_the_database_reaches_back(database: Database) -> None:
    window = await MongoLeaseStore(database).oplog_window()

    assert window is not None
    assert window >= 0


async def test_facts_of_what_is_there(database: Database) -> None:
    """What is not there is left out; settings that are not there have their defaults."""
    facts = FactStore(database)
    assert not await facts.real_names()
    assert await facts.hidden_types() == frozenset()
    await database.rocketchat_room.insert_one({"_id": "r", "t": "c", "name": "general"})
    await database.rocketchat__trash.insert_many(
        [
            {"_id": "s", "__collection__": "subscription", "rid": "r"},
            {"_id": "m", "__collection__": "message", "rid": "r"},
        ]
    )
    await database.users.insert_many([{"_id": "u", "name": "Ada"}, {"_id": "v"}])
    await database.rocketchat_settings.insert_many(
        [
            {"_id": "UI_Use_Real_Name", "value": True},
            {"_id": "Hide_System_Messages", "value": ["uj"]},
            {"_id": "Message_ErasureType", "value": "Unlink"},
        ]
    )

    (room,) = (await facts.room_facts(["r", "none"])).values()
    assert (room.type, room.name) == ("c", "general")
    assert set(await facts.room_documents(["r", "none"])) == {"r"}
    assert set(await facts.ended_memberships(["s", "m"])) == {"s"}
    assert await facts.names(["u", "v", "w"]) == {"u": "Ada"}
    assert await facts.real_names()
    assert "uj" in await facts.hidden_types()
    assert await facts.erasure() == "Unlink"
