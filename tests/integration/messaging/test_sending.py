"""Sending: stored once, in order, whatever is repeated or done at the same time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError
from pymongo.errors import ServerSelectionTimeoutError

from hubbub.contracts.messages import (
    ActionNotAllowed,
    InvalidMessageId,
    InvalidRoom,
    MessageNotFound,
    MessageTooLong,
    NewMessage,
)
from hubbub.contracts.messaging import Messaging
from hubbub.errors import BadRequest, HubbubError, NotAllowed, Unauthenticated, Unavailable
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House, house

pytestmark = pytest.mark.integration


async def test_a_message_is_stored_with_its_place_in_the_room(home: House) -> None:
    """`seq`, `ts` and the room's numbers come from one commit; internals stay inside."""
    ada, _ = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")

    first = await home.say(ada, room_id, "hi @bob, see https://example.org/a.", _id="m1")
    second = await home.say(ada, room_id, "again")

    stored = await home.message("m1")
    room = await home.stored_room(room_id)
    assert stored is not None
    assert stored["seq"] == 1
    assert "seq" not in first
    assert first["u"] == {"_id": "u-ada", "username": "ada", "name": "Ada"}
    assert first["mentions"] == [{"_id": "u-bob", "username": "bob", "name": "Bob", "type": "user"}]
    assert first["urls"] == [{"url": "https://example.org/a", "meta": {}}]
    assert first["ts"] < second["ts"] == room["lm"] == room["lastMessage"]["ts"]
    assert (room["seq"], room["msgs"]) == (2, 2)
    assert room["lastMessage"]["msg"] == "again"


async def test_several_at_once_keep_their_order_and_have_an_answer_each(home: House) -> None:
    """Whatever has to be looked up for one of them; a refused one does not hold the others up."""
    ada, _ = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    texts = ["hi @bob", "one", "#general?", "", "two", "@bob @ada", "three"]
    messages = [
        NewMessage(id=f"m{number}", room_id=room_id, text=text) for number, text in enumerate(texts)
    ]

    sent = await home.messaging.send_messages(ada, messages)

    assert [one.message is None for one in sent] == [not text for text in texts]
    assert sent[3].refusal is not None
    assert "error-empty-message" in sent[3].refusal
    stored = [one.message for one in sent if one.message is not None]
    assert [message["msg"] for message in stored] == [text for text in texts if text]
    assert all(one["ts"] < other["ts"] for one, other in pairwise(stored))
    room = await home.stored_room(room_id)
    assert (room["msgs"], room["lastMessage"]["msg"]) == (6, "three")

    again = await home.messaging.send_messages(ada, messages)

    assert [one.message and one.message["ts"] for one in again] == [
        one.message and one.message["ts"] for one in sent
    ]
    assert (await home.stored_room(room_id))["msgs"] == 6


async def test_several_at_once_are_told_that_the_database_is_away(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each, as if it had come alone: it is right to repeat them."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)

    async def away() -> None:
        raise ServerSelectionTimeoutError("no primary")

    monkeypatch.setattr(home.service._desk.facts, "rules", away)
    messages = [NewMessage(id=f"m{number}", room_id=room_id, text="x") for number in range(3)]
    sent = await home.messaging.send_messages(ada, messages)

    assert all("error-temporarily-unavailable" in (one.refusal or "") for one in sent)


async def test_a_text_that_looks_like_an_expression_is_text(home: House) -> None:
    """The room's copy of the last message is data, never evaluated by the database."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)

    await home.say(ada, room_id, "$$ROOT", alias=None, customFields={"a": "$name"})

    room = await home.stored_room(room_id)
    assert room["lastMessage"]["msg"] == "$$ROOT"
    assert room["lastMessage"]["customFields"] == {"a": "$name"}


async def test_repeating_a_send_changes_nothing(home: House) -> None:
    """The same id from the same author in the same room is the same message."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    await home.messaging.read_room(bob, room_id)
    first = await home.say(ada, room_id, "hi @bob", _id="same")
    await home.settled()

    again = await home.say(ada, room_id, "hi @bob", _id="same")

    await home.settled()
    room = await home.stored_room(room_id)
    assert again == first
    assert (room["seq"], room["msgs"]) == (1, 1)
    assert (await home.membership(bob, room_id))["userMentions"] == 1
    assert len(home.whisper.by(bob, "notification")) == 1


async def test_the_same_send_many_times_at_once_is_one_message(home: House) -> None:
    """Retries that overtake each other all get the one message."""
    ada, _ = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")

    answers = await asyncio.gather(
        *(home.say(ada, room_id, "once", _id="same") for _ in range(20)),
        *(home.say(ada, room_id, f"other {n}") for n in range(20)),
    )

    room = await home.stored_room(room_id)
    assert len({answer["ts"] for answer in answers[:20]}) == 1
    assert (room["seq"], room["msgs"]) == (21, 21)


async def test_an_id_of_somebody_else_is_refused(home: House) -> None:
    """Neither another author nor another room may use the id, and nothing is told of it."""
    ada, bob = await home.users("ada", "bob")
    room_id, elsewhere = await home.room(ada, "bob"), await home.room(ada)
    await home.say(ada, room_id, "secret", _id="taken")

    for user, where in ((bob, room_id), (ada, elsewhere)):
        with pytest.raises(InvalidMessageId) as refused:
            await home.say(user, where, "mine", _id="taken")
        assert refused.value.details == {}

    assert (await home.stored_room(elsewhere))["seq"] == 0
    assert (await home.stored_room(room_id))["seq"] == 1


async def test_a_stored_message_is_returned_to_who_may_no_longer_write(home: House) -> None:
    """An answer that was lost can be asked for again, even by somebody who was removed."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    first = await home.say(bob, room_id, "mine", _id="b1")
    await home.messaging.remove_user(ada, room_id, "bob")

    assert await home.say(bob, room_id, "mine", _id="b1") == first
    with pytest.raises(NotAllowed):
        await home.say(bob, room_id, "new")


async def test_parallel_senders_get_one_order(home: House) -> None:
    """Commit order, `seq` and `ts` agree, without gaps, as a change stream sees them."""
    names = [f"user{n}" for n in range(32)]
    users = await home.users(*names)
    room_id = await home.room(users[0], *names[1:])

    seen = await _watched(home, room_id, [home] * 32, users)

    _check_order(seen, 32 * 8)


async def test_two_processes_write_one_room(home: House) -> None:
    """Services that know nothing of each other keep the same promise."""
    names = [f"user{n}" for n in range(16)]
    users = await home.users(*names)
    room_id = await home.room(users[0], *names[1:])
    async with house(home.database) as other:
        seen = await _watched(home, room_id, [home, other] * 8, users)

        _check_order(seen, 16 * 8)
        await home.settled()
        await other.settled()


async def _watched(
    home: House, room_id: RoomId, houses: list[House], users: list[UserId]
) -> list[dict[str, Any]]:
    """The inserts of a room in commit order while every user sends 8 messages."""
    seen: list[dict[str, Any]] = []
    pipeline = [{"$match": {"operationType": "insert", "fullDocument.rid": room_id}}]
    stream = await home.database.rocketchat_message.watch(pipeline, max_await_time_ms=100)
    async with stream:

        async def talk(one: House, user: UserId) -> None:
            for number in range(8):
                await one.say(user, room_id, str(number))

        await asyncio.gather(*(talk(one, user) for one, user in zip(houses, users, strict=True)))
        async with asyncio.timeout(10):
            while len(seen) < 8 * len(users):
                change = await stream.try_next()
                if change is not None:
                    seen.append(change["fullDocument"])
    return seen


def _check_order(seen: list[dict[str, Any]], number: int) -> None:
    assert [message["seq"] for message in seen] == list(range(1, number + 1))
    moments = [message["ts"] for message in seen]
    assert all(before < after for before, after in pairwise(moments))


@pytest.mark.parametrize("how", ["same process", "other process", "another tool"])
async def test_a_removed_user_never_sends_again(home: House, how: str) -> None:
    """No message of a user commits after the end of their membership, whoever ends it."""
    ada, bob = await home.users("ada", "bob")
    stream = await home.database.watch(
        [{"$match": {"ns.coll": {"$in": ["rocketchat_message", "rocketchat_subscription"]}}}],
        max_await_time_ms=100,
    )

    async def talk(room_id: RoomId) -> Exception:
        while True:
            try:
                await home.say(bob, room_id)
            except Exception as error:
                return error

    async with stream, house(home.database) as other:
        for number in range(12):
            room_id = await home.room(ada, "bob")
            talking = [asyncio.create_task(talk(room_id)) for _ in range(3)]
            await asyncio.sleep(0.01 + number * 0.002)
            match how:
                case "same process":
                    await home.messaging.remove_user(ada, room_id, "bob")
                case "other process":
                    await other.messaging.remove_user(ada, room_id, "bob")
                case _:
                    memberships = home.database.rocketchat_subscription
                    await memberships.delete_one({"rid": room_id, "u._id": bob})
            outcomes = await asyncio.gather(*talking)

            assert all(isinstance(one, NotAllowed) for one in outcomes), outcomes
            await _check_silence(stream, room_id)


async def _check_silence(stream: Any, room_id: str) -> None:
    gone = False
    async with asyncio.timeout(10):
        while True:
            change = await stream.try_next()
            if change is None:
                if gone:
                    return
                continue
            if change["ns"]["coll"] == "rocketchat_subscription":
                gone = gone or change["operationType"] == "delete"
            elif change["operationType"] == "insert" and not change["fullDocument"].get("t"):
                assert not gone, "a message of the removed user was committed"


async def test_a_stranger_cannot_send(home: House) -> None:
    """Membership counts, also in a public room; the sender is told in private."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada)

    with pytest.raises(NotAllowed):
        await home.say(bob, room_id)

    (notice,) = home.whisper.by(bob, "message")
    assert notice["private"] is True
    assert notice["rid"] == room_id
    assert (await home.stored_room(room_id))["msgs"] == 0


@pytest.mark.parametrize(
    ("room_fields", "member_fields", "code"),
    [
        pytest.param({"ro": True}, {}, "error-not-allowed", id="read-only"),
        pytest.param({"ro": True, "unmuted": ["bob"]}, {}, None, id="read-only, but allowed"),
        pytest.param({"muted": ["bob"]}, {}, "You_have_been_muted", id="muted"),
        pytest.param({"archived": True}, {}, "room_is_archived", id="archived"),
        pytest.param({}, {"blocked": True}, "room_is_blocked", id="blocked"),
        pytest.param({}, {"blocker": True}, "room_is_blocked", id="blocker"),
    ],
)
async def test_the_room_decides_at_the_moment_of_the_commit(
    home: House, room_fields: dict[str, Any], member_fields: dict[str, Any], code: str | None
) -> None:
    """What was remembered about the room a moment ago does not matter."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    await home.say(bob, room_id, "before")
    await home.database.rocketchat_room.update_one(
        {"_id": room_id}, {"$set": {"x": 1, **room_fields}}
    )
    await home.database.rocketchat_subscription.update_one(
        {"rid": room_id, "u._id": bob}, {"$set": {"x": 1, **member_fields}}
    )

    if code is None:
        await home.say(bob, room_id, "after")
        return
    with pytest.raises(NotAllowed) as refused:
        await home.say(bob, room_id, "after")
    assert refused.value.code == code
    assert (await home.stored_room(room_id))["seq"] == 1


async def test_some_of_a_batch_are_refused(home: House) -> None:
    """Others of the same batch are stored, without a gap."""
    ada, bob = await home.users("ada", "bob")
    room_id = await home.room(ada)

    outcomes = await asyncio.gather(
        *(home.say(user, room_id, str(n)) for n in range(10) for user in (ada, bob)),
        return_exceptions=True,
    )

    assert sum(isinstance(one, NotAllowed) for one in outcomes) == 10
    numbers = home.database.rocketchat_message.find({"rid": room_id}).sort("seq")
    assert [message["seq"] async for message in numbers] == list(range(1, 11))


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        pytest.param({"rid": "nowhere"}, InvalidRoom, "error-invalid-room", id="no room"),
        pytest.param({"tmid": "none"}, MessageNotFound, "error-invalid-message", id="no thread"),
        pytest.param({"tshow": True}, BadRequest, "invalid-params", id="tshow alone"),
        pytest.param({"msg": "x" * 5001}, MessageTooLong, "error-message-size-exceeded", id="long"),
        pytest.param({"msg": "  "}, BadRequest, "error-empty-message", id="empty"),
        pytest.param({"t": "ru"}, NotAllowed, "error-not-allowed", id="system"),
        pytest.param({"alias": "Boss"}, ActionNotAllowed, "error-action-not-allowed", id="alias"),
        pytest.param({"ts": {"$date": 1}}, BadRequest, "error-message-ts-out-of-sync", id="clock"),
        pytest.param(
            {"attachments": [{"title_link": "java\nscript:x"}]},
            BadRequest,
            "invalid-params",
            id="script link",
        ),
    ],
)
async def test_refusals(
    home: House, fields: dict[str, Any], error: type[HubbubError], code: str
) -> None:
    """Every refusal has its code, and nothing is stored."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    message = NewMessage.model_validate({"rid": room_id, "msg": "hello", **fields})

    with pytest.raises(error) as refused:
        await home.messaging.send_message(ada, message)

    assert refused.value.code == code
    assert await home.database.rocketchat_message.count_documents({}) == 0


async def test_unknown_and_deactivated_users_cannot_send(home: House) -> None:
    """Who has no account is nobody."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    await home.users("eve", active=False)

    for user_id in ("u-eve", "u-none"):
        with pytest.raises(Unauthenticated):
            await home.say(UserId(user_id), room_id)


@pytest.mark.parametrize(
    "value", [{"$ne": None}, {"$gt": ""}, ["x"], True, 0, "", "a\x00b"], ids=repr
)
@pytest.mark.parametrize("key", ["_id", "rid", "tmid"])
def test_operators_are_no_text(key: str, value: Any) -> None:
    """Objects never get where a text is expected."""
    with pytest.raises(ValidationError):
        NewMessage.model_validate({"rid": "r", "msg": "x", key: value})


@pytest.mark.parametrize("value", [{"$ne": None}, ["x"], True, 0], ids=repr)
async def test_operators_are_no_ids_in_any_call(home: House, value: Any) -> None:
    """Neither do they pass the bus."""
    await home.users("ada")
    messaging: Any = home.messaging

    for call in (
        messaging.get_message("u-ada", value),
        messaging.history("u-ada", value),
        messaging.join_room("u-ada", value),
        messaging.remove_user("u-ada", "GENERAL", value),
        messaging.room_id_of("u-ada", value),
        messaging.read_room("u-ada", value),
    ):
        with pytest.raises(Exception) as refused:  # noqa: PT011  checked below
            await call
        assert getattr(refused.value, "status", None) in {400, 422}


async def test_fields_that_only_the_server_writes_are_ignored(home: House) -> None:
    """Nobody sends under another name or time."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)

    sent = await home.say(
        ada,
        room_id,
        u={"_id": "x", "username": "boss"},
        _hidden=True,
        reactions={":x:": {}},
        pinned=True,
        seq=99,
        editedBy={"_id": "x"},
    )

    stored = await home.message(sent["_id"])
    assert stored is not None
    assert stored["u"]["_id"] == ada
    assert stored["seq"] == 1
    assert not {"_hidden", "reactions", "pinned", "editedBy"} & stored.keys()


async def test_a_thread_reply_joins_the_thread_of_its_parent(home: House) -> None:
    """No threads inside threads; the thread's room decides; the parent counts its replies."""
    ada, bob = await home.users("ada", "bob")
    room_id, other = await home.room(ada, "bob"), await home.room(bob)
    parent = await home.say(ada, room_id, "parent")
    reply = await home.say(bob, room_id, "reply", tmid=parent["_id"])

    nested = await home.say(bob, other, "nested", tmid=reply["_id"])

    stored = await home.message(parent["_id"])
    room = await home.stored_room(room_id)
    assert nested["tmid"] == parent["_id"]
    assert nested["rid"] == room_id
    assert stored is not None
    assert stored["tcount"] == 2
    assert stored["tlm"] == nested["ts"]
    assert set(stored["replies"]) == {ada, bob}
    assert room["lastMessage"]["_id"] == parent["_id"]
    assert room["lm"] == parent["ts"] < nested["ts"]
    assert room["msgs"] == 3


async def test_rights_are_asked_for_once(home: House) -> None:
    """Sends in a row cost one call to authorization."""
    ada, _ = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")
    before = home.authorization.calls

    for _ in range(5):
        await home.say(ada, room_id, "@all hello")

    assert home.authorization.calls == before + 1


async def test_a_foreign_room_takes_messages(home: House) -> None:
    """Rooms that a load tester wrote have text dates and no counters."""
    (ada,) = await home.users("ada")
    await home.database.rocketchat_room.insert_one(
        {"_id": "lt", "t": "c", "name": "lt", "lm": "2020-01-01T00:00:00.000Z", "sysMes": True}
    )
    await home.database.rocketchat_subscription.insert_one(
        {"_id": "lts", "rid": "lt", "t": "c", "u": {"_id": ada, "username": ""}}
    )

    first, second = await home.say(ada, RoomId("lt")), await home.say(ada, RoomId("lt"))

    room = await home.messaging.get_room(ada, room_id="lt")
    assert first["ts"] < second["ts"] == room["lm"]
    assert room["msgs"] == 2


async def test_a_full_room_refuses_at_once(home: House) -> None:
    """A queue has an end; what does not fit is certainly not stored."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    home.service._desk.funnel._waiting = 5
    message = NewMessage.model_validate({"rid": room_id, "msg": "hello"})

    outcomes = await asyncio.gather(
        *(home.service.send_message(ada, message) for _ in range(50)), return_exceptions=True
    )

    refused = [one for one in outcomes if isinstance(one, Unavailable)]
    assert refused
    assert {one.details["outcome"] for one in refused} == {"not-stored"}
    stored = await home.database.rocketchat_message.count_documents({"rid": room_id})
    assert stored == 50 - len(refused)


async def test_the_service_keeps_the_contract(home: House) -> None:
    """Every action of the contract is served."""
    assert all(hasattr(home.service, name) for name in Messaging.contract_actions)
