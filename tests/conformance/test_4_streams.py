"""Conformance: streams across two streamers. Tests are named after the checklist's numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, SignIn
from tests.conformance.ddp import CallFailed, Ddp
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance


async def group(rest: Rest, owner: User, *members: User) -> str:
    """A fresh private group; its id."""
    body = await rest.post(
        "groups.create",
        owner,
        name=f"group-{random_id()}",
        members=[member.username for member in members],
    )
    room_id: str = body["group"]["_id"]
    return room_id


async def send(client: Ddp, room_id: str, text: str, **more: object) -> str:
    """Send a message; its id."""
    message = await client.call(
        "sendMessage", {"_id": random_id(), "rid": room_id, "msg": text, **more}
    )
    message_id: str = message["_id"]
    return message_id


async def test_041_new_edited_and_deleted_messages(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """A message, its edit and a reaction come whole; a deletion as its own event."""
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-room-messages", room_id, False)
    await b.subscribe("stream-notify-room", f"{room_id}/deleteMessage", False)
    sent = await send(a, room_id, "first")
    (message,) = await b.event("room-messages", room_id, lambda m: m["_id"] == sent)

    assert message["msg"] == "first"
    assert message["u"]["_id"] == ana.id
    assert isinstance(message["ts"]["$date"], int)
    assert message["urls"] == message["mentions"] == message["channels"] == []
    assert not {"seq", "_hidden"} & set(message)
    await a.call("updateMessage", {"_id": sent, "rid": room_id, "msg": "second"})
    (edited,) = await b.event("room-messages", room_id, lambda m: m["msg"] == "second")
    assert edited["ts"] == message["ts"]
    assert edited["editedBy"]["_id"] == ana.id
    await b.call("setReaction", ":tada:", sent)
    await b.event("room-messages", room_id, lambda m: ":tada:" in m.get("reactions", {}))
    await a.call("deleteMessage", {"_id": sent, "rid": room_id})
    assert await b.event("notify-room", f"{room_id}/deleteMessage") == [{"_id": sent}]


async def test_042_what_is_not_sent(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Hidden and imported messages, and system messages that the room does not want."""
    room_id = await group(rest, ana, bo)
    b = await sign_in(bo)
    await b.subscribe("stream-room-messages", room_id, False)
    await b.subscribe("stream-room-messages", "__my_messages__", False)
    hidden = {"$set": {"sysMes": ["uj"]}}
    await database["rocketchat_room"].update_one({"_id": room_id}, hidden)
    now = datetime.now(UTC)
    plain = {
        "rid": room_id,
        "msg": "x",
        "ts": now,
        "u": {"_id": ana.id, "username": ana.username},
        "_updatedAt": now,
    }
    wanted = {"_id": random_id(), "t": "ul", **plain}
    for extra in ({"_hidden": True}, {"imported": "slack"}, {"t": "uj"}):
        silent: dict[str, Any] = {"_id": random_id(), **plain, **extra}
        await database["rocketchat_message"].insert_one(silent)
    await database["rocketchat_message"].insert_one(wanted)

    for key in (room_id, "__my_messages__"):
        await b.event("room-messages", key, lambda m, *_: m["_id"] == wanted["_id"])
        seen = [m["_id"] for m, *_ in b.events("room-messages", key) if m["rid"] == room_id]
        assert seen == [wanted["_id"]]


async def test_043_strangers_are_refused(
    rest: Rest, sign_in: SignIn, anonymous: Anonymous, ana: User, bo: User
) -> None:
    """A private group, an unknown room, somebody else's events."""
    room_id = await group(rest, ana)
    b = await sign_in(bo)
    for stream, key in (
        ("stream-room-messages", room_id),
        ("stream-room-messages", "no-such-room"),
        ("stream-notify-room", f"{room_id}/user-activity"),
        ("stream-notify-user", f"{ana.id}/subscriptions-changed"),
        ("stream-room-data", room_id),
    ):
        with pytest.raises(CallFailed) as caught:
            await b.subscribe(stream, key, False)
        assert caught.value.code == "not-allowed", (stream, key)
    for method, params in (
        ("sendMessage", [{"rid": room_id, "msg": "x"}]),
        ("getRoomById", [room_id]),
        ("readMessages", [{"$ne": None}]),
        ("joinRoom", [room_id]),
    ):
        with pytest.raises(CallFailed):
            await b.call(method, *params)
    assert await b.call("loadHistory", room_id) is False


async def test_043_nothing_after_a_removal(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Who is removed sees no later message, and the subscription ends."""
    a, b = await sign_in(ana), await sign_in(bo)
    for _ in range(10):
        room_id = await group(rest, ana, bo)
        subscription = await b.subscribe("stream-room-messages", room_id, False)
        before = await send(a, room_id, "before")
        await b.event("room-messages", room_id, lambda m, sent=before: m["_id"] == sent)
        await a.call("removeUserFromRoom", {"rid": room_id, "username": bo.username})
        for number in range(3):
            await send(a, room_id, f"after {number}")

        ended = await b.wait(msg="nosub", id=subscription)
        assert ended["error"]["error"] == "not-allowed"
        await b.settle()
        texts = [message["msg"] for (message, *_) in b.events("room-messages", room_id)]
        assert not [text for text in texts if text.startswith("after")]


async def test_044_my_messages(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """One subscription gives every accessible room, and says what kind of room it was."""
    private = await group(rest, ana, bo)
    foreign = await group(rest, ana)
    public = (await rest.post("channels.create", ana, name=f"c-{random_id()}"))["channel"]
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-room-messages", "__my_messages__", False)
    direct = (await b.call("createDirectMessage", ana.username))["rid"]

    await send(a, foreign, "foreign")
    expected = {}
    for room_id, meta in (
        (private, {"roomParticipant": True, "roomType": "p"}),
        (public["_id"], {"roomParticipant": False, "roomType": "c", "roomName": public["name"]}),
        (direct, {"roomParticipant": True, "roomType": "d"}),
    ):
        expected[await send(a, room_id, "hello")] = meta
    own = await send(b, direct, "mine")

    for message_id, meta in expected.items():
        _, told = await b.event(
            "room-messages", "__my_messages__", lambda m, _, sent=message_id: m["_id"] == sent
        )
        assert {key: told.get(key) for key in meta} == meta
        assert ("roomName" in told) is (meta["roomType"] != "d")
    await b.event("room-messages", "__my_messages__", lambda m, _: m["_id"] == own)
    rooms = {m["rid"] for m, _ in b.events("room-messages", "__my_messages__")}
    assert foreign not in rooms


async def test_045_joining_during_the_subscription(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Messages of a new room arrive, and stop when the user leaves."""
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-room-messages", "__my_messages__", False)
    room_id = await group(rest, ana)
    await a.call("addUsersToRoom", {"rid": room_id, "users": [bo.username]})
    sent = await send(a, room_id, "welcome")
    await b.event("room-messages", "__my_messages__", lambda m, _: m["_id"] == sent)
    await b.call("leaveRoom", room_id)
    late = await send(a, room_id, "gone")
    marker = await send(b, "GENERAL", "marker")
    await b.event("room-messages", "__my_messages__", lambda m, _: m["_id"] == marker)

    assert late not in {m["_id"] for m, _ in b.events("room-messages", "__my_messages__")}


async def test_046_and_047_membership_and_room_events(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Being added, a change, being removed: on the user's own streams only."""
    b = await sign_in(bo)
    await b.subscribe("stream-notify-user", f"{bo.id}/subscriptions-changed", False)
    await b.subscribe("stream-notify-user", f"{bo.id}/rooms-changed", False)
    room_id = await group(rest, ana, bo)
    subscriptions, rooms = f"{bo.id}/subscriptions-changed", f"{bo.id}/rooms-changed"

    _, added = await b.event(
        "notify-user", subscriptions, lambda kind, s: kind == "inserted" and s["rid"] == room_id
    )
    assert added["open"] is True
    assert isinstance(added["unread"], int)
    _, room = await b.event(
        "notify-user", rooms, lambda kind, r: kind == "inserted" and r["_id"] == room_id
    )
    assert room["t"] == "p"
    a = await sign_in(ana)
    await send(a, room_id, "changes lastMessage")
    _, changed = await b.event(
        "notify-user",
        rooms,
        lambda kind, r: kind == "updated" and r.get("lastMessage", {}).get("msg", "") != "",
    )
    assert "joinCode" not in changed
    await a.call("removeUserFromRoom", {"rid": room_id, "username": bo.username})
    _, removed = await b.event("notify-user", subscriptions, lambda kind, _: kind == "removed")
    assert removed["rid"] == room_id
    assert set(removed) <= {"_id", "rid", "u", "t"}


async def test_048_the_own_account(
    database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Changes come under MongoDB's dotted names; what is secret does not come, nor what is
    another's."""
    a = await sign_in(ana)
    key = f"{ana.id}/userData"
    await a.subscribe("stream-notify-user", key, False)
    some = {"$set": {"settings.preferences": {"hideRoles": True}}}
    await database["users"].update_many({"_id": {"$in": [ana.id, bo.id]}}, some)
    for user in (bo, ana):
        for change in (
            {"$set": {"services.password.reset": {"token": "secret"}}},
            {"$push": {"services.resume.loginTokens": {"hashedToken": random_id(), "when": 0}}},
            {"$set": {"services.email.verificationTokens": ["secret"]}},
            {"$set": {"settings.preferences.sidebarViewMode": user.username, "e2e.key": "secret"}},
        ):
            await database["users"].update_one({"_id": user.id}, change)
    await database["users"].update_one({"_id": ana.id}, {"$unset": {"settings.preferences": 1}})
    (gone,) = await a.event("notify-user", key, lambda told: told.get("unset"))

    assert gone["unset"] == {"settings.preferences": 1}
    told = [change for (change,) in a.events("notify-user", key)]
    (chosen,) = [
        change for change in told if "settings.preferences.sidebarViewMode" in change["diff"]
    ]
    assert chosen["type"] == "updated"
    assert chosen["id"] == ana.id
    assert chosen["diff"]["settings.preferences.sidebarViewMode"] == ana.username
    assert {change["id"] for change in told} == {ana.id}
    about_streams = [text for text in a.texts if "stream-notify-user" in text]
    for secret in ("services", "secret", "loginTokens", "bcrypt", bo.username):
        assert not any(secret in text for text in about_streams)


async def test_049_a_mention_is_a_notification(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """For who is mentioned, and for nobody else; a refusal is an ephemeral message."""
    room_id = await group(rest, ana, bo)
    name = (await rest.get("groups.info", ana, roomId=room_id))["group"]["name"]
    a, b = await sign_in(ana), await sign_in(bo)
    for client, user in ((a, ana), (b, bo)):
        await client.subscribe("stream-notify-user", f"{user.id}/notification", False)
        await client.subscribe("stream-notify-user", f"{user.id}/message", False)
    sent = await send(a, room_id, f"@{bo.username} look")
    (notice,) = await b.event("notify-user", f"{bo.id}/notification")

    assert set(notice) - {"duration"} == {"title", "text", "payload"}
    assert isinstance(notice["title"], str)
    assert isinstance(notice["text"], str)
    assert notice["payload"] == {
        "_id": sent,
        "rid": room_id,
        "sender": {"_id": ana.id, "username": ana.username, "name": ana.username.title()},
        "type": "p",
        "name": name,
        "message": {"msg": f"@{bo.username} look"},
    }
    await a.call("removeUserFromRoom", {"rid": room_id, "username": bo.username})
    with pytest.raises(CallFailed):
        await send(b, room_id, "am I still here?")
    (shown,) = await b.event("notify-user", f"{bo.id}/message")
    assert {"_id", "rid", "msg", "ts", "_updatedAt", "u", "private", "groupable"} <= set(shown)
    assert (shown["u"]["_id"], shown["private"], shown["groupable"]) == ("rocket.cat", True, False)
    assert isinstance(shown["ts"]["$date"], int)
    await a.settle()
    assert not a.events("notify-user", f"{ana.id}/notification")
    assert not a.events("notify-user", f"{ana.id}/message")


async def test_050_typing_reaches_the_others(
    rest: Rest, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    """In both forms; not the own socket, but the own second one; no foreign name, no stranger."""
    room_id = await group(rest, ana, bo)
    a, second, b, c = [await sign_in(user) for user in (ana, ana, bo, cy)]
    for client in (a, second, b):
        await client.subscribe("stream-notify-room", f"{room_id}/user-activity", False)
        await client.subscribe("stream-notify-room", f"{room_id}/typing", False)
    activity = f"{room_id}/user-activity"
    await a.call("stream-notify-room", activity, bo.username, ["user-typing"], {})
    await c.call("stream-notify-room", activity, cy.username, ["user-typing"], {})
    await a.call("stream-notify-room", activity, ana.username, ["user-typing"], {})

    for client in (second, b):
        await client.event("notify-room", activity)
        await client.event("notify-room", f"{room_id}/typing")
        assert {name for name, *_ in client.events("notify-room", activity)} == {ana.username}
        assert client.events("notify-room", f"{room_id}/typing") == [[ana.username, True]]
    await a.settle()
    assert not a.events("notify-room", activity)


async def test_051_a_deletion_names_the_message(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Nothing but its id; and who listens for whole histories being pruned is served."""
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-notify-room", f"{room_id}/deleteMessageBulk", False)
    await b.subscribe("stream-notify-room", f"{room_id}/deleteMessage", False)
    await b.subscribe("stream-room-messages", room_id, False)
    sent = await send(a, room_id, "wrong room")
    await b.event("room-messages", room_id)
    b.texts.clear()
    await a.call("deleteMessage", {"_id": sent, "rid": room_id})
    await b.event("notify-room", f"{room_id}/deleteMessage")
    await b.settle()

    assert [text for text in b.texts if "pong" not in text] == [
        '{"msg":"changed","collection":"stream-notify-room","id":"id","fields":{"eventName":'
        f'"{room_id}/deleteMessage","args":[{{"_id":"{sent}"}}]}}}}'
    ]


async def test_052_watching_presence(
    sign_in: SignIn, anonymous: Anonymous, ana: User, bo: User
) -> None:
    """The first sub stays, later ones only change what is watched."""
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-user-presence", "", {"added": [ana.id]})
    later: dict[str, list[str]] = {"added": [], "removed": []}
    await b.send({"msg": "sub", "id": "l", "name": "stream-user-presence", "params": ["", later]})
    assert await b.wait(msg="nosub", id="l") == {"msg": "nosub", "id": "l"}
    await a.call("setUserStatus", "busy", "in a meeting")

    frame = await b.wait(msg="changed", collection="stream-user-presence", id=ana.id)
    busy = {
        "uid": ana.id,
        "args": [[ana.username, 3, "in a meeting"]],
        "eventName": ana.id,
    }
    assert frame["fields"] == busy or await b.wait(
        msg="changed", collection="stream-user-presence", fields=busy
    )
    stranger = await anonymous()
    with pytest.raises(CallFailed) as caught:
        await stranger.subscribe("stream-user-presence", "", {"added": [ana.id]})
    assert caught.value.code == "not-allowed"


async def test_053_logged_events_need_a_login(anonymous: Anonymous) -> None:
    """Public ones do not."""
    client = await anonymous()
    await client.subscribe("stream-notify-all", "public-settings-changed", False)

    with pytest.raises(CallFailed):
        await client.subscribe("stream-notify-logged", "roles-change", False)


async def test_054_public_settings_are_for_everybody(
    database: Database, anonymous: Anonymous
) -> None:
    """Without a login; a private or hidden one never."""
    client = await anonymous()
    await client.subscribe("stream-notify-all", "public-settings-changed", False)
    settings = database["rocketchat_settings"]
    private = {"_id": f"Test_Secret_{random_id()}", "value": "secret", "type": "string"}
    await settings.insert_one({**private, "public": False})
    await settings.update_one({"_id": private["_id"]}, {"$set": {"value": "more secret"}})
    hidden = {"_id": f"Test_Hidden_{random_id()}", "value": "secret", "public": True}
    await settings.insert_one({**hidden, "hidden": True, "type": "string"})
    shown = {"_id": f"Test_Shown_{random_id()}", "value": 1, "public": True, "type": "int"}
    await settings.insert_one(dict(shown))
    await settings.update_one({"_id": shown["_id"]}, {"$set": {"value": 2}})
    key = "public-settings-changed"
    # An update is told with the document as it is when the hub looks: it has to be there still.
    await client.event("notify-all", key, lambda kind, s: s["value"] == 2)
    await settings.delete_many({"_id": {"$in": [s["_id"] for s in (private, hidden, shown)]}})
    await client.settle()

    told = [(kind, s) for kind, s in client.events("notify-all", key) if "Test_" in s["_id"]]
    assert told[:2] == [
        ("inserted", {"_id": shown["_id"], "value": 1}),
        ("updated", {"_id": shown["_id"], "value": 2}),
    ]
    assert {s["_id"] for _, s in told} == {shown["_id"]}
    assert not any("secret" in text for text in client.texts)


async def test_056_nobody_writes_to_others(sign_in: SignIn, ana: User, bo: User) -> None:
    """A forged notification has no effect and no error."""
    a, b = await sign_in(ana), await sign_in(bo)
    for name in ("notification", "subscriptions-changed", "force_logout"):
        await b.subscribe("stream-notify-user", f"{bo.id}/{name}", False)
        assert await a.call("stream-notify-user", f"{bo.id}/{name}", {"title": "forged"}) is None
    direct = (await a.call("createDirectMessage", bo.username))["rid"]
    await b.event(
        "notify-user", f"{bo.id}/subscriptions-changed", lambda kind, _: kind == "inserted"
    )

    assert direct
    for name in ("notification", "force_logout"):
        forged = [{"title": "forged"}]
        assert forged not in b.events("notify-user", f"{bo.id}/{name}")


async def test_058_one_order_for_all(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """Two senders, four sockets on two streamers: everybody sees the order of `ts`, once."""
    room_id = await group(rest, ana, bo)
    readers = [await sign_in(user) for user in (ana, bo, ana, bo)]
    for reader in readers:
        await reader.subscribe("stream-room-messages", room_id, False)
    sent = set()
    for number in range(60):
        sent.add(await send(readers[number % 2], room_id, f"{number}"))

    orders = []
    for reader in readers:
        await reader.event("room-messages", room_id, lambda m: m["msg"] == "59")
        messages = [m for m, *_ in reader.events("room-messages", room_id) if m["_id"] in sent]
        stamps = [m["ts"]["$date"] for m in messages]
        assert stamps == sorted(set(stamps))
        orders.append([m["_id"] for m in messages])
    assert len(orders[0]) == 60
    assert all(order == orders[0] for order in orders)


async def test_097_a_touched_date_is_no_news(
    rest: Rest, database: Database, sign_in: SignIn, ana: User
) -> None:
    """Of each stream the only frame is the one of the real change that follows."""
    room_id = await group(rest, ana)
    a = await sign_in(ana)
    streams = {
        ("notify-user", f"{ana.id}/rooms-changed"): "rocketchat_room",
        ("room-data", room_id): "rocketchat_room",
        ("notify-user", f"{ana.id}/subscriptions-changed"): "rocketchat_subscription",
        ("notify-user", f"{ana.id}/userData"): "users",
        ("roles", "roles"): "rocketchat_roles",
        ("notify-logged", "permissions-changed"): "rocketchat_permissions",
        ("notify-all", "public-settings-changed"): "rocketchat_settings",
    }
    for stream, key in streams:
        await a.subscribe(f"stream-{stream}", key, False)
    await a.settle()
    a.frames.clear()
    mark = random_id()
    news: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "rocketchat_room": ({"_id": room_id}, {"topic": mark}),
        "rocketchat_subscription": ({"rid": room_id}, {"prid": mark}),
        "users": ({"_id": ana.id}, {"settings.mark": mark}),
        "rocketchat_roles": ({"_id": "bot"}, {"mark": mark}),
        "rocketchat_permissions": ({"_id": "view-logs"}, {"mark": mark}),
        "rocketchat_settings": ({"_id": "Site_Name"}, {"value": mark}),
    }
    for collection, (query, _) in news.items():
        touched = await database[collection].update_one(
            query, {"$set": {"_updatedAt": datetime.now(UTC)}}
        )
        assert touched.modified_count == 1
    for collection, (query, change) in news.items():
        await database[collection].update_one(query, {"$set": change})

    for stream, key in streams:
        await a.event(stream, key, lambda *args: mark in str(args))
        assert len(a.events(stream, key)) == 1, (stream, key, a.events(stream, key))
