"""Conformance: rooms as a whole by REST: settings, discussions, lists, pruning, erasing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.rest import Rest, User
from tests.conformance.test_8_rest import (
    channel_of,
    group_of,
    name,
    refusal,
    refused_get,
    refused_post,
    said,
)
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

NOT_REQUIRED = "does not match any channel [error-room-not-found]"
NO_RIGHT = {
    "success": False,
    "error": "User does not have the permissions required for this action [error-unauthorized]",
    "errorType": "error-unauthorized",
}
DOORS = [("channels", "channel", "The channel"), ("groups", "group", "The private group")]


async def room_of(rest: Rest, user: User, door: str) -> dict[str, Any]:
    return await (channel_of if door == "channels" else group_of)(rest, user)


# -- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("door", "key", "word"), DOORS)
async def test_texts_of_a_room(rest: Rest, ana: User, door: str, key: str, word: str) -> None:
    """Answered under their own names; an empty one clears; one that is absent is refused."""
    room = await room_of(rest, ana, door)
    for verb, value in (
        ("setTopic", "topic"),
        ("setDescription", "description"),
        ("setPurpose", "purpose"),
        ("setAnnouncement", "announcement"),
    ):
        endpoint = f"{door}.{verb}"
        answer = await rest.post(endpoint, ana, roomId=room["_id"], **{value: f"a {value}"})
        assert answer == {value: f"a {value}", "success": True}
        assert await refused_post(rest, endpoint, ana, roomId=room["_id"]) == (
            f'The bodyParam "{value}" is required'
        )
        cleared = await rest.post(endpoint, ana, roomId=room["_id"], **{value: ""})
        assert cleared[value] == ""
    if door == "channels":
        assert (
            await refused_post(
                rest, "channels.setDescription", ana, roomId=room["_id"], description=""
            )
            == f"{word} description is the same as what it would be changed to."
        )
    after = (await rest.get(f"{door}.info", ana, roomId=room["_id"]))[key]
    assert after.get("topic") == ""


@pytest.mark.parametrize(("door", "key", "word"), DOORS)
async def test_switches_of_a_room(rest: Rest, ana: User, door: str, key: str, word: str) -> None:
    """Name, read-only, custom fields: the room after the change, and each refusal."""
    room = await room_of(rest, ana, door)
    target = {"roomId": room["_id"]}
    renamed = name("fresh")
    assert (await rest.post(f"{door}.rename", ana, **target, name=renamed))[key]["name"] == renamed
    assert await refused_post(rest, f"{door}.rename", ana, **target) == (
        'The bodyParam "name" is required'
    )
    assert await refused_post(rest, f"{door}.rename", ana, **target, name=renamed) == (
        f"{word} name is the same as what it would be renamed to."
    )
    subscription = await rest.get("subscriptions.getOne", ana, roomId=room["_id"])
    assert subscription["subscription"]["name"] == renamed

    answer = await rest.post(f"{door}.setReadOnly", ana, **target, readOnly=True)
    assert answer[key]["ro"] is True
    assert await refused_post(rest, f"{door}.setReadOnly", ana, **target, readOnly=True) == (
        f"{word} read only setting is the same as what it would be changed to."
    )
    assert await refused_post(rest, f"{door}.setReadOnly", ana, **target) == (
        'The bodyParam "readOnly" is required'
    )
    fields = {"customer_id": "7", "x-y": [1]}
    answer = await rest.post(f"{door}.setCustomFields", ana, **target, customFields=fields)
    assert answer[key]["customFields"] == fields
    for wrong in ({}, {"customFields": "x"}, {"customFields": None}):
        assert await refused_post(rest, f"{door}.setCustomFields", ana, **target, **wrong) == (
            'The bodyParam "customFields" is required with a type like object.'
        )
    body = await refusal(
        rest, "POST", f"{door}.setCustomFields", ana, body={**target, "customFields": {"a.b": 1}}
    )
    assert body["errorType"] == "invalid-params"


async def test_a_room_changes_its_type(rest: Rest, ana: User, bo: User) -> None:
    """The answer keeps the door's key; afterwards only the other door has it."""
    channel = await channel_of(rest, ana)
    target = {"roomId": channel["_id"]}
    assert await refused_post(rest, "channels.setType", ana, **target) == (
        'The bodyParam "type" is required'
    )
    assert await refused_post(rest, "channels.setType", ana, **target, type="c") == (
        "The channel type is the same as what it would be changed to."
    )
    answer = await rest.post("channels.setType", ana, **target, type="p")
    assert answer["channel"]["t"] == "p"
    assert NOT_REQUIRED in await refused_get(rest, "channels.info", ana, **target)
    assert (await rest.get("groups.info", ana, **target))["group"]["t"] == "p"
    assert await refused_post(rest, "groups.setType", ana, **target, type="p") == (
        "The private group type is the same as what it would be changed to."
    )
    assert "does not match any group" in await refused_get(rest, "groups.info", bo, **target)


async def test_defaults_and_join_codes(rest: Rest, ana: User, admin: User, bo: User) -> None:
    """The two exchanged codes; the join code never comes back."""
    channel = await channel_of(rest, ana)
    target = {"roomId": channel["_id"]}
    body = await refusal(rest, "POST", "channels.setDefault", admin, body=target)
    assert body["errorType"] == "error-channels-setdefault-is-same"
    body = await refusal(
        rest, "POST", "channels.setDefault", admin, body={**target, "default": False}
    )
    assert body["errorType"] == "error-channels-setdefault-missing-default-param"
    answer = await rest.post("channels.setDefault", admin, **target, default=True)
    assert answer["channel"]["default"] is True
    await rest.post("channels.setDefault", admin, **target, default=False)

    assert await refused_post(rest, "channels.setJoinCode", ana, **target) == (
        'The bodyParam "joinCode" is required'
    )
    answer = await rest.post("channels.setJoinCode", ana, **target, joinCode="sesame")
    assert answer["channel"]["joinCodeRequired"] is True
    assert "sesame" not in json.dumps(answer)
    assert await refused_post(rest, "channels.join", bo, **target, joinCode="x") == (
        "Invalid Room Password [error-code-invalid]"
    )
    await rest.post("channels.join", bo, **target, joinCode="sesame")
    seen = await rest.get("rooms.info", bo, **target)
    assert "sesame" not in json.dumps(seen)


@pytest.mark.parametrize(("door", "key", "word"), DOORS)
async def test_archiving(
    rest: Rest, ana: User, admin: User, door: str, key: str, word: str
) -> None:
    """On the room and on memberships; writing verbs refuse, `info` does not."""
    room = await room_of(rest, ana, door)
    target = {"roomId": room["_id"]}
    await rest.post(f"{door}.archive", ana, **target)
    assert (await rest.get(f"{door}.info", ana, **target))[key]["archived"] is True
    subscription = await rest.get("subscriptions.getOne", ana, **target)
    assert subscription["subscription"]["archived"] is True
    assert await refused_post(rest, f"{door}.setTopic", ana, **target, topic="x") == (
        f"{word}, {room['name']}, is archived [error-room-archived]"
    )
    if door == "channels":
        await rest.post("channels.unarchive", admin, **target)
        assert await refused_post(rest, "channels.unarchive", admin, **target) == (
            f"{word}, {room['name']}, is not archived"
        )


async def test_opening_and_closing(rest: Rest, ana: User, bo: User) -> None:
    """Each sentence, with its own small differences."""
    channel, group = await channel_of(rest, ana), await group_of(rest, ana)
    for room, door, word, to in (
        (channel, "channels", "The channel", "to"),
        (group, "groups", "The private group", "for"),
    ):
        target = {"roomId": room["_id"]}
        assert await refused_post(rest, f"{door}.open", ana, **target) == (
            f"{word}, {room['name']}, is already open {to} the sender"
        )
        await rest.post(f"{door}.close", ana, **target)
        assert await refused_post(rest, f"{door}.close", ana, **target) == (
            f"{word}, {room['name']}, is already closed to the sender"
        )
        await rest.post(f"{door}.open", ana, **target)
    assert await refused_post(rest, "channels.open", bo, roomId=channel["_id"]) == (
        f'The user/callee is not in the channel "{channel["name"]}".'
    )


async def test_many_settings_at_once(rest: Rest, ana: User, bo: User) -> None:
    """`rooms.saveRoomSettings` changes all or nothing."""
    group = await group_of(rest, ana, bo)
    room_id = group["_id"]
    answer = await rest.post(
        "rooms.saveRoomSettings",
        ana,
        rid=room_id,
        roomTopic="t",
        roomAnnouncement="a",
        readOnly=True,
        reactWhenReadOnly=True,
        systemMessages=["uj"],
        roomCustomFields={"k": 1},
        encrypted=True,
        favorite=True,
    )
    assert answer == {"rid": room_id, "success": True}
    room = (await rest.get("groups.info", ana, roomId=room_id))["group"]
    wanted = {
        "topic": "t",
        "announcement": "a",
        "ro": True,
        "reactWhenReadOnly": True,
        "sysMes": ["uj"],
        "customFields": {"k": 1},
        "encrypted": True,
    }
    assert wanted.items() <= room.items()
    assert (await rest.get("subscriptions.getOne", ana, roomId=room_id))["subscription"]["f"]
    error = await refused_post(
        rest, "rooms.saveRoomSettings", ana, rid=room_id, roomTopic="new", roomName="a b"
    )
    assert error == "a b is not a valid room name [error-invalid-room-name]"
    assert (await rest.get("groups.info", ana, roomId=room_id))["group"]["topic"] == "t"
    error = await refused_post(rest, "rooms.saveRoomSettings", bo, rid=room_id, roomTopic="x")
    assert error.endswith("[error-not-allowed]")
    assert "'rid'" in await refused_post(rest, "rooms.saveRoomSettings", ana, roomTopic="x")
    state = await rest.post("rooms.changeArchivationState", ana, rid=room_id, action="archive")
    assert state["result"] is True


# -- erasing and pruning ------------------------------------------------------------------------


@pytest.mark.parametrize(("door", "key", "word"), DOORS)
async def test_deleting_rooms(
    rest: Rest, ana: User, bo: User, door: str, key: str, word: str
) -> None:
    """By an owner, with everything in it; GENERAL stays; others are refused."""
    room = await room_of(rest, ana, door)
    await said(rest, ana, room, "hello")
    if door == "channels":
        await rest.post("channels.join", bo, roomId=room["_id"])
        error = await refused_post(rest, "channels.delete", bo, roomId=room["_id"])
        assert error.endswith("[error-not-allowed]")
    await rest.post(f"{door}.delete", ana, roomId=room["_id"])
    assert "error-room-not-found" in await refused_get(
        rest, f"{door}.info", ana, roomId=room["_id"]
    )
    ids = [entry["rid"] for entry in (await rest.get("subscriptions.get", ana))["update"]]
    assert room["_id"] not in ids


async def test_general_is_not_deleted(rest: Rest, admin: User) -> None:
    error = await refused_post(rest, "channels.delete", admin, roomId="GENERAL")
    assert error.endswith("[error-not-allowed]")
    assert await refused_post(rest, "rooms.delete", admin) == "The 'roomId' param is required"


async def test_cleaning_a_room(rest: Rest, ana: User, bo: User, admin: User) -> None:
    """Counted, remembered for those who were away; it needs dates and a right."""
    channel = await channel_of(rest, ana, bo)
    target = {"roomId": channel["_id"]}
    first = await said(rest, ana, channel, "one")
    await said(rest, bo, channel, "two")
    pinned = await said(rest, bo, channel, "three")
    await rest.post("chat.pinMessage", ana, messageId=pinned["_id"])
    period = {"oldest": "2000-01-01T00:00:00.000Z", "latest": "2100-01-01T00:00:00.000Z"}

    assert await refused_post(rest, "rooms.cleanHistory", admin, **target) == (
        'Body parameter "latest" is required.'
    )
    latest = {"latest": period["latest"]}
    assert await refused_post(rest, "rooms.cleanHistory", admin, **target, **latest) == (
        'Body parameter "oldest" is required.'
    )
    refused = await rest.ask(
        "POST", "/api/v1/rooms.cleanHistory", user=bo, body={**target, **period}
    )
    assert (refused.status, refused.body) == (403, NO_RIGHT)

    users = {"users": [bo.username], "excludePinned": True}
    answer = await rest.post("rooms.cleanHistory", admin, **target, **period, **users)
    assert answer == {"_id": channel["_id"], "count": 1, "success": True}
    changes = await rest.get(
        "chat.syncMessages", ana, **target, lastUpdate="2020-01-01T00:00:00.000Z"
    )
    assert len(changes["result"]["deleted"]) == 1
    limited = await rest.post("rooms.cleanHistory", admin, **target, **period, limit=1)
    assert limited["count"] == 1
    history = await rest.get("channels.history", ana, **target)
    assert first["_id"] not in [message["_id"] for message in history["messages"]]
    await rest.post("rooms.cleanHistory", admin, **target, **period)
    assert (await rest.get("channels.history", ana, **target))["messages"] == []
    assert (await rest.get("channels.info", ana, **target))["channel"]["msgs"] == 0


# -- discussions --------------------------------------------------------------------------------


async def test_discussions(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """Begun in a room, listed there, reached through it."""
    group = await group_of(rest, ana, bo)
    endpoint = "rooms.createDiscussion"
    for wrong, sentence in (
        ({"t_name": "x"}, 'Body parameter "prid" is required.'),
        ({"prid": group["_id"]}, 'Body parameter "t_name" is required.'),
        (
            {"prid": group["_id"], "t_name": "x", "users": "bo"},
            'Body parameter "users" must be an array.',
        ),
    ):
        assert await refused_post(rest, endpoint, ana, **wrong) == sentence
    made = (
        await rest.post(endpoint, ana, prid=group["_id"], t_name="Tea or coffee?", reply="tea")
    )["discussion"]
    assert {"prid": group["_id"], "fname": "Tea or coffee?", "t": "p"}.items() <= made.items()
    error = await refused_post(rest, endpoint, ana, prid=made["_id"], t_name="deeper")
    assert error.endswith("[error-nested-discussion]")
    error = await refused_post(rest, endpoint, cy, prid=group["_id"], t_name="x")
    assert error.endswith("[error-invalid-room]")

    for user in (ana, bo):  # bo is in the parent only
        answer = await rest.get("rooms.getDiscussions", user, roomId=group["_id"])
        assert [room["_id"] for room in answer["discussions"]] == [made["_id"]]
        assert (answer["count"], answer["offset"], answer["total"]) == (1, 0, 1)
        info = await rest.get("rooms.info", user, roomId=made["_id"])
        assert info["parent"]["_id"] == group["_id"]
    history = await rest.get("groups.history", bo, roomId=made["_id"])
    assert [message["msg"] for message in history["messages"]] == ["tea"]
    for endpoint in ("rooms.getDiscussions", "groups.info", "groups.history"):
        for room_id in (group["_id"], made["_id"]):
            error = await refused_get(rest, endpoint, cy, roomId=room_id)
            assert error.endswith("[error-room-not-found]"), endpoint
    history = await rest.get("groups.history", ana, roomId=group["_id"])
    (leading,) = [m for m in history["messages"] if m.get("t") == "discussion-created"]
    assert (leading["drid"], leading["msg"]) == (made["_id"], "Tea or coffee?")

    async def is_counted() -> bool:
        found = await rest.get("chat.getMessage", ana, msgId=leading["_id"])
        return bool(found["message"].get("dcount") == 1)

    await eventually(is_counted)


async def test_a_discussion_of_a_channel_is_a_channel(rest: Rest, ana: User) -> None:
    """So `channels.delete` works on it."""
    channel = await channel_of(rest, ana)
    body = {"prid": channel["_id"], "t_name": "talk"}
    made = (await rest.post("rooms.createDiscussion", ana, **body))["discussion"]
    assert made["t"] == "c"
    await rest.post("channels.delete", ana, roomId=made["_id"])
    answer = await rest.get("rooms.getDiscussions", ana, roomId=channel["_id"])
    assert (answer["discussions"], answer["total"]) == ([], 0)


# -- lists --------------------------------------------------------------------------------------


async def test_rooms_for_administrators(rest: Rest, ana: User, admin: User) -> None:
    """By a part of a name and by type; others may not."""
    group = await group_of(rest, ana)
    answer = await rest.get("rooms.adminRooms", admin, filter=group["name"])
    assert [room["_id"] for room in answer["rooms"]] == [group["_id"]]
    assert (answer["count"], answer["offset"], answer["total"]) == (1, 0, 1)
    answer = await rest.get("rooms.adminRooms", admin, filter=group["name"], types="c")
    assert answer["rooms"] == []
    room = await rest.get("rooms.adminRooms.getRoom", admin, rid=group["_id"])
    assert (room["_id"], room["name"]) == (group["_id"], group["name"])
    error = await refused_get(rest, "rooms.adminRooms", ana)
    assert error.endswith("[error-not-authorized]")
    error = await refused_get(rest, "rooms.adminRooms.getRoom", ana, rid=group["_id"])
    assert error.endswith("[error-not-authorized]")


async def test_completions(rest: Rest, ana: User, admin: User) -> None:
    """Rooms whose name holds what was typed."""
    group = await group_of(rest, ana)
    selector = json.dumps({"name": group["name"][-6:]})
    endpoint = "rooms.autocomplete.channelAndPrivate"
    for one in (endpoint, f"{endpoint}.withPagination"):
        answer = await rest.get(one, ana, selector=selector)
        assert [item["_id"] for item in answer["items"]] == [group["_id"]]
        assert await refused_get(rest, one, ana) == "The 'selector' param is required"
        assert (await rest.get(one, admin, selector=selector))["items"] == []
    answer = await rest.get("rooms.autocomplete.adminRooms", admin, selector=selector)
    assert [item["_id"] for item in answer["items"]] == [group["_id"]]
    owned = await rest.get("rooms.autocomplete.availableForTeams", ana, name=group["name"])
    assert [item["_id"] for item in owned["items"]] == [group["_id"]]


async def test_names(rest: Rest, ana: User, bo: User) -> None:
    """Whether one is taken, seen or not."""
    group = await group_of(rest, ana)
    for taken, exists in ((group["name"], True), (f"free-{random_id()}", False)):
        assert (await rest.get("rooms.nameExists", bo, roomName=taken))["exists"] is exists
    assert "'roomName'" in await refused_get(rest, "rooms.nameExists", bo)


async def test_a_room_that_is_not_seen(rest: Rest, ana: User, bo: User) -> None:
    """`rooms.info` has its own words, the same for a room that does not exist."""
    group = await group_of(rest, ana)
    for query in (
        {"roomId": group["_id"]},
        {"roomName": group["name"]},
        {"roomId": "nowhere"},
    ):
        body = await refusal(rest, "GET", "rooms.info", bo, query=query)
        assert body == {"success": False, "error": "not-allowed", "errorType": "Not Allowed"}
    body = await refusal(rest, "GET", "rooms.info", bo)
    assert body["errorType"] == "error-roomid-param-not-provided"
    for own in ({"roomId": group["_id"]}, {"roomName": group["name"]}):
        assert (await rest.get("rooms.info", ana, **own))["room"]["_id"] == group["_id"]


async def test_the_directory(rest: Rest, ana: User, bo: User, admin: User) -> None:
    """Channels and people, by either form of the parameters."""
    channel = await channel_of(rest, ana)
    query = json.dumps({"text": channel["name"], "type": "channels"})
    for wanted in ({"query": query}, {"text": channel["name"], "type": "channels"}):
        answer = await rest.get("directory", bo, **wanted)
        (room,) = answer["result"]
        assert {"_id", "name", "fname", "t", "ts", "usersCount", "default"} <= room.keys()
        assert (answer["count"], answer["offset"], answer["total"]) == (1, 0, 1)
    for viewer, sees in ((bo, False), (admin, True)):
        answer = await rest.get("directory", viewer, text=ana.username, type="users")
        (user,) = answer["result"]
        assert (user["_id"], "emails" in user) == (ana.id, sees)
        assert {"username", "name", "createdAt"} <= user.keys()
    assert (await rest.get("directory", bo, type="teams"))["result"] == []
    two = json.dumps({"name": 1, "usersCount": -1})
    assert await refused_get(rest, "directory", bo, type="channels", sort=two) == (
        'This method support only one "sort" parameter'
    )
    wrong = json.dumps({"text": 7, "type": "users"})
    assert await refused_get(rest, "directory", bo, query=wrong) == "Please verify the parameters"
    assert "[invalid-params]" in await refused_get(rest, "directory", bo, type="planets")
    sort = json.dumps({"usersCount": -1})
    found = await rest.get("directory", bo, type="channels", sort=sort, count=2)
    counts = [room["usersCount"] for room in found["result"]]
    assert counts == sorted(counts, reverse=True)


async def test_messages_as_a_list(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """By query, mentions, stars and pins; a group's only for its members."""
    group = await group_of(rest, ana, bo)
    target = {"roomId": group["_id"]}
    first = await said(rest, ana, group, "first")
    second = await said(rest, bo, group, f"hi @{ana.username}")
    await rest.post("chat.starMessage", ana, messageId=first["_id"])
    await rest.post("chat.pinMessage", ana, messageId=second["_id"])

    async def ids(**wanted: Any) -> list[str]:
        answer = await rest.get("groups.messages", ana, **target, **wanted)
        assert answer["total"] >= answer["count"] == len(answer["messages"])
        return [message["_id"] for message in answer["messages"] if "t" not in message]

    assert await ids() == [second["_id"], first["_id"]]
    assert await ids(sort=json.dumps({"ts": 1})) == [first["_id"], second["_id"]]
    assert await ids(query=json.dumps({"u.username": bo.username})) == [second["_id"]]
    assert await ids(query=json.dumps({"_id": first["_id"]})) == [first["_id"]]
    assert await ids(query=json.dumps({"msg": {"$regex": "FIR", "$options": "i"}})) == [
        first["_id"]
    ]
    assert await ids(query=json.dumps({"ts": first["ts"]})) == [first["_id"]]
    assert await ids(mentionIds=f"{ana.id},x") == [second["_id"]]
    assert await ids(starredIds=ana.id) == [first["_id"]]
    assert await ids(pinned="true") == [second["_id"]]
    for wrong in ({"$where": "1"}, {"services": 1}, {"u.username": {"$ne": "x"}}):
        error = await refused_get(rest, "groups.messages", ana, **target, query=json.dumps(wrong))
        assert error.endswith("[error-invalid-query]")
    assert "error-room-not-found" in await refused_get(rest, "groups.messages", cy, **target)


async def test_no_message_tells_of_a_new_room(rest: Rest, ana: User) -> None:
    """Clients count the messages of a room that was just made."""
    channel = await channel_of(rest, ana)
    history = await rest.get("channels.history", ana, roomId=channel["_id"])
    assert history["messages"] == []
    for wrong in ("x", "2020-13-01"):
        error = await refused_get(
            rest, "channels.history", ana, roomId=channel["_id"], latest=wrong
        )
        assert error.endswith("[invalid-params]")


async def test_what_changed(rest: Rest, ana: User) -> None:
    """`rooms.get` and `subscriptions.get` with and without a date."""
    group = await group_of(rest, ana)
    for endpoint, key, code in (
        ("rooms.get", "_id", "error-updatedSince-param-invalid"),
        ("subscriptions.get", "rid", "error-roomId-param-invalid"),
    ):
        answer = await rest.get(endpoint, ana)
        assert group["_id"] in [entry[key] for entry in answer["update"]]
        assert answer["remove"] == []
        later = await rest.get(endpoint, ana, updatedSince="2100-01-01T00:00:00.000Z")
        assert (later["update"], later["remove"]) == ([], [])
        error = await refused_get(rest, endpoint, ana, updatedSince="soon")
        assert error.endswith(f"must be a valid date. [{code}]")
    nothing = await rest.get("subscriptions.getOne", ana, roomId="nowhere")
    assert nothing["subscription"] is None
    error = await refused_post(rest, "subscriptions.read", ana, rid="nowhere")
    assert error.endswith("[error-invalid-subscription]")
    await rest.post("subscriptions.read", ana, roomId=group["_id"], readThreads=True)
