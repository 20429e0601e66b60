"""Preparing the database, also while it is in use."""

from __future__ import annotations

import asyncio

import pytest

from services.messaging.migration import expand
from services.messaging.store.schema import MEMBERSHIPS
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def test_a_start_does_not_wait_for_open_transactions(home: House) -> None:
    """The transaction of a process that was killed is open for a while: others start meanwhile."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    async with home.database.client.start_session() as session:
        await session.start_transaction()
        for collection in (home.database.rocketchat_room, home.database[MEMBERSHIPS]):
            await collection.update_many({}, {"$set": {"touched": True}}, session=session)

        async with asyncio.timeout(15):
            await expand(home.database)
        await session.abort_transaction()

    assert await home.say(bob, room_id)


async def test_a_membership_keeps_what_it_was(home: House) -> None:
    """The option is switched on where another tool made the collection."""
    await home.database.drop_collection(MEMBERSHIPS)
    await home.database.create_collection(MEMBERSHIPS)
    await expand(home.database)

    (found,) = await (await home.database.list_collections(filter={"name": MEMBERSHIPS})).to_list()
    assert found["options"]["changeStreamPreAndPostImages"] == {"enabled": True}
