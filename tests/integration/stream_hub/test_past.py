"""What the database still knows of its recent past."""

from __future__ import annotations

import pytest

from hubbub.mongo import Database
from services.stream_hub.domain import read
from services.stream_hub.domain.watched import pipeline
from services.stream_hub.store import FactStore

pytestmark = pytest.mark.integration


async def test_the_roles_before_a_change(database: Database) -> None:
    """Whatever happened to the account since."""
    facts = FactStore(database)
    await database.users.insert_one({"_id": "u1", "roles": ["user"]})
    asked = []
    async with await database.watch(pipeline(), full_document="updateLookup") as stream:
        await database.users.update_one({"_id": "u1"}, {"$push": {"roles": "admin"}})
        await database.users.update_one({"_id": "u1"}, {"$set": {"roles": ["bot"]}})
        await database.users.delete_one({"_id": "u1"})
        for _ in range(3):
            change = read(await stream.next())
            assert change is not None
            asked.append(await facts.roles_before("u1", change.moment))

    assert asked == [["user"], ["user", "admin"], ["bot"]]


async def test_a_past_that_is_gone(database: Database) -> None:
    """Nobody knows what was long ago; that is no error."""
    await database.users.insert_one({"_id": "u1", "roles": ["user"]})

    assert await FactStore(database).roles_before("u1", (1_000_000_000, 1)) is None
