"""Conformance: methods about messages and rooms. Named after the checklist's numbers."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Rest, User
from tests.conformance.test_4_streams import group, send

pytestmark = pytest.mark.conformance


async def test_059_the_same_id_is_the_same_message(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """A repeated send has no second effect; somebody else's id is refused."""
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-room-messages", room_id, False)
    message = {"_id": random_id(), "rid": room_id, "msg": "once"}
    first, again = await a.call("sendMessage", message), await a.call("sendMessage", message)
    without = await a.call("sendMessage", {"rid": room_id, "msg": "no id"})

    assert again == first
    assert len(without["_id"]) == 17
    await b.event("room-messages", room_id, lambda m: m["_id"] == without["_id"])
    seen = [m["_id"] for m, *_ in b.events("room-messages", room_id)]
    assert seen.count(message["_id"]) == 1
    with pytest.raises(CallFailed) as caught:
        await b.call("sendMessage", message)
    assert caught.value.code == "error-invalid-message-id"


async def test_060_the_database_decides_the_time(rest: Rest, sign_in: SignIn, ana: User) -> None:
    """A client's clock may be off a little; its time is never stored."""
    room_id = await group(rest, ana)
    a = await sign_in(ana)
    now = int(time.time() * 1000)

    stored = await a.call(
        "sendMessage", {"rid": room_id, "msg": "x", "ts": {"$date": now - 30_000}}
    )
    assert abs(stored["ts"]["$date"] - now) < 10_000
    for message, code in (
        ({"msg": "x", "ts": {"$date": now - 120_000}}, "error-message-ts-out-of-sync"),
        ({"msg": "x" * 5001}, "error-message-size-exceeded"),
        ({"msg": ""}, "error-empty-message"),
    ):
        with pytest.raises(CallFailed) as caught:
            await a.call("sendMessage", {"rid": room_id, **message})
        assert caught.value.code == code


async def test_061_a_refusal_is_an_error_and_shown(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """The sender gets the error and an ephemeral message; nobody else gets anything."""
    room = await rest.post(
        "channels.create", ana, name=f"ro-{random_id()}", readOnly=True, members=[bo.username]
    )
    room_id = room["channel"]["_id"]
    b = await sign_in(bo)
    await b.subscribe("stream-notify-user", f"{bo.id}/message", False)
    with pytest.raises(CallFailed) as caught:
        await send(b, room_id, "may I?")

    assert caught.value.code == "error-not-allowed"
    (shown,) = await b.event("notify-user", f"{bo.id}/message")
    assert shown["rid"] == room_id
    assert shown["private"] is True


async def test_062_replies_to_replies_join_the_thread(
    rest: Rest, sign_in: SignIn, ana: User
) -> None:
    """There are no threads in threads, and the parent counts."""
    room_id = await group(rest, ana)
    a = await sign_in(ana)
    await a.subscribe("stream-room-messages", room_id, False)
    parent = await send(a, room_id, "parent")
    reply = await send(a, room_id, "reply", tmid=parent)
    deeper = await a.call("sendMessage", {"rid": room_id, "msg": "deeper", "tmid": reply})

    assert deeper["tmid"] == parent
    await a.event("room-messages", room_id, lambda m: m["_id"] == parent and m.get("tcount") == 2)
    thread = await a.call("getThreadMessages", {"tmid": parent})
    assert [message["msg"] for message in thread] == ["reply", "deeper"]


async def test_063_and_064_counting_and_reading(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """A mention counts, a plain message alerts, one's own neither; reading resets."""
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    changed = f"{bo.id}/subscriptions-changed"
    await b.subscribe("stream-notify-user", changed, False)
    await b.call("readMessages", room_id)

    async def until(**wanted: Any) -> None:
        await b.event(
            "notify-user",
            changed,
            lambda _, s: s["rid"] == room_id and all(s.get(k) == v for k, v in wanted.items()),
        )

    await until(unread=0, alert=False)
    b.frames.clear()
    await send(a, room_id, "plain")
    await until(alert=True, unread=0, userMentions=0)
    await send(a, room_id, f"@{bo.username} look")
    await until(unread=1, userMentions=1)
    await send(a, room_id, "@all everybody")
    await until(unread=2, groupMentions=1)
    b.frames.clear()
    await b.call("readMessages", room_id)
    await until(unread=0, userMentions=0, groupMentions=0, alert=False)
    await send(b, room_id, "my own")
    subscription = (await rest.get("subscriptions.getOne", bo, roomId=room_id))["subscription"]
    assert (subscription["unread"], subscription["alert"]) == (0, False)


async def test_065_history_pages_without_gap_or_double(
    rest: Rest, sign_in: SignIn, ana: User
) -> None:
    """Newest first, page by page."""
    room_id = await group(rest, ana)
    a = await sign_in(ana)
    for number in range(25):
        await send(a, room_id, f"{number}")
    texts: list[str] = []
    end: Any = None
    while True:
        page = (await a.call("loadHistory", room_id, end, 10))["messages"]
        if not page:
            break
        texts += [message["msg"] for message in page]
        end = page[-1]["ts"]

    assert [text for text in texts if text.isdigit()] == [str(n) for n in range(24, -1, -1)]


async def test_066_the_other_ways_to_read(rest: Rest, sign_in: SignIn, ana: User) -> None:
    """After a date, around a message, what was missed."""
    room_id = await group(rest, ana)
    a = await sign_in(ana)
    sent = [
        await a.call("sendMessage", {"rid": room_id, "msg": f"{number}"}) for number in range(5)
    ]
    start = sent[1]["ts"]

    later = (await a.call("loadNextMessages", room_id, start, 20))["messages"]
    assert [message["msg"] for message in later] == ["2", "3", "4"]
    around = await a.call("loadSurroundingMessages", {"_id": sent[2]["_id"], "rid": room_id}, 3)
    assert [message["msg"] for message in around["messages"]] == ["1", "2", "3"]
    assert (around["moreBefore"], around["moreAfter"]) == (True, True)
    missed = await a.call("loadMissedMessages", room_id, start)
    assert {"2", "3", "4"} <= {message["msg"] for message in missed}


async def test_067_and_068_lists_of_rooms_and_memberships(
    rest: Rest, sign_in: SignIn, ana: User
) -> None:
    """Whole, since a date, and what is gone; with the fields one client cannot live without."""
    a = await sign_in(ana)
    room_id = await group(rest, ana)
    memberships: list[dict[str, Any]] = []
    variants: list[list[Any]] = [[], [{}], [None]]
    for params in variants:
        memberships = await a.call("subscriptions/get", *params)
        assert room_id in {membership["rid"] for membership in memberships}
        assert room_id in {room["_id"] for room in await a.call("rooms/get", *params)}
    for membership in memberships:
        assert isinstance(membership["alert"], bool)
        assert isinstance(membership["open"], bool)
        assert isinstance(membership["unread"], int)
    for permission in await a.call("permissions/get"):
        assert isinstance(permission["roles"], list)
    types = {"boolean": bool, "int": int, "string": str, "select": str, "multiSelect": list}
    for setting in await a.call("public-settings/get"):
        assert isinstance(setting["value"], types[setting["type"]]), setting
    since = {"$date": int(time.time() * 1000)}
    public = (await rest.post("channels.create", ana, name=f"c-{random_id()}"))["channel"]["_id"]
    b_room = await a.call("subscriptions/get", since)
    assert public in {membership["rid"] for membership in b_room["update"]}


async def test_067_what_was_left_is_removed(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """The answer since a date names the membership that ended."""
    room_id = await group(rest, ana, bo)
    b = await sign_in(bo)
    before = {"$date": int(time.time() * 1000) - 5000}
    memberships = await b.call("subscriptions/get")
    mine = next(m["_id"] for m in memberships if m["rid"] == room_id)
    await b.call("leaveRoom", room_id)

    removed = (await b.call("subscriptions/get", before))["remove"]
    assert mine in {item["_id"] for item in removed}
    assert room_id in {item["_id"] for item in (await b.call("rooms/get", before))["remove"]}


async def test_069_rooms_by_id_name_and_username(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """In this order, and never one that the caller may not see."""
    channel = (await rest.post("channels.create", ana, name=f"c-{random_id()}"))["channel"]
    hidden = (await rest.post("groups.create", ana, name=f"g-{random_id()}"))["group"]
    b = await sign_in(bo)
    direct = (await b.call("createDirectMessage", ana.username))["rid"]

    for name in (channel["_id"], channel["name"]):
        assert await b.call("getRoomIdByNameOrId", name) == channel["_id"]
    assert await b.call("getRoomIdByNameOrId", ana.username) == direct
    assert await b.call("getRoomNameById", channel["_id"]) == channel["name"]
    assert await b.call("getRoomNameById", direct) == ana.username
    for name in (hidden["_id"], hidden["name"], "no-such-room"):
        with pytest.raises(CallFailed) as caught:
            await b.call("getRoomIdByNameOrId", name)
        assert caught.value.code == "error-not-allowed"


async def test_070_a_direct_room_exists_once(sign_in: SignIn, ana: User, bo: User) -> None:
    """Whoever asks, however often."""
    a, b = await sign_in(ana), await sign_in(bo)
    rooms = {
        (await a.call("createDirectMessage", bo.username))["rid"],
        (await a.call("createDirectMessage", bo.username, ""))["rid"],
        (await b.call("createDirectMessage", ana.username))["rid"],
    }

    assert len(rooms) == 1


async def test_071_coming_and_going_leaves_messages(
    rest: Rest, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    """Each change of the membership is written into the room."""
    a, b = await sign_in(ana), await sign_in(bo)
    channel = (await rest.post("channels.create", ana, name=f"c-{random_id()}"))["channel"]["_id"]
    assert await b.call("joinRoom", channel) is True
    assert await a.call("addUsersToRoom", {"rid": channel, "users": [cy.username]}) is True
    assert await a.call("removeUserFromRoom", {"rid": channel, "username": cy.username}) is True
    await b.call("leaveRoom", channel)

    history = (await a.call("loadHistory", channel, None, 20))["messages"]
    told = [(message["t"], message["msg"]) for message in reversed(history) if "t" in message]
    assert told == [
        ("uj", bo.username),
        ("au", cy.username),
        ("ru", cy.username),
        ("ul", bo.username),
    ]
    with pytest.raises(CallFailed) as caught:
        await b.call("leaveRoom", channel)
    assert caught.value.code == "error-user-not-in-room"


async def test_073_methods_through_rest(rest: Rest, ana: User) -> None:
    """The same methods, with their name encoded once, twice, or not at all."""
    for path in ("method.call/rooms%2Fget", "method.call/rooms%252Fget", "method.call/x"):
        message = {"msg": "method", "id": "9", "method": "rooms/get", "params": []}
        body = await rest.post(path, ana, message=json.dumps(message))
        answer = json.loads(body["message"])
        assert (answer["msg"], answer["id"]) == ("result", "9")
        assert isinstance(answer["result"], list)
    message = {"msg": "method", "id": "9", "method": "public-settings/get", "params": []}
    body = await rest.post("method.callAnon/public-settings%2Fget", message=json.dumps(message))
    assert isinstance(json.loads(body["message"])["result"], list)


async def test_074_documents_that_a_tool_wrote(
    database: Database, rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Dates as text, `sysMes` as a boolean, nobody as creator: readable through both doors, and
    usable like any other room."""
    room_id, now = f"lt-{random_id()}", datetime.now(UTC).isoformat()
    await database["rocketchat_room"].insert_one(
        {
            "_id": room_id,
            "fname": room_id,
            "_updatedAt": now,
            "customFields": {},
            "name": room_id,
            "t": "c",
            "msgs": 0,
            "usersCount": 2,
            "u": {"_id": "", "username": ""},
            "ts": now,
            "ro": False,
            "default": False,
            "sysMes": True,
        }
    )
    await database["rocketchat_subscription"].insert_many(
        [
            {
                "_id": random_id(),
                "open": True,
                "alert": False,
                "unread": 0,
                "userMentions": 0,
                "groupMentions": 0,
                "ts": now,
                "rid": room_id,
                "name": room_id,
                "fname": room_id,
                "t": "c",
                "u": {"_id": user.id, "username": user.username},
                "_updatedAt": now,
                "ls": now,
            }
            for user in (ana, bo)
        ]
    )
    a, b = await sign_in(ana), await sign_in(bo)
    room = next(room for room in await a.call("rooms/get", {}) if room["_id"] == room_id)
    mine = next(s for s in await a.call("subscriptions/get", {}) if s["rid"] == room_id)
    assert (room["sysMes"], room["usersCount"]) == (True, 2)
    assert (mine["open"], mine["unread"]) == (True, 0)
    assert (await rest.get("rooms.info", ana, roomId=room_id))["room"]["_id"] == room_id
    assert (await rest.get("channels.history", ana, roomId=room_id))["messages"] == []
    await b.subscribe("stream-room-messages", room_id, False)
    await b.subscribe("stream-notify-user", f"{bo.id}/subscriptions-changed", False)

    sent = await send(a, room_id, f"@{bo.username} hello")
    await b.event("room-messages", room_id, lambda m: m["_id"] == sent)
    await b.event(
        "notify-user",
        f"{bo.id}/subscriptions-changed",
        lambda _, s: s["rid"] == room_id and s["unread"] == 1,
    )
    await b.call("readMessages", room_id)
    history = await b.call("loadHistory", room_id, None, 20)
    assert [message["_id"] for message in history["messages"]] == [sent]
    everybody = await b.call("getUsersOfRoom", room_id, True)
    assert {user["_id"] for user in everybody["records"]} == {ana.id, bo.id}
    await b.call("leaveRoom", room_id)
