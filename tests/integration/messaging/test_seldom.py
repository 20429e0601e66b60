"""Queries that only an accident of time brings about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hubbub.mongo import Database
from services.account.store.users import MongoUserStore
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def test_a_use_of_an_invitation_is_given_back(home: House) -> None:
    """Once: it is never less than none."""
    invites = home.database["rocketchat_invites"]
    await invites.insert_one({"_id": "token", "rid": "r", "uses": 1})

    for _ in range(2):
        await home.service._desk.store.invites.give_back("token")

    found = await invites.find_one({"_id": "token"})
    assert found is not None
    assert found["uses"] == 0


async def test_a_chore_is_left_to_others(home: House) -> None:
    """Nobody looks after it before its time."""
    chores = home.database["hubbub_chores"]
    past = datetime.now(UTC) - timedelta(hours=1)
    await chores.insert_one({"_id": "c", "kind": "of-another-version", "due": past})

    await home.service._desk.store.chores.postpone("c", 3600)

    found = await chores.find_one({"_id": "c"})
    assert found is not None
    assert found["due"] > datetime.now(UTC) + timedelta(minutes=50)


async def test_users_are_found_by_an_id_from_elsewhere(database: Database) -> None:
    store = MongoUserStore(database)
    await store.prepare()
    await database["users"].insert_one({"_id": "u", "importIds": ["elsewhere-1"]})

    assert await store.find_imported("elsewhere-1", ["_id"]) == {"_id": "u"}
    assert await store.find_imported("elsewhere-2", ["_id"]) is None
