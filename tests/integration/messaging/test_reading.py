"""Reading messages: pages without holes or repeats, and what happened since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from hubbub.contracts.documents import Paging
from hubbub.contracts.messages import InvalidRoom, MessageNotFound
from hubbub.doors.methods import Call, Caller, messages
from hubbub.errors import NotAllowed
from hubbub.ids import MessageId, RoomId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration

START = datetime(2026, 2, 1, tzinfo=UTC)


async def _imported(home: House, moments: list[int]) -> tuple[UserId, RoomId]:
    """A room with one message per number of seconds after `START`."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    await home.database.rocketchat_message.insert_many(
        [
            {
                "_id": f"m{number:03}",
                "rid": room_id,
                "msg": str(number),
                "ts": START + timedelta(seconds=seconds),
                "_updatedAt": START + timedelta(seconds=seconds),
                "u": {"_id": ada, "username": "ada"},
            }
            for number, seconds in enumerate(moments)
        ]
    )
    return ada, room_id


async def _missed(
    home: House, user_id: UserId, room_id: RoomId, start: datetime
) -> list[dict[str, Any]]:
    """What a client that was away since `start` gets."""
    services = SimpleNamespace(messaging=home.messaging)
    return await messages.all_missed(
        Call(services, Caller(user_id)),  # type: ignore[arg-type]  # it needs no other service
        room_id,
        start,
    )


@pytest.mark.parametrize("count", [1, 3, 7, 100])
async def test_pages_over_equal_times_have_no_hole_and_no_repeat(home: House, count: int) -> None:
    """Who goes on from a page's last date sees every message once, in either direction."""
    moments = [0, 1, 1, 1, 1, 2, 3, 3, 4, 5, 5, 5]
    ada, room_id = await _imported(home, moments)
    everything = [f"m{number:03}" for number in range(len(moments))]

    back: list[str] = []
    latest: datetime | None = None
    while True:
        page = (await home.messaging.history(ada, room_id, latest=latest, count=count)).messages
        if not page:
            break
        back += [message["_id"] for message in page]
        latest = page[-1]["ts"]
    assert back == everything[::-1]

    forward: list[str] = []
    start = START - timedelta(seconds=1)
    while page := await home.messaging.next_messages(ada, room_id, start, count):
        forward += [message["_id"] for message in page]
        start = page[-1]["ts"]
    assert forward == everything


async def test_history_bounds_and_hidden_messages(home: House) -> None:
    """Inclusive or not; hidden messages, hidden types and thread replies stay out."""
    ada, room_id = await _imported(home, list(range(6)))
    messages = home.database.rocketchat_message
    await messages.update_one({"_id": "m001"}, {"$set": {"_hidden": True}})
    await messages.update_one({"_id": "m002"}, {"$set": {"t": "uj"}})
    await messages.update_one({"_id": "m003"}, {"$set": {"tmid": "m000"}})
    await home.setting("Hide_System_Messages", ["uj"])
    at = [START + timedelta(seconds=seconds) for seconds in range(6)]

    async def ids(**bounds: Any) -> list[str]:
        page = await home.messaging.history(ada, room_id, **bounds)
        return [message["_id"] for message in page.messages]

    assert await ids() == ["m005", "m004", "m003", "m000"]
    assert await ids(show_thread_messages=False) == ["m005", "m004", "m000"]
    assert await ids(latest=at[5]) == ["m004", "m003", "m000"]
    assert await ids(latest=at[5], inclusive=True, oldest=at[3]) == ["m005", "m004", "m003"]
    assert await ids(offset=1, count=2) == ["m004", "m003"]


async def test_unread_messages_that_a_page_does_not_reach(home: House) -> None:
    """How many there are, and the first of them."""
    ada, room_id = await _imported(home, list(range(10)))

    page = await home.messaging.history(
        ada, room_id, count=3, last_seen=START + timedelta(seconds=2)
    )

    assert [message["_id"] for message in page.messages] == ["m009", "m008", "m007"]
    assert page.unread_not_loaded == 4
    assert page.first_unread is not None
    assert page.first_unread["_id"] == "m003"


async def test_surroundings(home: House) -> None:
    """Half before, half after, oldest first."""
    ada, room_id = await _imported(home, list(range(10)))

    around = await home.messaging.surrounding_messages(ada, MessageId("m005"), count=4)
    all_of_it = await home.messaging.surrounding_messages(ada, MessageId("m005"), count=100)

    assert [message["_id"] for message in around.messages] == [f"m00{n}" for n in range(3, 8)]
    assert (around.more_before, around.more_after) == (True, True)
    assert len(all_of_it.messages) == 10
    assert (all_of_it.more_before, all_of_it.more_after) == (False, False)
    assert room_id


async def test_what_was_missed_includes_edits(home: House) -> None:
    """A message that was sent long ago and edited since is among them."""
    ada, room_id = await _imported(home, list(range(3)))
    now = await home.service._desk.now()
    await home.database.rocketchat_message.update_one(
        {"_id": "m001"}, {"$set": {"_updatedAt": now}}
    )
    sent = await home.say(ada, room_id, "new")

    missed = await _missed(home, ada, room_id, now + timedelta(seconds=5))

    assert [message["_id"] for message in missed] == ["m001", sent["_id"]]


async def test_a_busy_room_does_not_crowd_out_what_was_missed(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More messages in the overlap than one answer holds: the missed ones come all the same."""
    monkeypatch.setattr(messages, "_MISSED", 4)
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = [await home.say(ada, room_id, f"{number}") for number in range(8)]

    missed = await _missed(home, ada, room_id, sent[5]["ts"])

    assert {sent[6]["_id"], sent[7]["_id"]} <= {message["_id"] for message in missed}


async def test_what_was_missed_is_told_in_answers_that_a_client_can_take(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer larger than what is kept for a client would end its socket each time that it
    asks. The first part comes however large it is, and who goes on from the last has it all."""
    monkeypatch.setattr(messages, "_MISSED_BYTES", 3000)
    monkeypatch.setattr(messages, "_STEP", 2)
    monkeypatch.setattr(messages, "_LOOK_BACK", timedelta(0))
    ada, room_id = await _imported(home, list(range(20)))
    await home.database.rocketchat_message.update_many({}, {"$set": {"msg": "x" * 1000}})
    await home.database.rocketchat_message.update_one(
        {"_id": "m000"}, {"$set": {"msg": "x" * 5000}}
    )

    since, seen, largest = START - timedelta(seconds=1), list[str](), 0
    while missed := await _missed(home, ada, room_id, since):
        seen += [message["_id"] for message in missed]
        since = missed[-1]["ts"]
        if "m000" not in {message["_id"] for message in missed}:
            largest = max(largest, len(missed))
    assert seen == [f"m{number:03}" for number in range(20)]
    assert largest == 2


async def test_a_long_absence_is_caught_up_in_steps(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message comes once, in order, also where one write changed many of them."""
    monkeypatch.setattr(messages, "_STEP", 7)
    ada, room_id = await _imported(home, list(range(60)))
    await home.database.rocketchat_message.update_many(
        {"rid": room_id, "_id": {"$in": [f"m{number:03}" for number in range(20, 45)]}},
        {"$set": {"_updatedAt": START + timedelta(seconds=100)}},
    )

    missed = await _missed(home, ada, room_id, START + timedelta(seconds=15))

    assert [message["_id"] for message in missed] == [f"m{number:03}" for number in range(6, 60)]


async def test_synchronization_tells_of_deletions(home: House) -> None:
    """Removed and hidden messages are listed with the time of their end."""
    (ada,) = await home.users("ada")
    home.authorization.granted[ada] = {"admin"}
    room_id = await home.room(ada)
    kept, removed = await home.say(ada, room_id, "kept"), await home.say(ada, room_id, "removed")
    hidden = await home.say(ada, room_id, "hidden")
    await home.messaging.delete_message(ada, removed["_id"])
    await home.setting("Message_KeepHistory", value=True)
    await home.messaging.delete_message(ada, hidden["_id"])

    before = kept["ts"] - timedelta(seconds=1)
    updated = await home.messaging.changes_page(ada, room_id, "updated", 9, after=before)
    deleted = await home.messaging.changes_page(ada, room_id, "deleted", 9, after=before)

    assert [message["_id"] for message in updated.items] == [kept["_id"]]
    assert {entry["_id"] for entry in deleted.items} == {removed["_id"], hidden["_id"]}
    assert all(entry["_deletedAt"] >= kept["ts"] for entry in deleted.items)


async def test_threads_and_their_replies(home: House) -> None:
    """Threads by latest activity, replies by age."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    first, second = await home.say(ada, room_id, "1"), await home.say(ada, room_id, "2")
    for number in range(3):
        await home.say(ada, room_id, f"r{number}", tmid=second["_id"])
    await home.say(ada, room_id, "late", tmid=first["_id"])

    threads = await home.messaging.threads(ada, room_id, Paging())
    replies = await home.messaging.thread_messages(ada, second["_id"], Paging(count=2, offset=1))

    assert [message["_id"] for message in threads.items] == [first["_id"], second["_id"]]
    assert [message["msg"] for message in replies.items] == ["r1", "r2"]
    assert replies.total == 3


@pytest.mark.parametrize("remembered", [False, True])
async def test_nobody_reads_a_group_from_outside(home: House, remembered: bool) -> None:
    """Every read door asks for access, and existence is not told; a membership that ended, and
    whose end has not come about yet, is none."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, kind="p")
    sent = await home.say(ada, room_id)
    messaging = home.messaging
    if remembered:
        home.authorization.remembered.add((room_id, bob))

    for call in (
        messaging.history(bob, room_id),
        messaging.history(None, room_id),
        messaging.next_messages(bob, room_id, START),
        messaging.changed_messages(bob, room_id, START),
        messaging.threads(bob, room_id, Paging()),
        messaging.changes_page(bob, room_id, "updated", 9, after=START),
        messaging.members(bob, room_id, Paging()),
        messaging.room_roles(bob, room_id),
        messaging.discussions(bob, room_id, Paging()),
    ):
        with pytest.raises(NotAllowed):
            await call
    for hidden in (
        messaging.get_message(bob, sent["_id"]),
        messaging.surrounding_messages(bob, sent["_id"]),
        messaging.thread_messages(bob, sent["_id"], Paging()),
    ):
        with pytest.raises(MessageNotFound):
            await hidden
    with pytest.raises(InvalidRoom):
        await messaging.history(ada, RoomId("nowhere"))


async def test_stars_of_others_and_internals_are_not_told(home: House) -> None:
    """A message carries the reader's own star only."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    sent = await home.say(ada, room_id)
    await home.database.rocketchat_message.update_one(
        {"_id": sent["_id"]}, {"$set": {"starred": [{"_id": bob}], "html": "x", "token": "t"}}
    )

    for_ada = await home.messaging.get_message(ada, sent["_id"])
    for_bob = await home.messaging.get_message(bob, sent["_id"])

    assert not {"starred", "seq", "html", "token"} & for_ada.keys()
    assert for_bob["starred"] == [{"_id": bob}]


async def test_a_message_with_an_impossible_date_is_readable(home: House) -> None:
    """One document that another tool spoiled does not close the room."""
    ada, room_id = await _imported(home, [0, 1])
    await home.database.command(
        "update",
        "rocketchat_message",
        updates=[
            {
                "q": {"_id": "m001"},
                "u": [{"$set": {"pinnedAt": {"$toDate": {"$toLong": 99999999999999999}}}}],
            }
        ],
    )

    page = await home.messaging.history(ada, room_id)

    assert len(page.messages) == 2
