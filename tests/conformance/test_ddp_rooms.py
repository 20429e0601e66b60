"""Conformance: rooms as a whole by DDP: settings, discussions, lists, pruning, erasing."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed, Ddp, Frame
from tests.conformance.rest import Rest, User
from tests.conformance.test_8_rest import channel_of, group_of, said
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

PAST, FUTURE = {"$date": 946_684_800_000}, {"$date": 4_102_444_800_000}


async def code_of(client: Ddp, method: str, *params: Any) -> Any:
    """The code of a call that has to fail."""
    with pytest.raises(CallFailed) as caught:
        await client.call(method, *params)
    return caught.value.code


def told(client: Ddp, event: str) -> list[Any]:
    """The arguments of every frame of an event, in order."""
    fields = [frame["fields"] for frame in client.all(msg="changed") if "fields" in frame]
    return [one["args"] for one in fields if one.get("eventName") == event]


async def heard(client: Ddp, event: str, count: int = 1) -> list[Any]:
    """Those arguments, once there are `count`."""

    def enough() -> list[Any] | None:
        found = told(client, event)
        return found if len(found) >= count else None

    found = await eventually(enough, within=10.0, what=f"{count} of {event}")
    assert found is not None
    return found


async def test_settings_in_both_forms(rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """One key or several; one system message per change; members see the room and its name."""
    group = await group_of(rest, ana, bo)
    room_id = group["_id"]
    client, other = await sign_in(ana), await sign_in(bo)
    await other.subscribe("stream-notify-user", f"{bo.id}/rooms-changed", False)
    await other.subscribe("stream-notify-user", f"{bo.id}/subscriptions-changed", False)
    await other.subscribe("stream-room-messages", room_id, False)

    answer = await client.call("saveRoomSettings", room_id, "roomTopic", "tea")
    assert answer == {"result": True, "rid": room_id}
    name = f"renamed-{random_id()}"
    await client.call("saveRoomSettings", room_id, {"roomName": name, "readOnly": True}, "")

    messages = await heard(other, room_id, 3)
    assert [message["t"] for (message,) in messages] == [
        "room_changed_topic",
        "r",
        "room-set-read-only",
    ]
    changed = await heard(other, f"{bo.id}/subscriptions-changed")
    assert changed[-1][0] == "updated"
    assert changed[-1][1]["name"] == name

    def has_room() -> bool:
        rooms = [room for _, room in told(other, f"{bo.id}/rooms-changed")]
        return any(room["name"] == name and room["ro"] is True for room in rooms)

    await eventually(has_room)
    for wrong in (("planet", "x"), ({"roomTopic": 7},), ({},), ("joinCode", None)):
        assert await code_of(client, "saveRoomSettings", room_id, *wrong) == (
            "error-invalid-settings"
        ), wrong
    assert await code_of(client, "saveRoomSettings", room_id, "encrypted", True) == (
        "error-action-not-allowed"
    )
    assert await code_of(other, "saveRoomSettings", room_id, "roomTopic", "x") == (
        "error-not-allowed"
    )


async def test_archiving(rest: Rest, ana: User, bo: User, admin: User, sign_in: SignIn) -> None:
    """No result; nobody writes; an administrator opens it again."""
    channel = await channel_of(rest, ana)
    client, boss = await sign_in(ana), await sign_in(admin)
    assert await client.call("archiveRoom", channel["_id"]) is None
    message = {"_id": random_id(), "rid": channel["_id"], "msg": "x"}
    assert await code_of(client, "sendMessage", message) == "room_is_archived"
    assert await code_of(client, "unarchiveRoom", channel["_id"]) == "error-not-allowed"
    assert await boss.call("unarchiveRoom", channel["_id"]) is None
    await client.call("sendMessage", message)
    assert await code_of(client, "archiveRoom", "nowhere") == "error-invalid-room"


async def test_erasing(rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """Members are told; their subscriptions to it end."""
    group = await group_of(rest, ana, bo)
    room_id = group["_id"]
    client, other = await sign_in(ana), await sign_in(bo)
    await other.subscribe("stream-notify-user", f"{bo.id}/rooms-changed", False)
    await other.subscribe("stream-notify-user", f"{bo.id}/subscriptions-changed", False)
    messages = await other.subscribe("stream-room-messages", room_id, False)

    assert await code_of(other, "eraseRoom", room_id) == "error-not-allowed"
    assert await client.call("eraseRoom", room_id) is True

    (removed, *_) = await heard(other, f"{bo.id}/rooms-changed")
    assert removed == ["removed", {"_id": room_id}]
    (ended, *_) = await heard(other, f"{bo.id}/subscriptions-changed")
    assert (ended[0], ended[1]["rid"]) == ("removed", room_id)
    nosub = await other.wait(msg="nosub", id=messages)
    assert nosub["error"]["error"] == "not-allowed"
    assert await code_of(client, "eraseRoom", room_id) == "error-invalid-room"


async def test_a_pruned_room(rest: Rest, ana: User, bo: User, admin: User, sign_in: SignIn) -> None:
    """One `deleteMessageBulk` in the room's own order, and no `deleteMessage` beside it."""
    channel = await channel_of(rest, ana, bo)
    room_id = channel["_id"]
    sent = [await said(rest, ana, channel, f"{number}") for number in range(3)]
    client, boss = await sign_in(bo), await sign_in(admin)
    for event in ("deleteMessageBulk", "deleteMessage"):
        await client.subscribe("stream-notify-room", f"{room_id}/{event}", False)
    await client.subscribe("stream-room-messages", room_id, False)
    wanted = {
        "roomId": room_id,
        "oldest": PAST,
        "latest": FUTURE,
        "fromUsers": [],
        "excludePinned": True,
    }

    assert await code_of(client, "cleanRoomHistory", wanted) == "error-not-allowed"
    assert await boss.call("cleanRoomHistory", wanted) == 3
    after = await said(rest, ana, channel, "after")

    ((pruned,),) = await heard(client, f"{room_id}/deleteMessageBulk")
    assert pruned["ids"] == [message["_id"] for message in sent]
    assert (pruned["rid"], pruned["users"]) == (room_id, [])
    assert (pruned["excludePinned"], pruned["ignoreDiscussion"]) == (True, True)
    assert set(pruned["ts"]) == {"$gte", "$lte"}
    assert all(isinstance(date["$date"], int) for date in pruned["ts"].values())
    ((message,),) = await heard(client, room_id)
    assert message["_id"] == after["_id"]
    names = [frame["fields"]["eventName"] for frame in _streamed(client)]
    assert names == [f"{room_id}/deleteMessageBulk", room_id]


def _streamed(client: Ddp) -> list[Frame]:
    return [
        frame
        for frame in client.all(msg="changed")
        if frame["collection"] in ("stream-notify-room", "stream-room-messages")
    ]


async def test_discussions(rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """The parent hears of it; who is in the parent may follow it; a message has one."""
    group = await group_of(rest, ana, bo)
    about = await said(rest, bo, group, "tea?")
    client, other = await sign_in(ana), await sign_in(bo)
    await other.subscribe("stream-room-messages", group["_id"], False)
    wanted = {
        "prid": group["_id"],
        "pmid": about["_id"],
        "t_name": "About tea",
        "reply": "yes",
        "users": [],
    }

    made = await client.call("createDiscussion", wanted)
    assert (made["rid"], made["fname"], made["prid"]) == (made["_id"], "About tea", group["_id"])
    ((leading,), *_) = await heard(other, group["_id"])
    assert (leading["t"], leading["drid"], leading["msg"]) == (
        "discussion-created",
        made["_id"],
        "About tea",
    )
    assert leading["attachments"][0]["text"] == "tea?"
    again = await other.call("createDiscussion", wanted)
    assert again["_id"] == made["_id"]
    nested = {"prid": made["_id"], "t_name": "deeper", "users": []}
    assert await code_of(client, "createDiscussion", nested) == "error-nested-discussion"
    assert await code_of(client, "createDiscussion", {"prid": group["_id"]}) == 400

    await other.subscribe("stream-room-messages", made["_id"], False)
    await client.call("sendMessage", {"_id": random_id(), "rid": made["_id"], "msg": "more"})
    ((message,), *_) = await heard(other, made["_id"])
    assert message["msg"] == "more"

    def is_counted() -> bool:
        return any(one.get("dcount") == 3 for (one,) in told(other, group["_id"]))

    await eventually(is_counted, within=10.0)


async def test_a_repeated_creation(rest: Rest, ana: User, sign_in: SignIn) -> None:
    """A client that never saw the answer asks again and gets the same room."""
    client = await sign_in(ana)
    name = f"once-{random_id()}"
    first = await client.call("createChannel", name, [])
    again = await client.call("createChannel", name, [])
    assert first["rid"] == again["rid"]
    body = {"prid": first["rid"], "t_name": "talk", "users": []}
    talk = await client.call("createDiscussion", body)
    assert (await client.call("createDiscussion", body))["rid"] == talk["rid"]
    assert await code_of(client, "createPrivateGroup", name, []) == "error-duplicate-channel-name"
    for wrong in ("a b", "", "x" * 121, "ä"):
        assert await code_of(client, "createChannel", wrong, []) == "error-invalid-room-name"


async def test_finding_rooms(rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """Each read answers a room of others like one that does not exist."""
    group, channel = await group_of(rest, ana), await channel_of(rest, ana)
    client, stranger = await sign_in(ana), await sign_in(bo)
    assert await stranger.call("roomNameExists", group["name"]) is True
    assert await stranger.call("roomNameExists", f"free-{random_id()}") is False
    assert (await client.call("getRoomById", group["_id"]))["_id"] == group["_id"]
    for key in (group["_id"], group["name"]):
        assert (await client.call("getRoomByTypeAndName", "p", key))["_id"] == group["_id"]
        assert await client.call("getRoomIdByNameOrId", key) == group["_id"]
    for unseen in (group["_id"], group["name"], "nowhere"):
        assert await code_of(stranger, "getRoomByTypeAndName", "p", unseen) == (
            "error-invalid-room"
        )
        assert await code_of(stranger, "getRoomIdByNameOrId", unseen) == "error-not-allowed"
        assert await code_of(stranger, "getRoomById", unseen) == "error-not-allowed"
    assert await code_of(client, "getRoomByTypeAndName", "c", group["_id"]) == "error-invalid-room"

    listed = await stranger.call("channelsList", channel["name"], "public", 10, "name")
    assert [room["_id"] for room in listed["channels"]] == [channel["_id"]]
    assert (await stranger.call("channelsList", group["name"]))["channels"] == []
    own = await client.call("channelsList", group["name"], "private", 10, "msgs")
    assert [room["_id"] for room in own["channels"]] == [group["_id"]]
    asked = {"text": channel["name"], "type": "channels", "sortBy": "usersCount", "page": 0}
    browsed = await stranger.call("browseChannels", asked)
    assert [room["_id"] for room in browsed["results"]] == [channel["_id"]]
    assert browsed["total"] == 1
    people = await stranger.call("browseChannels", {"text": ana.username, "type": "users"})
    assert [user["_id"] for user in people["results"]] == [ana.id]
    assert "emails" not in people["results"][0]
    teams = await stranger.call("browseChannels", {"text": "", "type": "teams"})
    assert teams == {"results": [], "total": 0}


async def test_spotlight_in_a_room(rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """Members first; an empty text finds them; a stranger learns nothing of who is in it."""
    group = await group_of(rest, ana, bo)
    client, stranger = await sign_in(ana), await sign_in(await rest.register("zz" + random_id(8)))
    kinds = {"users": True, "rooms": False, "mentions": True}

    async def names(who: Ddp, text: str, *excepted: str) -> list[str]:
        found = await who.call("spotlight", text, list(excepted), kinds, group["_id"])
        assert found["rooms"] == []
        return [user["username"] for user in found["users"]]

    assert set(await names(client, "")) == {ana.username, bo.username}
    assert await names(client, bo.username[:6], ana.username) == [bo.username]
    assert await names(stranger, "") == []
    everything = await client.call("spotlight", "")
    assert everything == {"users": [], "rooms": []}


async def test_a_long_absence(rest: Rest, ana: User, admin: User, sign_in: SignIn) -> None:
    """`loadMissedMessages` goes on inside beyond what one answer on the bus holds."""
    client = await sign_in(admin)  # may send many
    room_id = (await client.call("createChannel", f"busy-{random_id()}", []))["rid"]
    for start in range(0, 250, 25):
        ids = []
        for number in range(start, start + 25):
            ids.append(client.next_id())
            message = {"_id": f"m{random_id()}", "rid": room_id, "msg": f"{number}"}
            call = {"msg": "method", "id": ids[-1], "method": "sendMessage", "params": [message]}
            await client.send(call)
        for call_id in ids:
            assert "error" not in await client.answer(call_id, 30.0)

    missed = await client.call("loadMissedMessages", room_id, PAST)

    assert [message["msg"] for message in missed] == [f"{number}" for number in range(250)]
    stranger = await sign_in(ana)
    group = await group_of(rest, admin)
    assert await stranger.call("loadMissedMessages", group["_id"], PAST) is False
