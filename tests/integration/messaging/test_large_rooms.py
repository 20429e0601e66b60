"""What a message costs does not depend on how many members its room has."""

from __future__ import annotations

from collections import Counter

import pytest

from hubbub.ids import RoomId, UserId, random_id
from tests.integration.messaging.house import House
from tests.integration.plans import RECORDER
from tests.waiting import eventually

pytestmark = pytest.mark.integration

FEW, MANY = 5, 400  # members


async def _room_of(home: House, owner: UserId, size: int) -> RoomId:
    """A room with `size` members beside its owner."""
    room_id = await home.room(owner)
    names = [f"{size}-{number}" for number in range(size)]
    await home.users(*names)
    example = await home.membership(owner, room_id)
    await home.database.rocketchat_subscription.insert_many(
        [
            {
                **{key: value for key, value in example.items() if key != "roles"},
                "_id": random_id(),
                "u": {"_id": f"u-{name}", "username": name},
            }
            for name in names
        ]
    )
    await home.database.rocketchat_room.update_one({"_id": room_id}, {"$inc": {"usersCount": size}})
    return room_id


async def _cost(home: House, owner: UserId, room_id: RoomId, text: str, size: int) -> Counter[str]:
    """Commands of one message and of all that follows it, by collection."""

    async def everybody_knows() -> bool:
        alerted = {"rid": room_id, "alert": True}
        return await home.database.rocketchat_subscription.count_documents(alerted) >= size

    counts = RECORDER.counts[home.database.name]
    before = counts.copy()
    await home.say(owner, room_id, text)
    await eventually(everybody_knows, within=10, what="the others have seen it")
    await home.settled()
    spent = counts - before
    return Counter({name: n for name, n in spent.items() if name.startswith(("update", "insert"))})


@pytest.mark.parametrize("text", ["hello", "@all hello"])
async def test_counters_are_set_based(home: House, text: str) -> None:
    """As many writes for four hundred members as for five."""
    (ada,) = await home.users("ada")
    home.authorization.granted[ada] = {"admin"}
    costs = {}
    for size in (FEW, MANY):
        room_id = await _room_of(home, ada, size)
        costs[size] = await _cost(home, ada, room_id, text, size)
        unread = await home.database.rocketchat_subscription.count_documents(
            {"rid": room_id, "alert": True, "u._id": {"$ne": ada}}
        )
        assert unread == size

    assert costs[FEW]["insert rocketchat_message"] == 1
    assert (
        costs[MANY]["update rocketchat_subscription"]
        <= 1 + (costs[FEW]["update rocketchat_subscription"])
    )
    assert costs[MANY].total() <= 2 + costs[FEW].total()
