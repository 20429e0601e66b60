"""Words that users want to be told of reach the memberships that counting reads."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import MembershipChanged, UserChanged
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def _choose(home: House, user_id: str, words: Any) -> None:
    await home.database.users.update_one(
        {"_id": user_id}, {"$set": {"settings.preferences.highlights": words}}
    )


async def test_chosen_words_count_as_mentions(home: House) -> None:
    """In rooms the user is in and in those that come later; no longer when taken back."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    await _choose(home, bob, ["coffee", " ", 5])

    await home.bus.publish(UserChanged(user_id=bob))
    await home.bus.settled()

    assert (await home.membership(bob, room_id))["userHighlights"] == ["coffee"]
    assert "userHighlights" not in await home.membership(ada, room_id)
    await home.say(ada, room_id, "COFFEE anyone?")
    await home.settled()
    assert (await home.membership(bob, room_id))["userMentions"] == 2  # added, and this
    later = await home.room(ada, "bob")
    await home.bus.publish(MembershipChanged(user_id=bob, room_id=later, change="began"))
    await home.bus.settled()
    assert (await home.membership(bob, later))["userHighlights"] == ["coffee"]
    await _choose(home, bob, [])
    await home.bus.publish(UserChanged(user_id=bob))
    await home.bus.settled()
    for room in (room_id, later):
        assert "userHighlights" not in await home.membership(bob, room)


async def test_who_never_chose_keeps_what_is_there(home: House) -> None:
    """Other tools may have written words into a membership."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    await home.database.rocketchat_subscription.update_one(
        {"rid": room_id, "u._id": bob}, {"$set": {"userHighlights": ["tea"]}}
    )

    await home.bus.publish(UserChanged(user_id=bob))
    await home.bus.publish(UserChanged(user_id=ada, deleted=True))
    await home.bus.settled()

    assert (await home.membership(bob, room_id))["userHighlights"] == ["tea"]
