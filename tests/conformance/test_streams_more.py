"""Conformance: streams and sockets, continued. Named after the checklist's numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, NewUser, Running, SignIn
from tests.conformance.ddp import CallFailed, Ddp, opened
from tests.conformance.rest import Rest, User
from tests.conformance.spare import own_streamers, streamer
from tests.conformance.test_4_streams import group, send
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(180)]

MIB = 1024 * 1024


@asynccontextmanager
async def setting(database: Database, setting_id: str, value: object) -> AsyncIterator[None]:
    """A setting of the workspace, for a while."""
    settings = database["rocketchat_settings"]
    before = await settings.find_one_and_update({"_id": setting_id}, {"$set": {"value": value}})
    assert before is not None
    try:
        yield
    finally:
        await settings.update_one({"_id": setting_id}, {"$set": {"value": before["value"]}})


def message(room_id: str, author: User, text: str, **more: Any) -> dict[str, Any]:
    """A message as another program would store it."""
    now = datetime.now(UTC)
    return {
        "_id": random_id(),
        "rid": room_id,
        "msg": text,
        "ts": now,
        "u": {"_id": author.id, "username": author.username, "name": "the old name"},
        "_updatedAt": now,
        **more,
    }


# --- sockets --------------------------------------------------------------------------------------


async def test_012_who_stops_reading_is_closed_and_costs_nothing(
    hubbub: Running, rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """1013, everybody else gets everything, and the memory is given back."""
    room_id = await group(rest, ana, bo)
    async with (
        streamer(
            hubbub, max_buffered_bytes=5 * MIB // 4, soft_buffered_bytes=MIB // 4, close_timeout=60
        ) as spare,
        opened(spare.websocket) as stuck,
        opened(spare.websocket) as reading,
    ):
        for client, user in ((stuck, ana), (reading, bo)):
            await client.login(user.username, user.password)
            await client.subscribe("stream-room-messages", room_id, False)
        before = await spare.metric("process_resident_memory_bytes")
        stuck.socket.transport.pause_reading()
        for _ in range(15):  # several times what the kernel keeps for a socket
            batch = [message(room_id, ana, "x" * 5_000) for _ in range(200)]
            await database["rocketchat_message"].insert_many(batch)
            await reading.event(
                "room-messages", room_id, lambda m, last=batch[-1]: m["_id"] == last["_id"]
            )
        assert len(reading.events("room-messages", room_id)) == 3_000
        stuck.socket.transport.resume_reading()
        assert await stuck.closed() == 1013
        assert stuck.socket.close_reason == "SLOW_CONSUMER"

        assert await spare.metric("hubbub_streamer_disconnects_total", 'reason="slow"') == 1

        async def is_back() -> bool:
            return await spare.metric("process_resident_memory_bytes") - before < 4 * MIB

        await eventually(is_back, within=15, what="the memory of before")


async def test_014_sockjs_breathes_and_says_goodbye(hubbub: Running) -> None:
    """`h` after silence, `c` ahead of the close frame."""
    async with (
        streamer(hubbub, sockjs_heartbeat=0.5, anonymous_timeout=3) as spare,
        opened(spare.websocket.replace("/web", "/sockjs/1/s/web"), sockjs=True) as client,
    ):
        await eventually(lambda: client.texts.count("h") >= 2, within=10)
        assert await client.closed() == 1008
        assert client.texts[-1] == 'c[1008,"POLICY"]'


# --- rooms ----------------------------------------------------------------------------------------


async def test_047_changes_of_a_room_are_told_at_a_bearable_pace(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    """Twice a second at most, the last state always; never the join code, never to others."""
    room_id = await group(rest, ana, bo)
    b, c = await sign_in(bo), await sign_in(cy)
    for client, user in ((b, bo), (c, cy)):
        await client.subscribe("stream-notify-user", f"{user.id}/rooms-changed", False)
    begun = time.monotonic()
    rooms = database["rocketchat_room"]
    await rooms.update_one({"_id": room_id}, {"$set": {"joinCode": "secret"}})
    for number in range(200):
        await rooms.update_one({"_id": room_id}, {"$set": {"topic": f"topic {number}"}})
    key = f"{bo.id}/rooms-changed"
    await b.event("notify-user", key, lambda kind, room: room.get("topic") == "topic 199")
    took = time.monotonic() - begun

    told = [room for kind, room in b.events("notify-user", key) if kind == "updated"]
    assert len(told) <= 2 * took + 2
    assert all("joinCode" not in room for room in told)
    assert not any("secret" in text for text in b.texts)
    await c.settle()
    assert c.events("notify-user", f"{cy.id}/rooms-changed") == []


async def test_064_reading_twice_writes_once(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    await b.call("readMessages", room_id)  # being added counts, too
    await send(a, room_id, f"@{bo.username} one")
    query = {"rid": room_id, "u._id": bo.id}
    subscriptions = database["rocketchat_subscription"]

    async def counted() -> bool:
        found = await subscriptions.find_one(query)
        return found is not None and found["userMentions"] == 1

    await eventually(counted)
    await b.call("readMessages", room_id)
    first = await subscriptions.find_one(query)
    assert first is not None
    assert (first["unread"], first["userMentions"], first["alert"]) == (0, 0, False)
    await b.call("readMessages", room_id)
    assert await subscriptions.find_one(query) == first


async def test_068_what_clients_take_for_granted(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Fields whose absence or type ends a bot written in Go."""
    await group(rest, ana, bo)
    b = await sign_in(bo)
    await b.call("createDirectMessage", ana.username)
    for subscription in (await b.call("subscriptions/get", {"$date": 0}))["update"]:
        assert isinstance(subscription["alert"], bool)
        assert isinstance(subscription["open"], bool)
        assert isinstance(subscription["unread"], int)
        assert all(isinstance(role, str) for role in subscription.get("roles", []))
    permissions = await b.call("permissions/get")
    assert len(permissions) > 50
    for permission in permissions:
        assert isinstance(permission["_id"], str)
        assert all(isinstance(role, str) for role in permission["roles"])
    types = {"boolean": bool, "int": int, "string": str, "select": str, "multiSelect": list}
    for one in await b.call("public-settings/get"):
        assert type(one["value"]) is types[one["type"]], one


async def test_096_the_first_moment_of_a_membership_is_not_missed(
    hubbub: Running, rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """A message right behind a membership reaches a socket that follows all rooms, on either
    streamer, whatever wrote them."""
    async with AsyncExitStack() as stack:
        bots = []
        for url in await own_streamers(hubbub):
            bot = await stack.enter_async_context(opened(url))
            await bot.login(bo.username, bo.password)
            await bot.subscribe("stream-room-messages", "__my_messages__", False)
            bots.append(bot)
        rooms = [await group(rest, ana) for _ in range(20)]
        sent = []
        for room_id in rooms:
            now = datetime.now(UTC)
            membership = {
                "_id": random_id(),
                "rid": room_id,
                "u": {"_id": bo.id, "username": bo.username},
                "t": "p",
                "name": room_id,
                "open": True,
                "alert": False,
                "unread": 0,
                "ts": now,
                "_updatedAt": now,
            }
            await database["rocketchat_subscription"].insert_one(membership)
            first = message(room_id, ana, "welcome")
            await database["rocketchat_message"].insert_one(first)
            sent.append(first["_id"])
        for bot in bots:
            for message_id in sent:
                await bot.event(
                    "room-messages", "__my_messages__", lambda m, _, one=message_id: m["_id"] == one
                )
            got = [m["_id"] for m, _ in bot.events("room-messages", "__my_messages__")]
            assert [one for one in got if one in sent] == sent


# --- what messages show ---------------------------------------------------------------------------


async def test_042_system_messages_that_a_room_hides(
    rest: Rest, database: Database, sign_in: SignIn, ana: User
) -> None:
    """By the room's own list; a setting of the workspace does the same for all rooms."""
    room_id = await group(rest, ana)
    a = await sign_in(ana)
    await a.subscribe("stream-room-messages", room_id, False)
    rooms, messages = database["rocketchat_room"], database["rocketchat_message"]
    await rooms.update_one({"_id": room_id}, {"$set": {"sysMes": ["uj"]}})
    hidden = message(room_id, ana, "x", t="uj")
    await messages.insert_one(hidden)
    shown = message(room_id, ana, "x", t="ul")
    await messages.insert_one(shown)
    await a.event("room-messages", room_id, lambda m: m["_id"] == shown["_id"])
    async with setting(database, "Hide_System_Messages", ["ul"]):
        await messages.insert_one(message(room_id, ana, "x", t="ul"))
        last = message(room_id, ana, "an ordinary one")
        await messages.insert_one(last)
        await a.event("room-messages", room_id, lambda m: m["_id"] == last["_id"])
    got = [m["_id"] for (m,) in a.events("room-messages", room_id)]
    assert got == [shown["_id"], last["_id"]]


async def test_041_names_are_the_present_ones_where_the_workspace_shows_them(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    room_id = await group(rest, ana, bo)
    a = await sign_in(ana)
    await a.subscribe("stream-room-messages", room_id, False)
    messages = database["rocketchat_message"]
    mention = [{"_id": bo.id, "username": bo.username, "name": "old too"}]
    async with setting(database, "UI_Use_Real_Name", True):
        for name in ("Bo the First", "Bo the Second"):
            await database["users"].update_one({"_id": bo.id}, {"$set": {"name": name}})
            one = message(room_id, bo, name, mentions=mention)
            await messages.insert_one(one)
            (told,) = await a.event(
                "room-messages", room_id, lambda m, sent=one: m["_id"] == sent["_id"]
            )
            assert told["u"]["name"] == name
            assert told["mentions"][0]["name"] == name
    one = message(room_id, bo, "again", mentions=mention)
    await messages.insert_one(one)
    (told,) = await a.event("room-messages", room_id, lambda m: m["_id"] == one["_id"])
    assert told["u"]["name"] == "the old name"


# --- the workspace --------------------------------------------------------------------------------


async def test_054_settings_in_a_bundle_and_for_administrators(
    rest: Rest, database: Database, sign_in: SignIn, anonymous: Anonymous, admin: User, ana: User
) -> None:
    """Public ones twice for everybody; private ones for who may see them, secrets without value."""
    nobody, chief, a = await anonymous(), await sign_in(admin), await sign_in(ana)
    await nobody.subscribe("stream-notify-all", "public-info", False)
    await chief.subscribe("stream-notify-logged", "private-settings-changed", False)
    with pytest.raises(CallFailed) as caught:
        await a.subscribe("stream-notify-logged", "private-settings-changed", False)
    assert caught.value.code == "not-allowed"
    async with setting(database, "Site_Name", f"site {random_id()}"):
        ((kind, (action, shown)),) = await nobody.event("notify-all", "public-info")
    assert (kind, action, shown["_id"]) == ("public-settings-changed", "updated", "Site_Name")
    settings = database["rocketchat_settings"]
    for setting_id in ("Some_Password", "Some_Limit"):
        await settings.insert_one({"_id": setting_id, "value": "s3cret-or-not", "public": False})
    try:
        key = "private-settings-changed"
        _, limit = await chief.event("notify-logged", key, lambda _, s: s["_id"] == "Some_Limit")
        assert limit["value"] == "s3cret-or-not"
        _, secret = await chief.event(
            "notify-logged", key, lambda _, s: s["_id"] == "Some_Password"
        )
        assert "value" not in secret
    finally:
        await settings.delete_many({"_id": {"$in": ["Some_Password", "Some_Limit"]}})
    await nobody.settle()
    assert not any("Some_" in text for text in (*nobody.texts, *a.texts))


async def test_053_statuses_that_the_workspace_offers(
    rest: Rest, database: Database, sign_in: SignIn, ana: User
) -> None:
    a = await sign_in(ana)
    for key in ("updateCustomUserStatus", "deleteCustomUserStatus"):
        await a.subscribe("stream-notify-logged", key, False)
    statuses = database["rocketchat_custom_user_status"]
    status = {"_id": random_id(), "name": f"lunch {random_id()}", "statusType": "away"}
    await statuses.insert_one(status)
    (told,) = await a.event("notify-logged", "updateCustomUserStatus")
    assert told == {"userStatusData": status}
    await statuses.delete_one({"_id": status["_id"]})
    (told,) = await a.event("notify-logged", "deleteCustomUserStatus")
    assert told == {"userStatusData": {"_id": status["_id"]}}


async def test_043_a_right_that_is_taken_ends_what_it_allowed(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    """A role, and what a role holds: `nosub` within seconds, nothing afterwards."""
    channel = (await rest.post("channels.create", ana, name=f"c-{random_id()}"))["channel"]
    a, b = await sign_in(ana), await sign_in(bo)
    for client in (a, b):
        await client.subscribe("stream-room-messages", channel["_id"], False, id="room")
    users, permissions = database["users"], database["rocketchat_permissions"]
    before = await permissions.find_one({"_id": "view-c-room"})
    assert before is not None
    await permissions.update_one({"_id": "view-c-room"}, {"$set": {"roles": ["admin", "user"]}})
    try:
        await users.update_one({"_id": bo.id}, {"$set": {"roles": ["guest"]}})
        ended = await b.wait(msg="nosub", id="room", within=5)
        assert ended["error"]["error"] == "not-allowed"
        await send(a, channel["_id"], "without you")
        await a.event("room-messages", channel["_id"])
        await b.settle()
        assert b.events("room-messages", channel["_id"]) == []
        assert b.close_code is None
        await users.update_one({"_id": bo.id}, {"$set": {"roles": ["user"]}})
        await eventually(lambda: _may_follow(b, channel["_id"]), within=10)
        await permissions.update_one({"_id": "view-c-room"}, {"$set": {"roles": ["admin"]}})
        b.frames.clear()
        await b.wait(msg="nosub", id="room", within=5)
        # Being in a room is not enough: a member needs it too, where nothing else allows it.
        await a.wait(msg="nosub", id="room", within=5)
    finally:
        await permissions.update_one({"_id": "view-c-room"}, {"$set": {"roles": before["roles"]}})


async def _may_follow(client: Ddp, room_id: str) -> bool:
    client.frames.clear()
    try:
        await client.subscribe("stream-room-messages", room_id, False, id="room")
    except CallFailed:
        return False
    return True


async def test_043_who_is_not_signed_in_reads_where_the_workspace_allows_it(
    rest: Rest, database: Database, anonymous: Anonymous, sign_in: SignIn, ana: User
) -> None:
    channel = (await rest.post("channels.create", ana, name=f"c-{random_id()}"))["channel"]
    private = await group(rest, ana)
    a, nobody = await sign_in(ana), await anonymous()
    with pytest.raises(CallFailed):
        await nobody.subscribe("stream-room-messages", channel["_id"], False, id="early")
    async with setting(database, "Accounts_AllowAnonymousRead", True):
        await eventually(lambda: _may_follow(nobody, channel["_id"]), within=10)
        sent = await send(a, channel["_id"], "for everybody")
        await nobody.event("room-messages", channel["_id"], lambda m: m["_id"] == sent)
        with pytest.raises(CallFailed):
            await nobody.subscribe("stream-room-messages", private, False, id="private")
    await nobody.wait(msg="nosub", id="room", within=10)


# --- people ---------------------------------------------------------------------------------------


async def test_038_logging_out_elsewhere_keeps_this_socket(
    sign_in: SignIn, anonymous: Anonymous, new_user: NewUser
) -> None:
    """`logoutOtherClients`: a new token here; the others end some seconds later."""
    user = await new_user()
    here, there = await sign_in(user), await sign_in(user)
    result = await here.call("logoutOtherClients")
    assert set(result) == {"token", "tokenExpires"}
    assert isinstance(result["tokenExpires"]["$date"], int)
    assert there.close_code is None
    assert await there.closed(within=30) == 1008
    again = await anonymous()
    assert (await again.call("login", {"resume": result["token"]}))["id"] == user.id
    assert await here.call("getUserRoles") is not None
    assert here.close_code is None


async def test_036_the_own_document_follows_its_changes(
    database: Database, sign_in: SignIn, ana: User
) -> None:
    """`changed` for what is new, `cleared` for what is gone, nothing of what is not shown."""
    a = await sign_in(ana)
    users = database["users"]
    await users.update_one({"_id": ana.id}, {"$set": {"name": "Ana B.", "bio": "hidden words"}})
    changed = await a.wait(msg="changed", collection="users")
    assert changed == {
        "msg": "changed",
        "collection": "users",
        "id": ana.id,
        "fields": {"name": "Ana B."},
    }
    a.frames.clear()
    await users.update_one({"_id": ana.id}, {"$unset": {"name": 1}})
    changed = await a.wait(msg="changed", collection="users")
    assert changed["cleared"] == ["name"]
    assert "fields" not in changed
    assert not any("hidden words" in text for text in a.texts)


async def test_052_statuses_that_changed_just_now_are_told_at_once(
    sign_in: SignIn, ana: User, bo: User
) -> None:
    """Between the answer of REST and the sub nothing is missed; in both nestings."""
    a = await sign_in(ana)
    text = f"lunch {random_id()}"
    b = await sign_in(bo)
    await b.subscribe("stream-user-presence", "", {"added": [ana.id]})
    await a.call("setUserStatus", "away", text)
    await b.event("user-presence", ana.id, lambda told: told[2] == text)
    for params in ({"added": [ana.id]}, {"useCollection": False, "args": [{"added": [ana.id]}]}):
        late = await sign_in(bo)
        await late.subscribe("stream-user-presence", "", params)
        (told,) = await late.event("user-presence", ana.id)
        assert told == [ana.username, 2, text]
        await late.send(
            {
                "msg": "sub",
                "id": "delta",
                "name": "stream-user-presence",
                "params": ["", {"args": [{"removed": [ana.id]}]}],
            }
        )
        ended = await late.wait(msg="nosub", id="delta")
        assert "error" not in ended
        late.frames.clear()
    await asyncio.gather(a.settle(), b.settle())


async def test_056_calls_reach_only_those_who_share_a_room(
    rest: Rest, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    room_id = await group(rest, ana, bo)
    a, b, c = await sign_in(ana), await sign_in(bo), await sign_in(cy)
    await a.call("createDirectMessage", bo.username)
    for client, user in ((a, ana), (b, bo), (c, cy)):
        await client.subscribe("stream-notify-user", f"{user.id}/webrtc", False)
    await a.call("stream-notify-room-users", f"{room_id}/webrtc", "to all of the room")
    await a.call("stream-notify-user", f"{bo.id}/webrtc", "to one")
    for method, key in (
        ("stream-notify-user", f"{cy.id}/webrtc"),
        ("stream-notify-room-users", "no-such-room/webrtc"),
    ):
        assert await a.call(method, key, "to nobody") is None
    await b.event("notify-user", f"{bo.id}/webrtc", lambda text: text == "to one")
    assert ["to all of the room"] in b.events("notify-user", f"{bo.id}/webrtc")
    for client, user in ((a, ana), (c, cy)):
        await client.settle()
        assert client.events("notify-user", f"{user.id}/webrtc") == []
