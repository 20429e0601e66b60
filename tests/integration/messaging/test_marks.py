"""Stars, pins, followed threads, unread marks, reports: on a real database."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.messages import ActionNotAllowed, MessageNotFound
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, RoomId, UserId
from tests.integration.messaging.house import CREATED, House

pytestmark = pytest.mark.integration

ALL = Paging(count=50)


def _texts(page: Page) -> list[str]:
    return [message["msg"] for message in page.items]


async def _closed_room(home: House) -> tuple[UserId, UserId, RoomId, Document]:
    """ada's private group with a message, and eve who is not in it."""
    ada, eve = await home.users("ada", "eve")
    room_id = await home.room(ada, kind="p")
    return ada, eve, room_id, await home.say(ada, room_id, "@eve secret")


# -- stars --------------------------------------------------------------------------------------


async def test_stars_are_everybodys_own(home: House) -> None:
    """Nobody sees another's star; without any the field is gone."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    first, second = await home.say(ada, room_id, "one"), await home.say(ada, room_id, "two")
    for message in (first, second):
        await home.messaging.star_message(ada, message["_id"], starred=True)
    for _ in range(2):
        await home.messaging.star_message(bob, first["_id"], starred=True)

    assert _texts(await home.messaging.starred_messages(ada, room_id, ALL)) == ["two", "one"]
    of_bob = await home.messaging.starred_messages(bob, room_id, ALL)
    assert [message["starred"] for message in of_bob.items] == [[{"_id": bob}]]
    await home.messaging.star_message(bob, first["_id"], starred=False)
    await home.messaging.star_message(bob, first["_id"], starred=False)
    seen = await home.messaging.get_message(bob, first["_id"])
    assert "starred" not in seen
    stored = await home.message(first["_id"])
    assert stored is not None
    assert stored["starred"] == [{"_id": ada}]
    await home.messaging.star_message(ada, first["_id"], starred=False)
    stored = await home.message(first["_id"])
    assert stored is not None
    assert "starred" not in stored


async def test_stars_at_the_same_time_are_all_kept(home: House) -> None:
    """One write each, none overwrites another."""
    names = [f"user{number}" for number in range(8)]
    users = await home.users(*names)
    room_id = await home.room(users[0], *names[1:])
    sent = await home.say(users[0], room_id)

    await asyncio.gather(
        *(home.messaging.star_message(user, sent["_id"], starred=True) for user in users)
    )

    stored = await home.message(sent["_id"])
    assert stored is not None
    assert {star["_id"] for star in stored["starred"]} == set(users)


async def test_who_may_star(home: House) -> None:
    """Members, while stars are switched on."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id)

    with pytest.raises(NotAllowed):  # may read it, but is no member
        await home.messaging.star_message(bob, sent["_id"], starred=True)
    with pytest.raises(MessageNotFound):
        await home.messaging.star_message(ada, MessageId("none"), starred=True)
    await home.setting("Message_AllowStarring", value=False)
    with pytest.raises(ActionNotAllowed):
        await home.messaging.star_message(ada, sent["_id"], starred=True)


# -- pins ---------------------------------------------------------------------------------------


async def test_a_pin_tells_the_room(home: House) -> None:
    """The message and the room's copy of it say so; a system message quotes it."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    sent = await home.say(bob, room_id, "keep this")

    pinned = await home.messaging.pin_message(ada, sent["_id"])

    message, notice = pinned.message, pinned.notice
    assert (message["pinned"], message["pinnedBy"]) == (True, {"_id": ada, "username": "ada"})
    assert isinstance(message["pinnedAt"], datetime)
    assert "pinNotice" not in message
    assert (notice["t"], notice["msg"], notice["rid"]) == ("message_pinned", "", room_id)
    assert notice["u"] == {"_id": ada, "username": "ada"}
    (quote,) = notice["attachments"]
    assert (quote["text"], quote["author_name"], quote["ts"]) == ("keep this", "bob", sent["ts"])
    stored = await home.message(notice["_id"])
    assert stored is not None
    assert stored["seq"] == 2
    room = await home.stored_room(room_id)
    assert room["lastMessage"]["_id"] == sent["_id"]
    assert room["lastMessage"]["pinned"] is True
    assert _texts(await home.messaging.pinned_messages(bob, room_id, ALL)) == ["keep this"]


async def test_pinning_twice_is_pinning_once(home: House) -> None:
    """Also when both come at the same time: one system message, which both get."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id)

    pins = await asyncio.gather(
        *(home.messaging.pin_message(ada, sent["_id"]) for _ in range(3)),
    )
    again = await home.messaging.pin_message(ada, sent["_id"])

    assert {pin.notice["_id"] for pin in pins} == {again.notice["_id"]}
    notices = {"rid": room_id, "t": "message_pinned"}
    assert await home.database.rocketchat_message.count_documents(notices) == 1


async def test_unpinning(home: House) -> None:
    """The pin is off, and clients that merge what they get learn of it."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id)
    first = await home.messaging.pin_message(ada, sent["_id"])

    await home.messaging.unpin_message(ada, sent["_id"])
    await home.messaging.unpin_message(ada, sent["_id"])

    message = await home.messaging.get_message(ada, sent["_id"])
    assert message["pinned"] is False
    assert not {"pinnedAt", "pinnedBy"} & message.keys()
    assert (await home.messaging.pinned_messages(ada, room_id, ALL)).total == 0
    second = await home.messaging.pin_message(ada, sent["_id"])
    assert second.notice["_id"] != first.notice["_id"]


async def test_who_may_pin(home: House) -> None:
    """Those with the right, in the room of the stored message, while it is switched on."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    sent = await home.say(bob, room_id)
    for refused in (home.messaging.pin_message, home.messaging.unpin_message):
        with pytest.raises(ActionNotAllowed):
            await refused(bob, sent["_id"])
    notice = (await home.messaging.pin_message(ada, sent["_id"])).notice
    with pytest.raises(ActionNotAllowed):
        await home.messaging.pin_message(ada, notice["_id"])
    await home.setting("Message_AllowPinning", value=False)

    with pytest.raises(ActionNotAllowed):
        await home.messaging.pin_message(ada, sent["_id"])


async def test_a_deleted_message_is_no_longer_pinned(home: House) -> None:
    """Its mark stays, without pin and stars."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id)
    await home.messaging.pin_message(ada, sent["_id"])
    await home.messaging.star_message(ada, sent["_id"], starred=True)
    await home.setting("Message_ShowDeletedStatus", value=True)

    await home.messaging.delete_message(ada, sent["_id"])

    stored = await home.message(sent["_id"])
    assert stored is not None
    assert (stored["t"], stored["pinned"]) == ("rm", False)
    assert "starred" not in stored
    assert (await home.messaging.pinned_messages(ada, room_id, ALL)).total == 0
    assert (await home.messaging.starred_messages(ada, room_id, ALL)).total == 0


# -- threads ------------------------------------------------------------------------------------


async def test_following_a_thread(home: House) -> None:
    """Followers get unread threads; who stopped does not, and has none left."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    first = await home.say(ada, room_id, "Thread A")
    other = await home.say(ada, room_id, "thread b")
    reply = await home.say(ada, room_id, "r", tmid=first["_id"])
    await home.say(ada, room_id, "r", tmid=other["_id"])

    await home.messaging.follow_message(bob, reply["_id"], following=True)
    await home.say(ada, room_id, "r2", tmid=first["_id"])
    await home.settled()

    parent = await home.message(first["_id"])
    assert parent is not None
    assert parent["replies"] == [ada, bob]
    assert (await home.membership(bob, room_id))["tunread"] == [first["_id"]]

    async def found(**wanted: Any) -> list[str]:
        return _texts(await home.messaging.threads(bob, room_id, ALL, **wanted))

    assert await found() == ["Thread A", "thread b"]
    assert await found(kind="following") == await found(kind="unread") == ["Thread A"]
    assert await found(text="READ B") == ["thread b"]
    assert await found(text=".*") == []
    await home.messaging.follow_message(bob, first["_id"], following=False)
    assert await found(kind="following") == await found(kind="unread") == []
    assert "tunread" not in await home.membership(bob, room_id)


async def test_threads_can_be_switched_off(home: House) -> None:
    """Then nobody follows or lists them."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    sent = await home.say(ada, room_id)
    await home.setting("Threads_enabled", value=False)

    with pytest.raises(NotAllowed):
        await home.messaging.follow_message(ada, sent["_id"], following=True)
    with pytest.raises(NotAllowed):
        await home.messaging.threads(ada, room_id, ALL)
    with pytest.raises(NotAllowed):
        await home.messaging.changes_page(
            ada, room_id, "updated", 9, after=CREATED, threads_only=True
        )


async def test_catching_up_with_threads(home: House) -> None:
    """First messages of threads apart from replies; what went, too."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    first, plain = await home.say(ada, room_id, "thread"), await home.say(ada, room_id, "plain")
    kept = await home.say(ada, room_id, "kept", tmid=first["_id"])
    gone = await home.say(ada, room_id, "gone", tmid=first["_id"])
    await home.messaging.delete_message(ada, gone["_id"])
    await home.messaging.delete_message(ada, plain["_id"])

    async def ids(kind: Any, **wanted: Any) -> list[str]:
        page = await home.messaging.changes_page(ada, room_id, kind, 9, after=CREATED, **wanted)
        return [item["_id"] for item in page.items]

    assert await ids("updated", threads_only=True) == [first["_id"]]
    assert await ids("updated", thread_id=first["_id"]) == [kept["_id"]]
    assert await ids("deleted", thread_id=first["_id"]) == [gone["_id"]]
    assert await ids("deleted", threads_only=True) == []
    assert set(await ids("deleted")) == {gone["_id"], plain["_id"]}
    deleted = await home.messaging.deleted_messages(ada, room_id, CREATED, ALL)
    assert {item["_id"] for item in deleted.items} == {gone["_id"], plain["_id"]}


async def test_pages_of_changes_never_cut_a_moment(home: House) -> None:
    """Both ways, with many changes of one moment."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    moments = [0, 1, 1, 1, 2, 3, 3]
    await home.database.rocketchat_message.insert_many(
        [
            {
                "_id": f"m{number}",
                "rid": room_id,
                "msg": str(number),
                "ts": CREATED,
                "_updatedAt": CREATED + timedelta(seconds=moment),
                "u": {"_id": ada, "username": "ada"},
            }
            for number, moment in enumerate(moments)
        ]
    )

    async def all_pages(field: str, bound: datetime) -> list[int]:
        seen: list[int] = []
        while True:
            wanted: Any = {field: bound}
            page = await home.messaging.changes_page(ada, room_id, "updated", 2, **wanted)
            seen += [int(item["msg"]) for item in page.items]
            if not page.more:
                return seen
            bound = page.items[-1]["_updatedAt"]

    forwards = await all_pages("after", CREATED - timedelta(seconds=1))
    backwards = await all_pages("before", CREATED + timedelta(hours=1))

    assert sorted(forwards) == sorted(backwards) == list(range(7))
    assert [moments[number] for number in forwards] == moments
    assert [moments[number] for number in backwards] == moments[::-1]


# -- deletion -----------------------------------------------------------------------------------


async def test_numbers_follow_an_emptied_message(home: House) -> None:
    """The room's count and last message, the thread's count and last reply; once."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    first = await home.say(ada, room_id, "first")
    early = await home.say(ada, room_id, "early", tmid=first["_id"])
    late = await home.say(ada, room_id, "late", tmid=first["_id"])
    last = await home.say(ada, room_id, "last")
    await home.setting("Message_ShowDeletedStatus", value=True)
    for message in (late, last):
        await home.messaging.delete_message(ada, message["_id"])

    parent, room = await home.message(first["_id"]), await home.stored_room(room_id)
    assert parent is not None
    assert (parent["tcount"], parent["tlm"]) == (1, early["ts"])
    assert (room["msgs"], room["lastMessage"]["_id"]) == (2, first["_id"])
    await home.setting("Message_ShowDeletedStatus", value=False)
    home.authorization.granted[ada] = {"admin"}
    await home.messaging.delete_message(ada, last["_id"])
    assert await home.message(last["_id"]) is None
    assert (await home.stored_room(room_id))["msgs"] == 2
    await home.messaging.delete_message(ada, early["_id"])
    parent = await home.message(first["_id"])
    assert parent is not None
    assert parent["tcount"] == 0
    assert "tlm" not in parent


# -- unread -------------------------------------------------------------------------------------


async def test_marking_as_unread(home: House) -> None:
    """From a message of somebody else, or from the newest one."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    with pytest.raises(BadRequest) as refused:
        await home.messaging.mark_unread(bob, room_id=room_id)
    assert refused.value.code == "error-no-message-for-unread"
    first, second = await home.say(ada, room_id, "one"), await home.say(ada, room_id, "two")
    await home.settled()
    await home.messaging.read_room(bob, room_id)

    await home.messaging.mark_unread(bob, first_unread=first["_id"])

    membership = await home.membership(bob, room_id)
    assert membership["ls"] == first["ts"] - timedelta(milliseconds=1)
    assert (membership["alert"], membership["open"]) == (True, True)
    await home.messaging.mark_unread(bob, first_unread=second["_id"])
    assert (await home.membership(bob, room_id))["ls"] == membership["ls"]
    await home.messaging.mark_unread(ada, room_id=room_id)  # the own message counts here
    assert (await home.membership(ada, room_id))["ls"] == second["ts"] - timedelta(milliseconds=1)
    for wrong in (first["_id"], MessageId("none")):
        with pytest.raises(ActionNotAllowed):
            await home.messaging.mark_unread(ada, first_unread=wrong)


# -- reports and receipts -----------------------------------------------------------------------


async def test_reports(home: House) -> None:
    """Stored for moderators, once per user and message; dismissed ones are gone."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    home.authorization.granted[ada] = {"admin"}
    room_id = await home.room(ada, "bob", "eve")
    sent = await home.say(bob, room_id, "rude")
    for description in ("spam", "worse"):
        await home.messaging.report_message(eve, sent["_id"], description)
    await home.messaging.report_message(ada, sent["_id"], "indeed")

    by_user = await home.messaging.reports_by_user(ada, ALL)
    of_message = await home.messaging.reports_of_message(ada, sent["_id"], ALL)
    of_bob = await home.messaging.reported_messages(ada, bob, ALL)

    (entry,) = by_user.items
    assert (entry["userId"], entry["username"], entry["count"]) == (bob, "bob", 2)
    assert [(room["_id"], room["t"]) for room in entry["rooms"]] == [(room_id, "c")]
    assert [one["description"] for one in of_message.items] == ["indeed", "worse"]
    assert of_bob.items == of_message.items
    assert (await home.messaging.reports_by_user(ada, ALL, selector=".")).total == 0
    for refused in (
        home.messaging.reports_by_user(eve, ALL),
        home.messaging.reported_messages(eve, bob, ALL),
        home.messaging.reports_of_message(eve, sent["_id"], ALL),
        home.messaging.dismiss_reports(eve, author_id=bob),
    ):
        with pytest.raises(NotAllowed):
            await refused
    assert await home.messaging.dismiss_reports(ada, message_id=sent["_id"]) == 2
    assert (await home.messaging.reports_by_user(ada, ALL)).total == 0
    await home.messaging.report_message(eve, sent["_id"], "again")
    assert (await home.messaging.reported_messages(ada, bob, ALL)).total == 1


async def test_receipts(home: House) -> None:
    """Who has looked since, while the workspace keeps track."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room_id = await home.room(ada, "bob", "eve")
    sent = await home.say(ada, room_id)
    await home.settled()
    await home.messaging.read_room(bob, room_id)
    assert await home.messaging.read_receipts(ada, sent["_id"]) == []
    await home.setting("Message_Read_Receipt_Enabled", value=True)

    receipts = await home.messaging.read_receipts(ada, sent["_id"])

    assert {receipt["userId"] for receipt in receipts} == {ada, bob}
    assert all(receipt["messageId"] == sent["_id"] for receipt in receipts)
    assert all(receipt["ts"] >= sent["ts"] for receipt in receipts)
    assert eve


# -- strangers ----------------------------------------------------------------------------------


async def test_strangers_get_nothing(home: House) -> None:
    """Everything about a closed room is answered like what does not exist."""
    _, eve, room_id, sent = await _closed_room(home)
    home.authorization.granted[eve] = {"user", "moderator", "owner"}
    messaging, message_id = home.messaging, MessageId(sent["_id"])
    for unknown in (room_id, RoomId("none")):
        for refused in (
            messaging.starred_messages(eve, unknown, ALL),
            messaging.pinned_messages(eve, unknown, ALL),
            messaging.mentioning_messages(eve, unknown, ALL),
            messaging.deleted_messages(eve, unknown, CREATED, ALL),
            messaging.discussion_messages(eve, unknown, ALL),
            messaging.threads(eve, unknown, ALL),
            messaging.changes_page(eve, unknown, "updated", 9, after=CREATED),
            messaging.changes_page(eve, unknown, "deleted", 9, after=CREATED),
            messaging.changes_page(eve, unknown, "updated", 9, after=CREATED, thread_id=message_id),
            messaging.search_messages(eve, unknown, "secret", ALL),
            messaging.mark_unread(eve, room_id=unknown),
        ):
            with pytest.raises(NotAllowed) as told:
                await refused
            assert told.value.code == "error-not-allowed"
    for message in (message_id, MessageId("none")):
        for refused_too in (
            messaging.star_message(eve, message, starred=True),
            messaging.pin_message(eve, message),
            messaging.unpin_message(eve, message),
            messaging.follow_message(eve, message, following=True),
            messaging.report_message(eve, message, "x"),
            messaging.read_receipts(eve, message),
        ):
            with pytest.raises(MessageNotFound):
                await refused_too


async def test_own_mentions(home: House) -> None:
    """By name only, in both orders."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    for text in ("@bob one", "@all two", "three", "@bob four"):
        await home.say(ada, room_id, text)

    newest = await home.messaging.mentioning_messages(bob, room_id, ALL)
    oldest = await home.messaging.mentioning_messages(
        bob, room_id, Paging(count=1), oldest_first=True
    )

    assert _texts(newest) == ["@bob four", "@bob one"]
    assert (_texts(oldest), oldest.total) == (["@bob one"], 2)
