"""Unread counters and notifications: certain, exact, and written only where they change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubbub.ids import RoomId, UserId
from hubbub.mongo import Database
from tests.integration.messaging.house import SETTINGS, House, house
from tests.waiting import eventually

pytestmark = pytest.mark.integration

NAMES = ("ada", "bob", "eve")


async def _room(home: House, kind: str = "c") -> tuple[list[UserId], RoomId]:
    """Three members who have read everything."""
    users = await home.users(*NAMES)
    room_id = await home.room(users[0], *NAMES[1:], kind=kind)
    for user in users:
        await home.messaging.read_room(user, room_id)
    return users, room_id


def _numbers(membership: dict[str, Any]) -> tuple[bool, int, int, int]:
    return (
        membership["alert"],
        membership["unread"],
        membership["userMentions"],
        membership["groupMentions"],
    )


@pytest.mark.parametrize(
    ("text", "setting", "bob", "eve"),
    [
        pytest.param("plain", None, (True, 0, 0, 0), (True, 0, 0, 0), id="plain"),
        pytest.param("plain", "all_messages", (True, 1, 0, 0), (True, 1, 0, 0), id="all count"),
        pytest.param("hi @bob", None, (True, 1, 1, 0), (True, 0, 0, 0), id="mention"),
        pytest.param(
            "hi @bob", "group_mentions_only", (True, 0, 1, 0), (True, 0, 0, 0), id="not counted"
        ),
        pytest.param("@all", None, (True, 1, 0, 1), (True, 1, 0, 1), id="all"),
        pytest.param("@here", None, (True, 1, 0, 1), (True, 1, 0, 1), id="here"),
        pytest.param("@all @bob", None, (True, 1, 1, 0), (True, 1, 0, 1), id="all and one"),
        pytest.param(
            "@all", "user_mentions_only", (True, 0, 0, 1), (True, 0, 0, 1), id="group not counted"
        ),
    ],
)
async def test_classes(
    home: House,
    text: str,
    setting: str | None,
    bob: tuple[bool, int, int, int],
    eve: tuple[bool, int, int, int],
) -> None:
    """What a message adds depends on whom it mentions and on the workspace."""
    users, room_id = await _room(home)
    if setting:
        await home.setting("Unread_Count", setting)

    await home.say(users[0], room_id, text)

    await home.settled()
    ada = await home.membership(users[0], room_id)
    assert _numbers(ada) == (False, 0, 0, 0)
    assert _numbers(await home.membership(users[1], room_id)) == bob
    assert _numbers(await home.membership(users[2], room_id)) == eve


async def test_direct_rooms_count_every_message(home: House) -> None:
    """And the first one shows the room to the other."""
    ada, bob, _ = await home.users(*NAMES)
    room_id = RoomId((await home.messaging.create_direct(ada, ["bob"]))["rid"])
    assert (await home.membership(bob, room_id))["open"] is False

    await home.say(ada, room_id)
    await home.say(ada, room_id)

    await home.settled()
    membership = await home.membership(bob, room_id)
    assert _numbers(membership) == (True, 2, 0, 0)
    assert membership["open"] is True


async def test_an_own_message_is_read(home: House) -> None:
    """Who writes has seen what was said before."""
    (ada, bob, _), room_id = await _room(home)
    await home.say(ada, room_id, "@bob @all")
    await home.settled()

    sent = await home.say(bob, room_id, "yes")

    await home.settled()
    membership = await home.membership(bob, room_id)
    assert _numbers(membership) == (False, 0, 0, 0)
    assert membership["ls"] == sent["ts"]
    assert _numbers(await home.membership(ada, room_id))[0] is True


async def test_muted_group_mentions(home: House) -> None:
    """Who muted them is alerted, not counted."""
    (ada, bob, _), room_id = await _room(home)
    await _set(home, bob, room_id, muteGroupMentions=True)

    await home.say(ada, room_id, "@all")

    await home.settled()
    assert _numbers(await home.membership(bob, room_id)) == (True, 0, 0, 0)
    assert home.whisper.by(bob, "notification") == []


async def test_highlight_words_count_as_mentions(home: House) -> None:
    """A word that a member watches, as a word of its own."""
    (ada, bob, eve), room_id = await _room(home)
    await _set(home, bob, room_id, userHighlights=["Coffee"])
    await _set(home, eve, room_id, userHighlights=["off"])

    await home.say(ada, room_id, "more coffee!")

    await home.settled()
    assert _numbers(await home.membership(bob, room_id)) == (True, 1, 1, 0)
    assert _numbers(await home.membership(eve, room_id)) == (True, 0, 0, 0)


async def test_threads_alert_their_followers_only(home: House) -> None:
    """The author of the first message, who replied, and who was mentioned."""
    (ada, bob, eve), room_id = await _room(home)
    parent = await home.say(ada, room_id, "parent")
    await home.settled()
    for user in (ada, bob, eve):
        await home.messaging.read_room(user, room_id)

    await home.say(bob, room_id, "reply", tmid=parent["_id"])

    await home.settled()
    membership = await home.membership(ada, room_id)
    assert membership["tunread"] == [parent["_id"]]
    assert _numbers(membership) == (True, 0, 0, 0)
    assert "tunread" not in await home.membership(bob, room_id)
    assert _numbers(await home.membership(eve, room_id)) == (False, 0, 0, 0)

    await home.say(bob, room_id, "@eve?", tmid=parent["_id"])

    await home.settled()
    assert (await home.membership(eve, room_id))["tunreadUser"] == [parent["_id"]]
    await home.messaging.read_thread(eve, parent["_id"])
    seen = await home.membership(eve, room_id)
    assert not {"tunread", "tunreadUser"} & seen.keys()
    assert seen["alert"] is False


async def test_memberships_that_stay_equal_are_not_written(home: House) -> None:
    """A second plain message changes no membership but its author's."""
    (ada, bob, _), room_id = await _room(home)
    await home.say(ada, room_id)
    await home.settled()
    before = await home.membership(bob, room_id)

    await home.say(ada, room_id)

    await home.settled()
    assert await home.membership(bob, room_id) == before


async def test_counting_twice_changes_nothing(home: House) -> None:
    """What a process repeats after a failure is not counted again."""
    (ada, bob, eve), room_id = await _room(home)
    for text in ("@bob", "@all", "plain", "@eve @bob"):
        await home.say(ada, room_id, text)
    await home.settled()
    before = [await home.membership(user, room_id) for user in (ada, bob, eve)]

    effects = home.service._desk.effects
    messages = await home.service._desk.store.counters.between(room_id, 0, 99)
    await effects._count(room_id, {"t": "c"}, messages, messages[-1]["seq"])

    assert [await home.membership(user, room_id) for user in (ada, bob, eve)] == before
    assert _numbers(before[1]) == (True, 3, 2, 1)


async def test_counters_survive_the_death_of_a_process(database: Database) -> None:
    """Messages whose process died right after the commit are counted by another one."""
    async with house(database) as doomed:
        (ada, bob, _), room_id = await _room(doomed)
        doomed.service._desk.effects._enqueue = lambda *_: None  # type: ignore[method-assign]
        await doomed.say(ada, room_id, "@bob")
        await doomed.say(ada, room_id, "@bob")
        doomed.service._desk.effects._idle.set()
        assert (await doomed.membership(bob, room_id))["userMentions"] == 0

        async with house(database) as other:

            async def counted() -> bool:
                mentions: int = (await other.membership(bob, room_id))["userMentions"]
                return mentions == 2

            await eventually(counted, within=10)
            await eventually(lambda: _settled(other, room_id), within=10)
        assert _numbers(await doomed.membership(bob, room_id)) == (True, 2, 2, 0)


async def _settled(home: House, room_id: str) -> bool:
    room = await home.stored_room(room_id)
    counted: bool = room["countedSeq"] == room["seq"]
    return counted and "uncounted" not in room


async def test_the_next_batch_counts_what_was_left(database: Database) -> None:
    """Even before anybody searches; and nothing is counted twice."""
    patient = SETTINGS.model_copy(update={"repair_interval": 999.0, "repair_age": 999.0})
    async with house(database, patient) as doomed, house(database, patient) as other:
        (ada, bob, _), room_id = await _room(doomed)
        doomed.service._desk.effects._enqueue = lambda *_: None  # type: ignore[method-assign]
        await doomed.say(ada, room_id, "@bob")
        doomed.service._desk.effects._idle.set()

        await other.say(ada, room_id, "@bob too")

        await other.settled()
        assert _numbers(await other.membership(bob, room_id)) == (True, 2, 2, 0)


async def test_quiet_rooms_are_settled(home: House) -> None:
    """Nothing is left for others to repair."""
    (ada, _, _), room_id = await _room(home)

    await home.say(ada, room_id)

    await eventually(lambda: _settled(home, room_id))


async def test_counters_of_a_busy_room_are_exact(home: House) -> None:
    """Two processes, many senders: everybody's counters agree with the messages."""
    (ada, bob, eve), room_id = await _room(home)
    async with house(home.database) as other:
        await asyncio.gather(
            *(
                (home if number % 2 else other).say(ada, room_id, f"@bob {number}")
                for number in range(60)
            )
        )
        await home.settled()
        await other.settled()

    assert _numbers(await home.membership(bob, room_id)) == (True, 60, 60, 0)
    assert _numbers(await home.membership(eve, room_id)) == (True, 0, 0, 0)


async def test_who_joins_later_is_not_counted_for_before(home: House) -> None:
    """Old messages are not new to somebody who just came."""
    (ada, _, _), room_id = await _room(home)
    (zoe,) = await home.users("zoe")
    for _ in range(3):
        await home.say(ada, room_id, "@all")
    await home.messaging.join_room(zoe, room_id)
    await home.settled()

    await home.say(ada, room_id, "@all")

    await home.settled()
    # One for having come, one for the message.
    assert _numbers(await home.membership(zoe, room_id)) == (True, 2, 1, 1)


async def test_reading(home: House) -> None:
    """Reading clears; unread threads keep the alert until they are read."""
    (ada, bob, _), room_id = await _room(home)
    parent = await home.say(bob, room_id, "parent")
    await home.say(ada, room_id, "@bob @all")
    await home.say(ada, room_id, "reply", tmid=parent["_id"])
    await home.settled()

    await home.messaging.read_room(bob, room_id)

    membership = await home.membership(bob, room_id)
    assert _numbers(membership) == (True, 0, 0, 0)
    assert membership["tunread"] == [parent["_id"]]
    await home.messaging.read_room(bob, room_id, read_threads=True)
    membership = await home.membership(bob, room_id)
    assert _numbers(membership) == (False, 0, 0, 0)
    assert "tunread" not in membership

    await home.messaging.read_room(bob, room_id)
    assert await home.membership(bob, room_id) == membership, "nothing new, nothing written"
    await home.messaging.read_room(UserId("u-nobody"), room_id)


async def test_notifications(home: House) -> None:
    """Mentions, direct rooms, and those who want every message; not offline ones."""
    (ada, bob, eve), room_id = await _room(home)
    await _set(home, eve, room_id, desktopNotifications="all")
    await home.database.users.update_one({"_id": bob}, {"$set": {"status": "offline"}})

    await home.say(ada, room_id, "hi @bob")

    await home.settled()
    assert home.whisper.by(bob, "notification") == []
    (notice,) = home.whisper.by(eve, "notification")
    assert notice["payload"]["rid"] == room_id
    assert notice["payload"]["sender"]["username"] == "ada"
    assert notice["text"] == "Ada: hi @bob"

    direct = RoomId((await home.messaging.create_direct(ada, ["eve"]))["rid"])
    await home.say(ada, direct, "psst")
    await home.settled()
    assert home.whisper.by(eve, "notification")[-1]["title"] == "@Ada"
    assert home.whisper.by(ada, "notification") == []


async def test_a_hidden_room_comes_back_with_the_next_message(home: House) -> None:
    """And not with one that was said before."""
    (ada, bob, _), room_id = await _room(home)
    await home.say(ada, room_id)

    assert await home.messaging.set_room_open(bob, room_id, is_open=False)

    await home.settled()
    assert (await home.membership(bob, room_id))["open"] is False
    await home.say(ada, room_id)
    await home.settled()
    assert (await home.membership(bob, room_id))["open"] is True


async def _set(home: House, user_id: str, room_id: str, **fields: Any) -> None:
    await home.database.rocketchat_subscription.update_one(
        {"rid": room_id, "u._id": user_id}, {"$set": fields}
    )
    home.service._desk.facts.forget_room(room_id)
