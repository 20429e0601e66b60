"""Conformance: the REST endpoints that clients need first, one test each, over HTTP."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.rest import PASSWORD, Answer, Rest, User

pytestmark = pytest.mark.conformance

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()
UNAUTHORIZED = {
    "success": False,
    "status": "error",
    "error": "Unauthorized",
    "message": "Unauthorized",
}
NOT_SIGNED_IN = {
    "success": False,
    "status": "error",
    "error": "You must be logged in to do this.",
    "message": "You must be logged in to do this.",
}


def name(prefix: str = "room") -> str:
    """A name that nothing has yet."""
    return f"{prefix}-{random_id(10)}"


async def refusal(
    rest: Rest, method: str, endpoint: str, user: User | None = None, **options: Any
) -> dict[str, Any]:
    """The body of a call that has to be answered with 400."""
    answer = await rest.ask(method, f"/api/v1/{endpoint}", user=user, **options)
    assert answer.status == 400, answer
    assert answer.body["success"] is False
    return answer.body


async def refused_post(rest: Rest, endpoint: str, user: User | None = None, **body: Any) -> str:
    """The `error` of a POST that has to be refused."""
    error: str = (await refusal(rest, "POST", endpoint, user, body=body)).get("error", "")
    return error


async def refused_get(rest: Rest, endpoint: str, user: User | None = None, **query: Any) -> str:
    """The `error` of a GET that has to be refused."""
    error: str = (await refusal(rest, "GET", endpoint, user, query=query)).get("error", "")
    return error


async def channel_of(rest: Rest, user: User, *members: User) -> dict[str, Any]:
    body = {"name": name(), "members": [member.username for member in members]}
    room: dict[str, Any] = (await rest.post("channels.create", user, **body))["channel"]
    return room


async def group_of(rest: Rest, user: User, *members: User) -> dict[str, Any]:
    body = {"name": name(), "members": [member.username for member in members]}
    room: dict[str, Any] = (await rest.post("groups.create", user, **body))["group"]
    return room


async def said(rest: Rest, user: User, room: dict[str, Any], text: str) -> dict[str, Any]:
    sent = await rest.post("chat.postMessage", user, roomId=room["_id"], text=text)
    message: dict[str, Any] = sent["message"]
    return message


# -- server and sign-in -------------------------------------------------------------------------


async def test_info(rest: Rest, admin: User, ana: User) -> None:
    """Short for strangers, whatever token they show; more for who may see statistics."""
    short = await rest.ask("GET", "/api/info")
    stale = User("nobody", "nobody", "", "undefined")

    assert short.body.keys() == {"version", "minimumClientVersions", "success"}
    assert re.fullmatch(r"\d+\.\d+", short.body["version"])
    assert short.headers["Content-Type"] == "application/json"
    assert short.headers["Cache-Control"] == "no-store"
    assert short.headers["Pragma"] == "no-cache"
    assert short.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Request-Id" in {key.title() for key in short.headers}
    for path in ("/api/v1/info", "/api/v1/info/"):
        assert (await rest.ask("GET", path)).body == short.body
    for user in (ana, stale):
        assert (await rest.ask("GET", "/api/info", user=user)).body == short.body
    full = await rest.get("info", admin)
    assert re.fullmatch(r"\d+\.\d+\.\d+", full["version"])
    assert full["info"].keys() >= {"version", "build", "commit", "marketplaceApiVersion"}


async def test_login(rest: Rest, ana: User) -> None:
    """By name, address, wrapped, digest and token; a new token each time but for the last."""
    address = f"{ana.username}@example.org"
    digest = {"digest": DIGEST, "algorithm": "sha-256"}
    seen = {ana.token}
    for body in (
        {"user": ana.username, "password": PASSWORD},
        {"user": ana.username.upper(), "password": PASSWORD},
        {"user": address, "password": PASSWORD},
        {"user": {"username": ana.username}, "password": PASSWORD},
        {"user": {"email": address}, "password": digest},
        {"username": ana.username, "password": PASSWORD, "user": None},
        {"email": address, "password": PASSWORD},
        {"username": ana.username, "email": "else@example.org", "password": PASSWORD},
        {"user": ana.username, "hashed": DIGEST},
    ):
        answer = (await rest.ask("POST", "/api/v1/login", body=body)).body
        assert (answer["status"], answer["success"]) == ("success", True)
        assert answer["data"]["userId"] == answer["data"]["me"]["_id"] == ana.id
        assert answer["data"]["authToken"] not in seen
        seen.add(answer["data"]["authToken"])
    resumed = await rest.post("login", resume=ana.token)
    assert resumed["data"]["authToken"] == ana.token


async def test_login_refused(rest: Rest, ana: User) -> None:
    """Wrong password, unknown user and nobody at all: the same answer."""
    for body in (
        {"user": ana.username, "password": "wrong"},
        {"user": name("nobody"), "password": "wrong"},
        {"user": {"$ne": ""}, "password": PASSWORD},
        {"user": ana.username},
        {"password": PASSWORD},
        {},
    ):
        answer = await rest.ask("POST", "/api/v1/login", body=body)
        assert (answer.status, answer.body) == (401, UNAUTHORIZED)
    stale = await rest.ask("POST", "/api/v1/login", body={"resume": random_id(43)})
    assert stale.status == 401
    assert isinstance(stale.body["error"], str)
    assert stale.body["message"].startswith("You've been logged out by the server.")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout(rest: Rest, ana: User, method: str) -> None:
    """The token is gone; another one of the same user stays."""
    other = await rest.login(ana.username, PASSWORD)
    answer = await rest.ask(method, "/api/v1/logout", user=ana)

    assert answer.body == {
        "status": "success",
        "success": True,
        "data": {"message": "You've been logged out!"},
    }
    for endpoint in ("me", "rooms.get", "logout"):
        gone = await rest.ask("GET", f"/api/v1/{endpoint}", user=ana)
        assert (gone.status, gone.body) == (401, NOT_SIGNED_IN)
    assert (await rest.post("login", resume=other.token))["data"]["userId"] == ana.id


async def test_me(rest: Rest, ana: User, bo: User) -> None:
    """What clients read of themselves, and nothing secret. 401 for any other pair."""
    me = await rest.get("me", ana)

    assert (me["_id"], me["username"], me["active"]) == (ana.id, ana.username, True)
    assert me["emails"] == [{"address": f"{ana.username}@example.org", "verified": False}]
    assert (me["roles"], me["type"], me["isOAuthUser"]) == (["user"], "user", False)
    assert me["services"] == {"password": {"exists": True}}
    assert me["settings"]["profile"] == {}
    assert me["settings"]["preferences"].items() >= {"idleTimeLimit": 300}.items()
    assert len(me["settings"]["preferences"]) >= 35
    assert ISO.fullmatch(me["_updatedAt"])
    assert None not in me.values()
    for user in (None, User(ana.id, "", "", "x"), User(bo.id, "", "", ana.token)):
        answer = await rest.ask("GET", "/api/v1/me", user=user)
        assert (answer.status, answer.body) == (401, NOT_SIGNED_IN)


async def test_users_register(rest: Rest, ana: User) -> None:
    """One account per name and address; its user joins the default room."""
    username = name("reg").lower()
    account: dict[str, Any] = {
        "username": username,
        "name": "Reg",
        "email": f"{username}@example.org",
        "pass": PASSWORD,
    }
    made = (await rest.post("users.register", **account))["user"]

    assert (made["username"], made["name"], made["roles"]) == (username, "Reg", ["user"])
    assert "services" not in made
    other = {"username": name("reg").lower(), "email": f"{name('x')}@example.org"}
    for changed, error in (
        ({"email": other["email"]}, "Username is already in use"),
        ({"username": other["username"]}, "Email already exists. [403]"),
        ({**other, "email": "nowhere"}, "Invalid email [error-invalid-email]"),
        ({**other, "username": {"$ne": 1}}, "must be string [invalid-params]"),
        ({**other, "username": None}, "must have required property 'username' [invalid-params]"),
        ({**other, "pass": ""}, "must NOT have fewer than 1 characters [invalid-params]"),
    ):
        body: dict[str, Any] = {**account, **changed}
        assert await refused_post(rest, "users.register", **body) == error
    weak = await refusal(rest, "POST", "users.register", body={**account, **other, "pass": "short"})
    assert weak["errorType"] == "error-password-policy-not-met"
    signed_in = await refused_post(rest, "users.register", ana, **{**account, **other})
    assert signed_in == "Logged in users can not register again."


async def test_users_info(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Public fields for all, the rest for who may; oneself is seen whole."""
    for query in ({"userId": bo.id}, {"username": bo.username}, {"username": bo.username.upper()}):
        seen = (await rest.get("users.info", ana, **query))["user"]
        assert (seen["_id"], seen["canViewAllInfo"]) == (bo.id, False)
        assert not seen.keys() & {"emails", "roles", "services", "lastLogin", "createdAt"}
    for user in (admin, bo):
        seen = (await rest.get("users.info", user, userId=bo.id))["user"]
        assert (seen["canViewAllInfo"], seen["roles"]) == (True, ["user"])
        assert ISO.fullmatch(seen["lastLogin"])
        assert "services" not in seen
    own = await rest.get("users.info", bo, userId=bo.id, fields='{"userRooms":1}')
    assert [room["rid"] for room in own["user"]["rooms"]] == ["GENERAL"]
    assert own["user"]["username"] == bo.username
    for query, error in (
        ({"username": name("nobody")}, "User not found."),
        ({"email": f"{bo.username}@example.org"}, "User not found."),
        ({}, "Invalid search query."),
        ({"username[$ne]": ana.username}, "Invalid search query."),
    ):
        body = await refusal(rest, "GET", "users.info", ana, query=query)
        assert body == {"success": False, "error": error}


# -- rooms --------------------------------------------------------------------------------------


async def test_channels_create(rest: Rest, ana: User, bo: User) -> None:
    """The room as it is; names are unique at once; what is wrong is named."""
    taken = name()
    extra = {"description": "what for", "topic": "now"}
    made = await rest.post(
        "channels.create",
        ana,
        name=taken,
        members=[bo.username, bo.username.upper(), name("nobody")],
        readOnly=True,
        customFields={"colour": "red"},
        extraData=extra,
    )
    room = made["channel"]

    expected = {"name": taken, "fname": taken, "t": "c", "msgs": 0, "usersCount": 2, "ro": True}
    assert room.items() >= (expected | extra).items()
    assert room["customFields"] == {"colour": "red"}
    assert room["u"] == {"_id": ana.id, "username": ana.username}
    assert room.keys() >= {"_id", "ts", "_updatedAt", "sysMes", "default", "broadcast"}
    assert ISO.fullmatch(room["ts"])
    history = await rest.get("channels.history", ana, roomId=room["_id"])
    assert history["messages"] == []
    for door in ("channels.create", "groups.create"):
        again = await refusal(rest, "POST", door, ana, body={"name": taken})
        assert again["errorType"] == "error-duplicate-channel-name"
        assert again["error"].startswith(f"A channel with name '{taken}' exists")
    for body, error in (
        ({}, 'Param "name" is required'),
        ({"name": ""}, 'Param "name" is required'),
        ({"name": name(), "members": "bo"}, 'Param "members" must be an array if provided'),
        ({"name": name(), "customFields": 1}, 'Param "customFields" must be an object if provided'),
        ({"name": {"$ne": 1}}, "must be string [invalid-params]"),
        ({"name": name(), "members": [{"$ne": 1}]}, "must be string [invalid-params]"),
        ({"name": "a b"}, "a b is not a valid room name [error-invalid-room-name]"),
    ):
        assert await refused_post(rest, "channels.create", ana, **body) == error
    odd = await refusal(
        rest, "POST", "channels.create", ana, body={"name": name(), "customFields": {"$a": 1}}
    )
    assert odd["errorType"] == "invalid-params"


async def test_channels_list(rest: Rest, ana: User, bo: User) -> None:
    """Pages without hole or repeat; sorted, filtered and narrowed, or refused."""
    rooms = [await channel_of(rest, ana) for _ in range(3)]
    ids: list[str] = []
    total = 1
    while len(ids) < total:
        page = await rest.get("channels.list", bo, count=2, offset=len(ids))
        assert (page["offset"], page["count"]) == (len(ids), len(page["channels"]))
        total = page["total"]
        assert page["channels"], "a page before the end is not empty"
        ids += [room["_id"] for room in page["channels"]]
    assert len(set(ids)) == len(ids) == total
    assert {"GENERAL", *(room["_id"] for room in rooms)} <= set(ids)

    async def listed(**query: Any) -> list[str]:
        page = await rest.get("channels.list", bo, **query)
        return [room["name"] for room in page["channels"]]

    every = await listed(count=0)
    assert every == sorted(every)
    assert await listed(count=0, sort='{"name":-1}') == every[::-1]
    assert await listed(query=json.dumps({"name": rooms[0]["name"]})) == [rooms[0]["name"]]
    assert await listed(_id=rooms[1]["_id"]) == [rooms[1]["name"]]
    assert await listed(count="x", offset=-5) == every[:50]
    narrow = await rest.get("channels.list", bo, fields='{"name":1}', count=1)
    assert narrow["channels"][0].keys() == {"_id", "name"}
    for key, value in (
        ("sort", "name"),
        ("sort", '{"name":"$gt"}'),
        ("query", "x"),
        ("query", '{"$where":"1"}'),
        ("query", '{"name":{"$gt":""}}'),
        ("fields", '{"name":{"$slice":1}}'),
    ):
        error = await refused_get(rest, "channels.list", bo, **{key: value})
        assert error == f'Invalid {key} parameter provided: "{value}" [error-invalid-{key}]'


async def test_channels_info(rest: Rest, ana: User, bo: User) -> None:
    """By id or name, for everybody; a group is not found by this door."""
    room, group = await channel_of(rest, ana), await group_of(rest, ana)
    by_id = await rest.get("channels.info", bo, roomId=room["_id"])
    by_name = await rest.get("channels.info", bo, roomName=room["name"])
    both = await rest.get("channels.info", bo, roomId=room["_id"], roomName=group["name"])

    assert by_id == by_name == both
    assert by_id["channel"]["_id"] == room["_id"]
    assert await refused_get(rest, "channels.info", ana) == (
        'The parameter "roomId" or "roomName" is required [error-roomid-param-not-provided]'
    )
    for query in ({"roomId": "nope"}, {"roomName": "nope"}, {"roomId": group["_id"]}):
        assert await refused_get(rest, "channels.info", ana, **query) == (
            'The required "roomId" or "roomName" param provided does not match any channel'
            " [error-room-not-found]"
        )


async def test_channels_join(rest: Rest, ana: User, bo: User) -> None:
    """Once; joining again changes nothing; groups cannot be joined."""
    room, group = await channel_of(rest, ana), await group_of(rest, ana)
    joined = (await rest.post("channels.join", bo, roomId=room["_id"]))["channel"]
    again = (await rest.post("channels.join", bo, roomName=room["name"]))["channel"]

    assert (joined["usersCount"], again["usersCount"]) == (2, 2)
    assert (joined["msgs"], again["msgs"]) == (1, 1)
    for body, code in (
        ({}, "error-roomid-param-not-provided"),
        ({"roomId": "nope"}, "error-room-not-found"),
        ({"roomId": group["_id"]}, "error-room-not-found"),
        ({"roomId": {"$ne": 1}}, "invalid-params"),
        ({"roomId": room["_id"], "joinCode": {"$ne": 1}}, "invalid-params"),
    ):
        refused = await refusal(rest, "POST", "channels.join", bo, body=body)
        assert refused["errorType"] == code


async def test_channels_history(rest: Rest, ana: User, bo: User) -> None:
    """Newest first, twenty unless asked, between dates; pages end and repeat nothing."""
    room = await channel_of(rest, ana, bo)
    messages = [await said(rest, ana, room, f"m{index}") for index in range(25)]
    texts = [message["msg"] for message in reversed(messages)]

    async def found(**query: Any) -> list[str]:
        answer = await rest.get("channels.history", bo, roomId=room["_id"], **query)
        return [message["msg"] for message in answer["messages"]]

    assert await found() == texts[:20]
    assert await found(count=0) == texts
    assert await found(count=4, offset=3) == texts[3:7]
    assert await found(count=10, offset=25) == []
    middle = messages[10]["ts"]
    assert await found(latest=middle) == texts[15:]
    assert await found(latest=middle, inclusive="True") == texts[14:]
    assert await found(oldest=middle) == texts[:14]
    unread = await rest.get("channels.history", bo, roomId=room["_id"], count=5, unreads="true")
    assert unread["firstUnread"]["msg"] == "m0"
    assert unread["unreadNotLoaded"] == 20
    for query in ({"latest": "soon"}, {"inclusive": "maybe"}, {"unreads": "$ne"}):
        refused = await refusal(
            rest, "GET", "channels.history", bo, query={"roomId": room["_id"], **query}
        )
        assert refused["errorType"] == "invalid-params"


async def test_channels_members(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """In pages, by username; filtered by a literal text or by status."""
    room = await channel_of(rest, ana, bo, cy)
    people = sorted(user.username for user in (ana, bo, cy))

    async def found(**query: Any) -> tuple[list[str], int]:
        page = await rest.get("channels.members", ana, roomId=room["_id"], **query)
        assert page["count"] == len(page["members"])
        return [member["username"] for member in page["members"]], page["total"]

    assert await found() == (people, 3)
    assert await found(count=1, offset=1) == (people[1:2], 3)
    assert await found(sort='{"username":-1}') == (people[::-1], 3)
    assert await found(filter=bo.username) == ([bo.username], 1)
    assert await found(filter=".*") == ([], 0)
    assert await found(**{"status[]": "offline"}) == (people, 3)
    assert await found(**{"status[]": "busy"}) == ([], 0)
    page = await rest.get("channels.members", ana, roomId=room["_id"])
    owner = next(member for member in page["members"] if member["_id"] == ana.id)
    assert owner.items() >= {"name": ana.username.title(), "roles": ["owner"]}.items()


async def test_groups_create(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """For members only: a stranger cannot tell it from a group that does not exist."""
    group = await group_of(rest, ana, bo)
    await said(rest, ana, group, "secret")

    assert (group["t"], group["usersCount"]) == ("p", 2)
    assert (await rest.get("groups.info", bo, roomId=group["_id"]))["group"]["_id"] == group["_id"]
    assert await refused_post(rest, "groups.create", ana) == 'Body param "name" is required'
    for verb in ("info", "history", "messages", "members", "roles", "moderators", "counters"):
        for selector in ({"roomId": group["_id"]}, {"roomName": group["name"]}):
            hidden = await refusal(rest, "GET", f"groups.{verb}", cy, query=selector)
            unknown = await refusal(rest, "GET", f"groups.{verb}", cy, query={"roomId": "nope"})
            assert hidden == unknown
            assert hidden["errorType"] == "error-room-not-found"
            await refusal(rest, "GET", f"channels.{verb}", cy, query=selector)
    assert (await rest.get("groups.list", cy))["groups"] == []
    assert (await rest.get("groups.list", bo))["groups"][0]["_id"] == group["_id"]


async def test_im_create(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """The same room for both, by either name of the endpoint, in any case."""
    one = (await rest.post("im.create", ana, username=bo.username))["room"]
    two = (await rest.post("dm.create", bo, username=ana.username.upper()))["room"]

    assert one["_id"] == one["rid"] == two["_id"]
    assert one["t"] == "d"
    assert one["usernames"] == sorted([ana.username, bo.username])
    listed = await rest.post("im.create", ana, usernames=[bo.username, cy.username])
    texts = await rest.post("im.create", cy, usernames=f"{ana.username}, {bo.username}")
    assert listed["room"]["_id"] == texts["room"]["_id"] != one["_id"]
    many = [name("u") for _ in range(12)]
    for body, code in (
        ({}, "error-room-param-not-provided"),
        ({"username": name("nobody")}, "error-invalid-user"),
        ({"usernames": many}, "error-direct-message-max-user-exceeded"),
        ({"username": {"$ne": 1}}, "invalid-params"),
        ({"usernames": {"$ne": 1}}, "invalid-params"),
    ):
        refused = await refusal(rest, "POST", "im.create", ana, body=body)
        assert refused["errorType"] == code


# -- messages -----------------------------------------------------------------------------------


async def test_chat_post_message(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """To whatever names a room or a person; the answer names it as it was named."""
    room, group = await channel_of(rest, ana), await group_of(rest, ana)
    for target in (room["_id"], room["name"], f"#{room['name']}"):
        sent = await rest.post("chat.postMessage", bo, channel=target, text="  a\n b  c ")
        assert (sent["channel"], sent["message"]["msg"]) == (target, "a\n b  c")
        assert sent["message"]["rid"] == room["_id"]
        assert ISO.fullmatch(sent["message"]["ts"])
        written = datetime.fromisoformat(sent["message"]["ts"])
        assert sent["ts"] == round(written.timestamp() * 1000)
    direct = await rest.post("chat.postMessage", ana, channel=f"@{bo.username}", text="hi")
    by_id = await rest.post("chat.postMessage", ana, roomId=bo.id, text="hi")
    assert direct["message"]["rid"] == by_id["message"]["rid"]
    assert (await rest.post("chat.postMessage", ana, roomId=room["_id"]))["message"]["msg"] == ""
    link = [{"title_link": "java\tscript:alert(1)"}]
    to_room = {"roomId": room["_id"]}
    for body, error in (
        ({"text": "x"}, "[invalid-channel]"),
        ({"channel": "#nope", "text": "x"}, "[invalid-channel]"),
        ({"channel": "@nope", "text": "x"}, "[invalid-channel]"),
        ({**to_room, "text": "x" * 5001}, "error-message-size-exceeded"),
        ({**to_room, "attachments": [{"text": "x" * 5001}]}, "error-message-size-exceeded"),
        ({**to_room, "attachments": link}, 'must match format "uri" [invalid-params]'),
        ({**to_room, "attachments": {"$ne": 1}}, "must be array [invalid-params]"),
        ({**to_room, "text": {"$ne": 1}}, "must be string [invalid-params]"),
        ({"roomId": {"$ne": 1}, "text": "x"}, "must be array [invalid-params]"),
        ({**to_room, "text": "x", "alias": "boss"}, "Not enough permission [error-not-allowed]"),
    ):
        assert await refused_post(rest, "chat.postMessage", ana, **body) == error
    for target in (group["_id"], f"#{group['name']}"):
        error = await refused_post(rest, "chat.postMessage", cy, channel=target, text="x")
        assert error == "[invalid-channel]"
    history = await rest.get("groups.history", ana, roomId=group["_id"])
    assert history["messages"] == []


async def test_chat_send_message(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """With the client's own id once, however often; never as the system or as somebody else."""
    room = await group_of(rest, ana, bo)
    message = {"_id": random_id(6), "rid": room["_id"], "msg": "once"}
    first = await rest.post("chat.sendMessage", ana, message=message)
    again = await rest.post("chat.sendMessage", ana, message={**message, "msg": "twice"})

    assert again == first
    assert first["message"].items() >= message.items()
    forged = {**message, "_id": random_id(), "u": {"_id": bo.id, "username": bo.username}}
    sent = (await rest.post("chat.sendMessage", ana, message=forged))["message"]
    assert sent["u"]["_id"] == ana.id
    late = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    to_room = {"rid": room["_id"], "msg": "x"}
    for user, bad, code in (
        (bo, message, "error-invalid-message-id"),
        (cy, to_room, "error-not-allowed"),
        (ana, {"msg": "x"}, "invalid-params"),
        (ana, "text", "invalid-params"),
        (ana, None, "invalid-params"),
        (ana, {"rid": "nope", "msg": "x"}, "error-invalid-room"),
        (ana, {**to_room, "t": "uj"}, "error-not-allowed"),
        (ana, {**to_room, "ts": late}, "error-message-ts-out-of-sync"),
        (ana, {**to_room, "_id": {"$ne": 1}}, "invalid-params"),
        (ana, {**to_room, "rid": {"$ne": 1}}, "invalid-params"),
        (ana, {**to_room, "tmid": "nope"}, "error-invalid-message"),
    ):
        refused = await refusal(rest, "POST", "chat.sendMessage", user, body={"message": bad})
        assert refused["errorType"] == code
    history = await rest.get("groups.history", ana, roomId=room["_id"])
    assert [one["msg"] for one in history["messages"]] == ["once", "once"]


async def test_chat_update(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """One's own message, named together with its room."""
    room = await group_of(rest, ana, bo)
    message = await said(rest, ana, room, "draft")
    where = {"roomId": room["_id"], "msgId": message["_id"]}
    edited = (await rest.post("chat.update", ana, **where, text="final"))["message"]

    assert (edited["_id"], edited["msg"], edited["ts"]) == (message["_id"], "final", message["ts"])
    assert edited["editedBy"] == {"_id": ana.id, "username": ana.username}
    assert ISO.fullmatch(edited["editedAt"])
    no_message = 'No message found with the id of "{}".'
    for user, changed, error in (
        (bo, {}, "Message editing not allowed [error-action-not-allowed]"),
        (cy, {}, no_message.format(message["_id"])),
        (ana, {"msgId": "nope"}, no_message.format("nope")),
        (
            ana,
            {"roomId": "GENERAL"},
            "The room id provided does not match where the message is from.",
        ),
        (ana, {"msgId": None}, "must have required property 'msgId' [invalid-params]"),
        (ana, {"msgId": {"$ne": 1}}, "must be string [invalid-params]"),
        (ana, {"text": {"$ne": 1}}, "must be string [invalid-params]"),
    ):
        body = {**where, "text": "spoiled", **changed}
        assert await refused_post(rest, "chat.update", user, **body) == error
    stored = await rest.get("chat.getMessage", bo, msgId=message["_id"])
    assert stored["message"]["msg"] == "final"


async def test_chat_delete(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """One's own; others' only by who may. Then it is gone."""
    room = await group_of(rest, ana, bo)
    own, other = await said(rest, bo, room, "own"), await said(rest, ana, room, "other")
    gone = await rest.post("chat.delete", bo, roomId=room["_id"], msgId=own["_id"])

    assert gone["_id"] == own["_id"]
    assert gone["ts"].isdigit()
    assert gone["message"].items() >= {"_id": own["_id"], "rid": room["_id"]}.items()
    no_message = 'No message found with the id of "{}".'
    where = {"roomId": room["_id"], "msgId": other["_id"]}
    for user, changed, error in (
        (bo, {"msgId": own["_id"]}, no_message.format(own["_id"])),
        (cy, {}, no_message.format(other["_id"])),
        (bo, {}, "Not allowed [error-action-not-allowed]"),
        (
            bo,
            {"asUser": True},
            'Unauthorized. You must have the permission "force-delete-message" to delete'
            " other's message as them.",
        ),
        (bo, {"roomId": "x"}, "The room id provided does not match where the message is from."),
        (bo, {"msgId": {"$ne": 1}}, "must be string [invalid-params]"),
    ):
        assert await refused_post(rest, "chat.delete", user, **{**where, **changed}) == error
    history = await rest.get("groups.history", ana, roomId=room["_id"])
    assert [message["_id"] for message in history["messages"]] == [other["_id"]]
    assert (await rest.post("chat.delete", ana, **where, asUser=True))["_id"] == other["_id"]


# -- what a client keeps ------------------------------------------------------------------------


async def test_rooms_and_subscriptions_get(rest: Rest, ana: User, bo: User) -> None:
    """The same rooms in both; what changed since; what was left."""
    room = await channel_of(rest, ana, bo)
    before = datetime.now(UTC).isoformat()
    rooms = await rest.get("rooms.get", bo)
    subscriptions = await rest.get("subscriptions.get", bo)

    assert rooms["remove"] == subscriptions["remove"] == []
    ids = {one["_id"] for one in rooms["update"]}
    assert ids == {one["rid"] for one in subscriptions["update"]} == {"GENERAL", room["_id"]}
    for one in subscriptions["update"]:
        assert one.keys() >= {"open", "alert", "unread", "userMentions", "groupMentions", "ls"}
        assert one["u"]["_id"] == bo.id
        assert one["roles"] == []
    mine = (await rest.get("subscriptions.getOne", bo, roomId=room["_id"]))["subscription"]
    assert mine in subscriptions["update"]
    none = await rest.get("subscriptions.getOne", bo, roomId="nope")
    assert none == {"subscription": None, "success": True}
    await rest.post("channels.leave", bo, roomId=room["_id"])
    changed = await rest.get("rooms.get", bo, updatedSince=before)
    left = await rest.get("subscriptions.get", bo, updatedSince=before)
    assert [one["_id"] for one in changed["remove"]] == [room["_id"]]
    assert [one["_id"] for one in left["remove"]] == [mine["_id"]]
    assert await refused_get(rest, "rooms.get", bo, updatedSince="x") == (
        'The "updatedSince" query parameter must be a valid date.'
        " [error-updatedSince-param-invalid]"
    )
    assert await refused_get(rest, "subscriptions.get", bo, updatedSince="x") == (
        'The "lastUpdate" query parameter must be a valid date. [error-roomId-param-invalid]'
    )


async def method_call(
    rest: Rest, user: User | None, method: str, *params: Any, door: str = "method.call/x"
) -> dict[str, Any]:
    """The `result` message of a method called by REST."""
    text = json.dumps({"msg": "method", "id": 1001, "method": method, "params": params})
    answer: Answer = await rest.ask("POST", f"/api/v1/{door}", user=user, body={"message": text})
    assert (answer.status, answer.body["success"]) == (200, True)
    result: dict[str, Any] = json.loads(answer.body["message"])
    assert (result["msg"], result["id"]) == ("result", 1001)
    return result


async def test_method_call(rest: Rest, ana: User, bo: User) -> None:
    """The body decides, not the path; errors are answers; nothing works that needs a socket."""
    group = await group_of(rest, ana)
    for path in ("rooms%2Fget", "rooms%252Fget", "rooms/get", "x"):
        found = await method_call(rest, ana, "rooms/get", {}, door=f"method.call/{path}")
        assert {room["_id"] for room in found["result"]} == {"GENERAL", group["_id"]}
    for user, method, params, code in (
        (ana, "nope", [], 404),
        (ana, "sendMessage", [{"rid": {"$ne": 1}, "msg": "x"}], 400),
        (bo, "getRoomIdByNameOrId", [group["name"]], "error-not-allowed"),
        (ana, "UserPresence:online", [], 400),
        (ana, "stream-notify-room", ["GENERAL/typing", ana.username, True], 400),
    ):
        error = (await method_call(rest, user, method, *params))["error"]
        assert (error["error"], error["errorType"]) == (code, "Meteor.Error")
    assert (await method_call(rest, bo, "loadHistory", group["_id"]))["result"] is False
    made = [await method_call(rest, ana, "createChannel", name()) for _ in range(2)]
    assert made[0]["result"]["rid"] != made[1]["result"]["rid"]
    again = await method_call(rest, ana, "createChannel", made[0]["result"]["name"])
    assert again["result"]["rid"] == made[0]["result"]["rid"], "a repeat is no second call"
    anonymous = "method.callAnon/public-settings%2Fget"
    settings = await method_call(rest, None, "public-settings/get", door=anonymous)
    assert {"Site_Name", "uniqueID"} <= {one["_id"] for one in settings["result"]}
    for text in ("{", "[]", '{"msg":"ping"}', '{"msg":"method","id":"1","method":"x","params":{}}'):
        error_text = await refused_post(rest, "method.call/x", ana, message=text)
        assert error_text == "Invalid method call"
    for odd in (None, {"$ne": 1}):
        refused = await refusal(rest, "POST", "method.call/x", ana, body={"message": odd})
        assert refused["errorType"] == "invalid-params"


async def test_settings_public(rest: Rest, ana: User) -> None:
    """Without signing in; by ids, in pages, in order; nothing private."""
    every = (await rest.get("settings.public", count=0))["settings"]
    ids = [one["_id"] for one in every]

    assert ids == sorted(ids)
    assert {"Site_Name", "uniqueID", "Message_MaxAllowedSize", "Threads_enabled"} <= set(ids)
    assert all(one.keys() <= {"_id", "value", "enterprise"} for one in every)
    page = await rest.get("settings.public", ana, count=3, offset=2)
    assert [one["_id"] for one in page["settings"]] == ids[2:5]
    assert (page["count"], page["offset"], page["total"]) == (3, 2, len(ids))
    wanted: tuple[dict[str, Any], ...] = (
        {"_id": "Site_Name,uniqueID"},
        {"query": '{"_id":{"$in":["Site_Name","uniqueID"]}}'},
    )
    for query in wanted:
        some = await rest.get("settings.public", **query)
        assert [one["_id"] for one in some["settings"]] == ["Site_Name", "uniqueID"]
    for value in ('{"value":{"$gt":""}}', '{"_id":{"$gt":""}}', '{"$where":"1"}', "["):
        refused = await refusal(rest, "GET", "settings.public", query={"query": value})
        assert refused["errorType"] == "error-invalid-query"


async def test_statistics(rest: Rest, admin: User, ana: User) -> None:
    """Counts, for who may see them."""
    found = await rest.get("statistics", admin)

    for key in ("totalUsers", "totalRooms", "totalChannels", "totalMessages"):
        assert isinstance(found[key], int)
    assert found["totalChannels"] >= 1
    assert found["uniqueId"]
    assert (await rest.ask("GET", "/api/v1/statistics", user=ana)).status == 403
