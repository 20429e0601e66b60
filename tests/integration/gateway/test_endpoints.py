"""Every family of endpoints, by HTTP, with the answers clients rely on."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from tests.integration.gateway.conftest import Site

pytestmark = pytest.mark.integration

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# -- server and sign-in -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/info", "/api/v1/info", "/api/v1/info/"])
async def test_info_is_short_for_strangers(site: Site, path: str) -> None:
    """Without a right two numbers of the version are told, at three addresses."""
    reply = await site.call("GET", path, headers={"X-Auth-Token": "undefined"})

    assert reply.status == 200
    assert reply.body == {
        "version": "8.0",
        "minimumClientVersions": {"desktop": "3.9.6", "mobile": "4.39.0"},
        "success": True,
    }


async def test_info_tells_administrators_more(site: Site) -> None:
    """Who holds view-statistics gets the whole version and `info`."""
    reply = await site.get("info", by="root")

    assert reply.body["version"] == "8.0.0"
    assert reply.body["info"]["version"] == "8.0.0"


async def test_json_headers(site: Site) -> None:
    """Every answer is exactly application/json, is not stored and names its request."""
    reply = await site.get("info")

    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["X-Request-Id"]
    assert "Set-Cookie" not in reply.headers


@pytest.mark.parametrize(
    "body",
    [
        {"user": "ana", "password": "secret"},
        {"user": {"username": "ana"}, "password": "secret"},
        {"user": {"email": "ana@example.org"}, "password": "secret"},
        {"user": "ana@example.org", "password": "secret"},
        {"username": "ana", "password": "secret"},
        {"email": "ana@example.org", "password": "secret"},
        {"username": "ana", "email": "other@example.org", "password": "secret"},
    ],
)
async def test_login_variants(site: Site, body: dict[str, Any]) -> None:
    """Both flags, the id, a token and the own document."""
    reply = await site.post("login", body)

    assert reply.status == 200
    assert reply.body["status"] == "success"
    assert reply.body["success"] is True
    data = reply.body["data"]
    assert data["userId"] == "id-ana"
    assert data["me"]["username"] == "ana"
    assert (
        await site.get(
            "me", headers={"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}
        )
    ).status == 200


async def test_login_by_form(site: Site) -> None:
    """A urlencoded body signs in too."""
    reply = await site.call(
        "POST",
        "/api/v1/login",
        data=b"user=ana&password=secret",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert reply.body["data"]["userId"] == "id-ana"


async def test_login_by_token_keeps_the_token(site: Site) -> None:
    """`resume` answers with the same token."""
    token = site.signed_in("ana")["X-Auth-Token"]
    reply = await site.post("login", {"resume": token})

    assert reply.body["data"]["authToken"] == token


async def test_login_refusals_tell_nothing(site: Site) -> None:
    """Unknown user, wrong password and nobody named: the same bytes."""
    replies = [
        await site.post("login", body)
        for body in (
            {"user": "ana", "password": "wrong"},
            {"user": "nobody", "password": "wrong"},
            {"password": "wrong"},
            {},
        )
    ]

    assert {reply.status for reply in replies} == {401}
    assert {reply.raw for reply in replies} == {replies[0].raw}
    assert replies[0].body == {
        "success": False,
        "status": "error",
        "error": "Unauthorized",
        "message": "Unauthorized",
    }


async def test_login_keeps_other_codes(site: Site) -> None:
    """A deactivated account says so, with its code as a text."""
    site.world.users["id-ana"]["active"] = False
    reply = await site.post("login", {"user": "ana", "password": "secret"})
    expired = await site.post("login", {"resume": "no-such-token"})

    assert reply.status == 401
    assert reply.body["error"] == "error-user-is-not-activated"
    assert expired.body["error"] == "403"
    assert "logged out by the server" in expired.body["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout_ends_the_token_at_once(site: Site, method: str) -> None:
    """The next call with it is 401, though the token was just remembered as good."""
    assert (await site.get("me", by="ana")).status == 200
    reply = await site.call(method, "/api/v1/logout", by="ana")

    assert reply.body["data"]["message"] == "You've been logged out!"
    assert reply.body["status"] == "success"
    assert (await site.get("me", by="ana")).status == 401


async def test_register_once(site: Site) -> None:
    """An account for oneself; its plain refusals."""
    body = {"username": "dee", "name": "Dee", "email": "dee@example.org", "pass": "secret"}
    made = await site.post("users.register", body)
    again = await site.post("users.register", body)
    address = await site.post("users.register", {**body, "username": "dee2"})
    signed_in = await site.post("users.register", body, by="ana")

    assert made.body["user"]["username"] == "dee"
    assert again.body == {"success": False, "error": "Username is already in use"}
    assert address.body["error"] == "Email already exists. [403]"
    assert address.body["errorType"] == "403"
    assert signed_in.body["error"] == "Logged in users can not register again."


# -- users and presence -------------------------------------------------------------------------


async def test_users_info(site: Site) -> None:
    """What is seen depends on the right; the refusals are plain sentences."""
    seen = await site.get("users.info?username=bo", by="ana")
    full = await site.get("users.info?userId=id-bo", by="root")
    unknown = await site.get("users.info?username=nobody", by="ana")
    nothing = await site.get("users.info", by="ana")

    assert "emails" not in seen.body["user"]
    assert seen.body["user"]["canViewAllInfo"] is False
    assert full.body["user"]["emails"]
    assert ISO.fullmatch(full.body["user"]["createdAt"])
    assert (unknown.status, unknown.body) == (
        400,
        {"success": False, "error": "User not found."},
    )
    assert nothing.body["error"] == "Invalid search query."


async def test_users_info_of_oneself(site: Site) -> None:
    """Everything is seen of oneself."""
    own = await site.get("users.info?username=ana", by="ana")

    assert own.body["user"]["emails"]
    assert own.body["user"]["canViewAllInfo"] is True


async def test_users_info_by_address(site: Site) -> None:
    """Whose address it is learns only who may see addresses."""
    path = "users.info?email=bo@example.org"
    outsider = await site.get(path, by="ana")
    nobody = await site.get("users.info?email=nobody@example.org", by="ana")

    assert (outsider.status, outsider.raw) == (nobody.status, nobody.raw)
    assert outsider.body["error"] == "User not found."
    for by in ("bo", "root"):
        assert (await site.get(path, by=by)).body["user"]["_id"] == "id-bo"


async def test_users_info_with_rooms(site: Site) -> None:
    """One's own rooms come when asked for; another's only with the right."""
    room = site.world.add_room("c", "town", "ana")
    own = await site.get("users.info?userId=id-ana&includeUserRooms=true", by="ana")
    other = await site.get('users.info?userId=id-ana&fields={"userRooms":1}', by="bo")
    administrator = await site.get('users.info?userId=id-ana&fields={"userRooms":1}', by="root")

    assert own.body["user"]["rooms"][0]["rid"] == room["_id"]
    assert "rooms" not in other.body["user"]
    assert other.body["user"]["username"] == "ana", "the rest is there as without it"
    assert administrator.body["user"]["rooms"][0]["rid"] == room["_id"]


async def test_users_list_with_the_query_of_old_clients(site: Site) -> None:
    """Unencoded JSON in the address works; what is not known is refused."""
    site.world.users["id-bo"]["status"] = "online"
    path = 'users.list?fields={"username":1}&query={"status":{"$ne":"offline"}}'
    reply = await site.get(path, by="ana")

    assert reply.body["users"] == [{"_id": "id-bo", "username": "bo"}]
    assert (reply.body["count"], reply.body["offset"], reply.body["total"]) == (1, 0, 1)
    for evil in ('{"$where":"1"}', '{"services.password":{"$regex":"a"}}', "[]", "x"):
        refused = await site.get(f"users.list?query={evil}", by="ana")
        assert refused.status == 400
        assert refused.body["errorType"] == "error-invalid-query"


async def test_users_create_and_delete(site: Site) -> None:
    """For administrators; a name that is taken keeps its text."""
    body = {"name": "Dee", "username": "dee", "email": "dee@example.org", "password": "pw"}
    made = await site.post("users.create", body, by="root")
    again = await site.post("users.create", body, by="root")
    refused = await site.post("users.create", {**body, "username": "eve"}, by="ana")
    short = await site.post("users.create", {"name": "x"}, by="root")
    gone = await site.post("users.delete", {"username": "dee"}, by="root")

    assert made.body["user"]["username"] == "dee"
    assert again.body["error"] == "dee is already in use :( [error-field-unavailable]"
    assert refused.status == 403
    assert refused.body["errorType"] == "error-unauthorized"
    assert short.body["error"].startswith("must have required property 'email'\n ")
    assert gone.body == {"success": True}
    assert "id-dee" not in site.world.users


async def test_the_last_owner_is_not_deleted(site: Site) -> None:
    """Both lists name rooms; nothing has happened."""
    site.world.add_room("c", "with-bo", "ana", "bo")
    site.world.add_room("p", "alone", "ana")
    reply = await site.post("users.delete", {"userId": "id-ana"}, by="root")

    assert reply.status == 400
    assert reply.body["error"] == "[user-last-owner]"
    assert reply.body["errorType"] == "user-last-owner"
    assert reply.body["details"] == {
        "shouldChangeOwner": ["with-bo"],
        "shouldBeRemoved": ["alone"],
    }
    assert len(site.world.memberships) == 3


async def test_presence_endpoints(site: Site) -> None:
    """A status that was set is seen by others, by all three reads."""
    await site.post("users.setStatus", {"status": "busy", "message": "at work"}, by="ana")
    own = await site.get("users.getPresence", by="ana")
    other = await site.get("users.getPresence?username=ana", by="bo")
    status = await site.get("users.getStatus?userId=id-ana", by="bo")
    listed = await site.get("users.presence?ids[]=id-ana&ids[]=id-bo&_empty=?", by="bo")
    everybody = await site.get("users.presence", by="bo")

    assert own.body["presence"] == "busy"
    assert own.body["connectionStatus"] == "online"
    assert ISO.fullmatch(own.body["lastLogin"])
    assert other.body == {"presence": "busy", "success": True}
    assert status.body == {
        "_id": "id-ana",
        "status": "busy",
        "message": "at work",
        "success": True,
    }
    assert [user["_id"] for user in listed.body["users"]] == ["id-ana"]
    assert listed.body["full"] is False
    assert everybody.body["full"] is True


async def test_status_refusals(site: Site) -> None:
    """Unknown status, neither of the two, somebody else's."""
    unknown = await site.post("users.setStatus", {"status": "sleepy"}, by="ana")
    neither = await site.post("users.setStatus", {}, by="ana")
    other = await site.post("users.setStatus", {"status": "away", "username": "bo"}, by="ana")
    allowed = await site.post("users.setStatus", {"status": "away", "username": "bo"}, by="root")

    assert unknown.body == {
        "success": False,
        "error": "Valid status types include online, away, offline, and busy. "
        "[error-invalid-status]",
        "errorType": "error-invalid-status",
    }
    assert neither.body["errorType"] == "invalid-params"
    assert other.status == 403
    assert allowed.body == {"success": True}


# -- rooms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("door", "key"), [("channels", "channel"), ("groups", "group")])
async def test_create_and_find_a_room(site: Site, door: str, key: str) -> None:
    """By id and by name, through its own door only."""
    body = {"name": "town", "members": ["bo", "nobody"]}
    made = await site.post(f"{door}.create", body, by="ana")
    room = made.body[key]
    other = "groups" if door == "channels" else "channels"

    for selector in (f"roomId={room['_id']}", "roomName=town"):
        found = await site.get(f"{door}.info?{selector}", by="bo")
        assert found.body[key]["_id"] == room["_id"]
        refused = await site.get(f"{other}.info?{selector}", by="bo")
        assert refused.body["errorType"] == "error-room-not-found"
    assert room["name"] == "town"
    assert ISO.fullmatch(room["ts"])


async def test_create_refusals(site: Site) -> None:
    """Plain sentences, a code, and 403 without the right."""
    site.world.users["id-cy"]["roles"] = ["guest"]
    for json, error in (
        ({}, 'Param "name" is required'),
        ({"name": "x", "members": "bo"}, 'Param "members" must be an array if provided'),
        ({"name": "x", "customFields": []}, 'Param "customFields" must be an object if provided'),
        ({"name": {"$ne": None}}, "must be string [invalid-params]"),
    ):
        reply = await site.post("channels.create", json, by="ana")
        assert (reply.status, reply.body["error"]) == (400, error)
    assert (await site.post("groups.create", {}, by="ana")).body["error"] == (
        'Body param "name" is required'
    )
    assert (await site.post("channels.create", {"name": "x"}, by="ana")).status == 200
    again = await site.post("channels.create", {"name": "x"}, by="bo")
    assert again.body["errorType"] == "error-duplicate-channel-name"
    assert (await site.post("channels.create", {"name": "y"}, by="cy")).status == 403


async def test_selectors_without_a_room(site: Site) -> None:
    """The two doors have different codes for the same sentence."""
    channel = await site.get("channels.info", by="ana")
    group = await site.get("groups.info", by="ana")
    unknown = await site.get("channels.info?roomId=nope", by="ana")

    assert channel.body["errorType"] == "error-roomid-param-not-provided"
    assert group.body["errorType"] == "error-room-param-not-provided"
    assert unknown.body["error"] == (
        'The required "roomId" or "roomName" param provided does not match any channel '
        "[error-room-not-found]"
    )


async def test_a_private_group_is_answered_like_none(site: Site) -> None:
    """An outsider cannot tell a group from nothing, at any endpoint."""
    room = site.world.add_room("p", "secret-room", "ana")
    for verb in ("info", "history", "messages", "members", "roles", "moderators", "counters"):
        hidden = await site.get(f"groups.{verb}?roomId={room['_id']}", by="cy")
        absent = await site.get(f"groups.{verb}?roomId=nope", by="cy")
        assert (hidden.status, hidden.raw) == (absent.status, absent.raw), verb
        assert hidden.status == 400
    for verb in ("invite", "kick", "leave"):
        body = {"username": "bo"}
        hidden = await site.post(f"groups.{verb}", {**body, "roomId": room["_id"]}, by="cy")
        absent = await site.post(f"groups.{verb}", {**body, "roomId": "nope"}, by="cy")
        assert (hidden.status, hidden.raw) == (absent.status, absent.raw), verb


async def test_membership_verbs(site: Site) -> None:
    """Join, invite by id, kick, leave, and the last owner."""
    room = site.world.add_room("c", "town", "ana")
    selector = {"roomId": room["_id"]}
    joined = await site.post("channels.join", selector, by="bo")
    invited = await site.post("channels.invite", {**selector, "userIds": ["id-cy"]}, by="ana")
    kicked = await site.post("channels.kick", {**selector, "userId": "id-cy"}, by="ana")
    again = await site.post("channels.kick", {**selector, "userId": "id-cy"}, by="ana")
    left = await site.post("channels.leave", selector, by="bo")
    owner = await site.post("channels.leave", selector, by="ana")
    nobody = await site.post("channels.invite", {**selector, "userIds": []}, by="ana")
    unnamed = await site.post("channels.invite", selector, by="ana")

    assert joined.body["channel"]["usersCount"] == 2
    assert invited.body["channel"]["usersCount"] == 3
    assert kicked.body["channel"]["usersCount"] == 2
    assert again.body["error"] == "User is not in this room [error-user-not-in-room]"
    assert left.body["channel"]["usersCount"] == 1
    assert owner.body["errorType"] == "error-you-are-last-owner"
    assert owner.status == 400
    assert nobody.body["error"] == "invalid-user-invite-list"
    assert unnamed.body["errorType"] == "error-users-params-not-provided"


async def test_archived_rooms_are_not_written_to(site: Site) -> None:
    """Read yes, write no, with the room's name in the sentence."""
    room = site.world.add_room("p", "old", "ana")
    room["archived"] = True
    body = {"roomId": room["_id"], "username": "bo"}
    reply = await site.post("groups.invite", body, by="ana")

    assert reply.body["error"] == ("The private group, old, is archived [error-room-archived]")
    assert (await site.get(f"groups.info?roomId={room['_id']}", by="ana")).status == 200


async def test_members_are_paged_and_filtered(site: Site) -> None:
    """Count, offset, total; by name, by status."""
    room = site.world.add_room("c", "town", "ana", "bo", "cy")
    site.world.users["id-cy"]["status"] = "away"
    path = f"channels.members?roomId={room['_id']}"
    second = await site.get(f"{path}&count=1&offset=1", by="ana")
    named = await site.get(f"{path}&filter=an", by="ana")
    away = await site.get(f"{path}&status[]=away&status[]=busy", by="ana")

    assert [user["username"] for user in second.body["members"]] == ["bo"]
    assert (second.body["count"], second.body["offset"], second.body["total"]) == (1, 1, 3)
    assert [user["username"] for user in named.body["members"]] == ["ana"]
    assert [user["username"] for user in away.body["members"]] == ["cy"]
    assert away.body["total"] == 1


async def test_room_lists(site: Site) -> None:
    """All channels, the joined ones, one's groups."""
    site.world.add_room("c", "alpha", "ana")
    site.world.add_room("c", "beta", "bo")
    site.world.add_room("p", "gamma", "ana")

    def names(reply: Any, key: str) -> list[str]:
        return [room["name"] for room in reply.body[key]]

    assert names(await site.get("channels.list", by="ana"), "channels") == ["alpha", "beta"]
    assert names(await site.get("channels.list.joined", by="ana"), "channels") == ["alpha"]
    assert names(await site.get("groups.list", by="ana"), "groups") == ["gamma"]
    assert names(await site.get("groups.list", by="bo"), "groups") == []
    assert names(await site.get('channels.list?query={"name":"beta"}', by="ana"), "channels") == [
        "beta"
    ]
    assert (await site.get("groups.listAll", by="ana")).status == 403


async def test_room_lists_by_id_and_fields(site: Site) -> None:
    """`_id` picks one room out of the list, `fields` narrows, and what is neither is refused."""
    alpha = site.world.add_room("c", "alpha", "ana")
    gamma = site.world.add_room("p", "gamma", "ana")

    async def ids(path: str, by: str) -> list[str]:
        reply = (await site.get(path, by=by)).body
        found = reply["channels" if path.startswith("channels") else "groups"]
        assert reply["count"] == reply["total"] == len(found)
        return [room["_id"] for room in found]

    one = f"channels.list?_id={alpha['_id']}"
    assert await ids(one, "bo") == [alpha["_id"]]
    assert await ids(one + '&query={"name":{"$regex":"ALP"}}', "bo") == [alpha["_id"]]
    assert await ids(one + '&query={"name":"beta"}', "bo") == []
    assert await ids(f"channels.list.joined?_id={alpha['_id']}", "bo") == []
    assert await ids(f"channels.list?_id={gamma['_id']}", "ana") == []
    assert await ids(f"groups.list?_id={gamma['_id']}", "ana") == [gamma["_id"]]
    assert await ids(f"groups.list?_id={gamma['_id']}", "bo") == []
    for path in ("channels.list", "groups.list", "im.list"):
        narrow = await site.get(path + '?fields={"name":1}', by="ana")
        assert all(room.keys() == {"_id", "name"} for room in next(iter(narrow.body.values())))
        refused = await site.get(path + "?fields=name", by="ana")
        assert refused.body["errorType"] == "error-invalid-fields"


async def test_direct_rooms_have_two_names(site: Site) -> None:
    """`im` and `dm` make and find the same room."""
    one = (await site.post("im.create", {"username": "bo"}, by="ana")).body["room"]
    other = (await site.post("dm.create", {"usernames": "ana"}, by="bo")).body["room"]
    listed = await site.get("dm.list", by="ana")
    history = await site.get("im.history?username=bo", by="ana")
    nobody = await site.post("im.create", {"username": "nobody"}, by="ana")
    nothing = await site.post("im.create", {}, by="ana")
    outsider = await site.get(f"dm.messages?roomId={one['_id']}", by="cy")

    assert one["_id"] == other["_id"] == one["rid"]
    assert one["t"] == "d"
    assert one["usernames"] == ["ana", "bo"]
    assert [room["_id"] for room in listed.body["ims"]] == [one["_id"]]
    assert history.body["messages"] == []
    assert nobody.body["errorType"] == "error-invalid-user"
    assert nothing.body["errorType"] == "error-room-param-not-provided"
    assert outsider.body["errorType"] == "error-room-not-found"


async def test_rooms_and_subscriptions(site: Site) -> None:
    """The lists agree; dates are checked; reading clears the count."""
    room = site.world.add_room("c", "town", "ana", "bo")
    rooms = await site.get("rooms.get", by="bo")
    subscriptions = await site.get("subscriptions.get", by="bo")
    later = await site.get("rooms.get?updatedSince=2030-01-01T00:00:00.000Z", by="bo")
    bad_room = await site.get("rooms.get?updatedSince=yesterday", by="bo")
    bad_subscription = await site.get("subscriptions.get?updatedSince=x", by="bo")
    one = await site.get(f"subscriptions.getOne?roomId={room['_id']}", by="bo")
    none = await site.get("subscriptions.getOne?roomId=nope", by="bo")
    read = await site.post("subscriptions.read", {"rid": room["_id"]}, by="bo")
    unknown = await site.post("subscriptions.read", {"rid": "nope"}, by="bo")
    roles = await site.get(f"rooms.roles?rid={room['_id']}?", by="bo")

    assert [one["_id"] for one in rooms.body["update"]] == [
        one["rid"] for one in subscriptions.body["update"]
    ]
    assert rooms.body["remove"] == []
    assert later.body["update"] == []
    assert later.body["remove"] == [{"_id": "gone", "_deletedAt": "2026-01-01T12:00:00.000Z"}]
    assert bad_room.body["errorType"] == "error-updatedSince-param-invalid"
    assert bad_subscription.body["error"] == (
        'The "lastUpdate" query parameter must be a valid date. [error-roomId-param-invalid]'
    )
    assert one.body["subscription"]["rid"] == room["_id"]
    assert none.body == {"subscription": None, "success": True}
    assert read.body == {"success": True}
    assert unknown.body["errorType"] == "error-invalid-subscription"
    assert roles.body["roles"][0]["roles"] == ["owner"]


async def test_room_info_with_parent(site: Site) -> None:
    """A discussion names its parent, if the caller may see it."""
    parent = site.world.add_room("c", "town", "ana")
    discussion = site.world.add_room("c", "talk", "ana")
    discussion["prid"] = parent["_id"]
    reply = await site.get(f"rooms.info?roomId={discussion['_id']}", by="bo")

    assert reply.body["room"]["_id"] == discussion["_id"]
    assert reply.body["parent"]["_id"] == parent["_id"]


async def test_counters(site: Site) -> None:
    """Numbers for a member, null for an outsider, and only rights open another's."""
    room = site.world.add_room("c", "town", "ana")
    path = f"channels.counters?roomId={room['_id']}"
    own = await site.get(path, by="ana")
    outside = await site.get(path, by="bo")
    other = await site.get(f"{path}&userId=id-ana", by="bo")

    assert (own.body["joined"], own.body["members"], own.body["unreads"]) == (True, 1, 0)
    assert outside.body["joined"] is False
    assert outside.body["members"] is None
    assert other.status == 403


# -- messages -----------------------------------------------------------------------------------


async def test_post_message_to_everything_a_channel_can_be(site: Site) -> None:
    """Id, name, #name, @user, a user's id; the answer repeats what was given."""
    room = site.world.add_room("c", "town", "ana")
    for channel in (room["_id"], "town", "#town"):
        reply = await site.post("chat.postMessage", {"channel": channel, "text": " hi "}, by="bo")
        assert reply.body["channel"] == channel
        assert reply.body["message"]["rid"] == room["_id"]
        assert reply.body["message"]["msg"] == "hi"
        assert isinstance(reply.body["ts"], int)
        assert ISO.fullmatch(reply.body["message"]["ts"])
    direct = [
        (await site.post("chat.postMessage", {"channel": one, "text": "x"}, by="ana")).body
        for one in ("@bo", "id-bo")
    ]

    assert (room["_id"], "id-bo") in site.world.memberships
    assert direct[0]["message"]["rid"] == direct[1]["message"]["rid"] != room["_id"]


async def test_post_message_without_text_is_empty(site: Site) -> None:
    """No text at all is an empty message; inner line breaks survive."""
    room = site.world.add_room("c", "town", "ana")
    empty = await site.post("chat.postMessage", {"roomId": room["_id"], "text": None}, by="ana")
    lines = await site.post(
        "chat.postMessage", {"roomId": room["_id"], "text": "one\ntwo  \nthree"}, by="ana"
    )

    assert empty.body["message"]["msg"] == ""
    assert lines.body["message"]["msg"] == "one\ntwo  \nthree"


async def test_post_message_refusals(site: Site) -> None:
    """No target, an unknown one, somebody else's, too long, links that run code."""
    room = site.world.add_room("p", "hidden", "ana")
    to_room = {"roomId": room["_id"]}
    link = [{"title": "x", "title_link": "javascript:alert(1)"}]
    for by, body, error in (
        ("ana", {"text": "x"}, "[invalid-channel]"),
        ("ana", {"channel": "#nope", "text": "x"}, "[invalid-channel]"),
        ("ana", {"channel": "#", "text": "x"}, "[invalid-channel]"),
        ("cy", {**to_room, "text": "x"}, "[invalid-channel]"),
        ("ana", {**to_room, "text": "x" * 5001}, "error-message-size-exceeded"),
        ("ana", {**to_room, "attachments": link}, 'must match format "uri" [invalid-params]'),
        ("ana", {**to_room, "attachments": {}}, "must be array [invalid-params]"),
        ("ana", {**to_room, "text": 5}, "must be string [invalid-params]"),
        ("ana", {"roomId": {"$gt": ""}}, "must be array [invalid-params]"),
    ):
        reply = await site.post("chat.postMessage", body, by=by)
        assert (reply.status, reply.body["error"]) == (400, error)
    assert site.world.messages == {}


async def test_who_may_not_write_under_another_name(site: Site) -> None:
    """The code of this endpoint, and that of the one that realtime clients' messages go to."""
    room = site.world.add_room("c", "town", "ana")
    for extra in ({"alias": "boss"}, {"avatar": "https://x.example/a.png"}, {"emoji": ":ghost:"}):
        posted = await site.post(
            "chat.postMessage", {"roomId": room["_id"], "text": "x", **extra}, by="ana"
        )
        sent = await site.post(
            "chat.sendMessage", {"message": {"rid": room["_id"], "msg": "x", **extra}}, by="ana"
        )
        assert posted.body["error"] == "Not enough permission [error-not-allowed]"
        assert sent.body["errorType"] == "error-action-not-allowed"
    assert site.world.messages == {}


async def test_send_message_is_idempotent(site: Site) -> None:
    """The client's own id, twice: one message."""
    room = site.world.add_room("c", "town", "ana")
    message = {"_id": "42", "rid": room["_id"], "msg": "once"}
    first = await site.post("chat.sendMessage", {"message": message}, by="ana")
    second = await site.post("chat.sendMessage", {"message": message}, by="ana")
    lacking = await site.post("chat.sendMessage", {"message": {"msg": "x"}}, by="ana")
    nothing = await site.post("chat.sendMessage", {}, by="ana")

    assert first.body["message"] == second.body["message"]
    assert len(site.world.messages) == 1
    assert lacking.body["error"] == "must have required property 'rid' [invalid-params]"
    assert nothing.body["error"] == "must have required property 'message' [invalid-params]"


async def test_edit_react_delete(site: Site) -> None:
    """A message's life, with the exact sentences of its refusals."""
    room = site.world.add_room("c", "town", "ana", "bo")
    sent = await site.post("chat.postMessage", {"roomId": room["_id"], "text": "a"}, by="ana")
    message_id = sent.body["message"]["_id"]
    here = {"roomId": room["_id"], "msgId": message_id}
    edited = await site.post("chat.update", {**here, "text": "b"}, by="ana")
    same = await site.post("chat.update", {**here, "text": "b"}, by="ana")
    elsewhere = await site.post("chat.update", {**here, "roomId": "other", "text": "c"}, by="ana")
    foreign = await site.post("chat.update", {**here, "text": "c"}, by="bo")
    reacted = await site.post("chat.react", {"messageId": message_id, "emoji": "smile"}, by="bo")
    read = await site.get(f"chat.getMessage?msgId={message_id}", by="bo")
    not_forced = await site.post("chat.delete", {**here, "asUser": True}, by="bo")
    deleted = await site.post("chat.delete", here, by="ana")
    gone = await site.post("chat.delete", here, by="ana")
    unread = await site.get(f"chat.getMessage?msgId={message_id}", by="bo")

    assert edited.body["message"]["msg"] == same.body["message"]["msg"] == "b"
    assert ISO.fullmatch(edited.body["message"]["editedAt"])
    assert elsewhere.body["error"] == (
        "The room id provided does not match where the message is from."
    )
    assert foreign.body["errorType"] == "error-action-not-allowed"
    assert reacted.body == {"success": True}
    assert read.body["message"]["reactions"] == {":smile:": {"usernames": ["bo"]}}
    assert not_forced.body["error"].startswith("Unauthorized. You must have the permission")
    assert deleted.body["_id"] == message_id
    assert deleted.body["ts"].isdigit()
    assert gone.body["error"] == f'No message found with the id of "{message_id}".'
    assert (unread.status, unread.body) == (400, {"success": False})


async def test_react_refusals(site: Site) -> None:
    """No emoji, no such message."""
    nothing = await site.post("chat.react", {"messageId": "x"}, by="ana")
    unknown = await site.post("chat.react", {"messageId": "x", "emoji": "a"}, by="ana")

    assert nothing.body["errorType"] == "error-emoji-param-not-provided"
    assert unknown.body["error"] == (
        'The provided "messageId" does not match any existing message. [error-message-not-found]'
    )


async def _fill(site: Site, number: int) -> str:
    room = site.world.add_room("c", "town", "ana")
    for index in range(number):
        body = {"roomId": room["_id"], "text": f"p{index}"}
        assert (await site.post("chat.postMessage", body, by="ana")).status == 200
    return str(room["_id"])


async def test_history_is_paged_without_holes_or_repeats(site: Site) -> None:
    """A client that pages until a page is short gets each message once, newest first."""
    room_id = await _fill(site, 120)
    seen: list[str] = []
    offset = 0
    while True:
        path = f"channels.history?roomId={room_id}&count=50&offset={offset}"
        messages = (await site.get(path, by="ana")).body["messages"]
        seen += [message["msg"] for message in messages]
        offset += 50
        if len(messages) < 50:
            break

    assert seen == [f"p{index}" for index in reversed(range(120))]


async def test_history_counts(site: Site) -> None:
    """Twenty when nothing is said; everything for 0, though messaging gives 100 at a time."""
    room_id = await _fill(site, 210)
    usual = await site.get(f"channels.history?roomId={room_id}", by="ana")
    everything = await site.get(f"channels.history?roomId={room_id}&count=0", by="ana")
    messages = await site.get(f"channels.messages?roomId={room_id}&count=3&offset=1", by="ana")

    assert len(usual.body["messages"]) == 20
    assert [message["msg"] for message in everything.body["messages"]] == [
        f"p{index}" for index in reversed(range(210))
    ]
    assert [message["msg"] for message in messages.body["messages"]] == ["p208", "p207", "p206"]
    assert messages.body["total"] == 210


async def test_history_between_dates(site: Site) -> None:
    """`latest` and `oldest` are exclusive unless told otherwise; a bad date is refused."""
    room_id = await _fill(site, 5)
    newest = site.world.in_room(room_id)
    latest = newest[1]["ts"].isoformat().replace("+00:00", "Z")
    oldest = newest[3]["ts"].isoformat().replace("+00:00", "Z")
    path = f"channels.history?roomId={room_id}&latest={latest}&oldest={oldest}"
    between = await site.get(path, by="ana")
    inclusive = await site.get(f"{path}&inclusive=true", by="ana")
    bad = await site.get(f"channels.history?roomId={room_id}&latest=soon", by="ana")

    assert [one["msg"] for one in between.body["messages"]] == ["p2"]
    assert [one["msg"] for one in inclusive.body["messages"]] == ["p3", "p2", "p1"]
    assert bad.body["errorType"] == "invalid-params"


async def test_history_with_unreads(site: Site) -> None:
    """What was not seen yet is counted and named."""
    room_id = await _fill(site, 5)
    site.world.memberships[room_id, "id-ana"]["ls"] = site.world.in_room(room_id)[3]["ts"]
    path = f"channels.history?roomId={room_id}&count=2&unreads=True"
    reply = await site.get(path, by="ana")

    assert reply.body["firstUnread"]["msg"] == "p2"
    assert reply.body["unreadNotLoaded"] == 1


async def test_threads(site: Site) -> None:
    """Replies oldest first; the parent is in the list of threads."""
    room = site.world.add_room("c", "town", "ana")
    to_room = {"roomId": room["_id"]}
    parent = (await site.post("chat.postMessage", {**to_room, "text": "q"}, by="ana")).body
    thread = parent["message"]["_id"]
    for text in ("one", "two"):
        await site.post("chat.postMessage", {**to_room, "text": text, "tmid": thread}, by="ana")
    replies = await site.get(f"chat.getThreadMessages?tmid={thread}", by="ana")
    threads = await site.get(f"chat.getThreadsList?rid={room['_id']}", by="ana")
    unknown = await site.get("chat.getThreadMessages?tmid=nope", by="ana")
    site.world.messages[thread]["replies"] = ["id-ana"]
    path = f"chat.getThreadsList?rid={room['_id']}"
    site.world.join(room["_id"], "id-bo")["tunread"] = [thread]

    async def found(query: str, by: str) -> int:
        total: int = (await site.get(f"{path}&{query}", by=by)).body["total"]
        return total

    assert (await found("type=following", "ana"), await found("type=following", "bo")) == (1, 0)
    assert (await found("type=unread", "ana"), await found("type=unread", "bo")) == (0, 1)
    assert (await found("text=Q", "ana"), await found("text=other", "ana")) == (1, 0)
    assert (await site.get(f"{path}&type=odd", by="ana")).status == 400
    assert [one["msg"] for one in replies.body["messages"]] == ["one", "two"]
    assert [one["_id"] for one in threads.body["threads"]] == [thread]
    assert unknown.body["errorType"] == "error-invalid-message"


async def test_sync_messages(site: Site) -> None:
    """What changed and what went, by date or by pages."""
    room_id = await _fill(site, 3)
    oldest = site.world.in_room(room_id)[-1]
    await site.post("chat.delete", {"roomId": room_id, "msgId": oldest["_id"]}, by="ana")
    path = f"chat.syncMessages?roomId={room_id}"
    since = await site.get(f"{path}&lastUpdate=2026-01-01T11:00:00.000Z", by="ana")
    first = await site.get(f"{path}&type=UPDATED&next=0&count=1", by="ana")
    rest = await site.get(
        f"{path}&type=UPDATED&count=5&next={first.body['result']['cursor']['next']}", by="ana"
    )
    end = rest.body["result"]["cursor"]["previous"]
    back = await site.get(f"{path}&type=UPDATED&previous={int(end) + 1}&count=1", by="ana")

    assert [one["msg"] for one in since.body["result"]["updated"]] == ["p1", "p2"]
    assert [one["_id"] for one in since.body["result"]["deleted"]] == [oldest["_id"]]
    assert [one["msg"] for one in first.body["result"]["updated"]] == ["p1"]
    assert [one["msg"] for one in rest.body["result"]["updated"]] == ["p2"]
    assert rest.body["result"]["cursor"]["next"] is None
    assert [one["msg"] for one in back.body["result"]["updated"]] == ["p2"]
    assert back.body["result"]["cursor"] == {"next": end, "previous": end}
    for query, code in (
        ("", "error-param-required"),
        (f"?roomId={room_id}", "error-param-required"),
        (f"?roomId={room_id}&lastUpdate=x", "error-lastUpdate-param-invalid"),
        (f"?roomId={room_id}&type=OTHER", "invalid-params"),
        (f"?roomId={room_id}&type=UPDATED&next=1&previous=2", "error-cursor-conflict"),
    ):
        refused = await site.get(f"chat.syncMessages{query}", by="ana")
        assert refused.body["errorType"] == code


# -- lists and settings -------------------------------------------------------------------------


async def test_rights(site: Site) -> None:
    """Permissions and roles, with the date's own refusal."""
    everything = await site.get("permissions.listAll", by="ana")
    since = await site.get("permissions.listAll?updatedSince=2020-01-01T00:00:00Z", by="ana")
    bad = await site.get("permissions.listAll?updatedSince=x", by="ana")
    roles = await site.get("roles.list", by="ana")

    assert all("roles" in one for one in everything.body["update"])
    assert everything.body["remove"] == []
    assert since.body["remove"]
    assert bad.body["errorType"] == "error-roomId-param-invalid"
    assert {"admin", "user", "owner"} <= {role["_id"] for role in roles.body["roles"]}


async def test_public_settings(site: Site) -> None:
    """Without signing in; by ids, by the old query, in pages."""
    site.world.settings |= {"A": 1, "B": "b", "C": True}
    every = await site.get("settings.public")
    some = await site.get("settings.public?_id=A,C")
    queried = await site.get('settings.public?query={"_id":{"$in":["B"]}}')
    nothing = await site.get('settings.public?query={"_id":{"$in":[]}}')
    second = await site.get("settings.public?count=1&offset=1")

    assert every.body["settings"] == [
        {"_id": "A", "value": 1},
        {"_id": "B", "value": "b"},
        {"_id": "C", "value": True},
    ]
    assert [one["_id"] for one in some.body["settings"]] == ["A", "C"]
    assert [one["_id"] for one in queried.body["settings"]] == ["B"]
    assert nothing.body["settings"] == []
    assert (second.body["settings"], second.body["total"]) == ([{"_id": "B", "value": "b"}], 3)


async def test_public_settings_sorted_and_narrowed(site: Site) -> None:
    """By id in both directions; only some fields."""
    site.world.settings |= {"A": 1, "B": "b"}
    backwards = await site.get('settings.public?sort={"_id":-1}')
    narrow = await site.get('settings.public?_id=A&fields={"value":0}')
    refused = await site.get("settings.public?fields=x")

    assert [one["_id"] for one in backwards.body["settings"]] == ["B", "A"]
    assert narrow.body["settings"] == [{"_id": "A"}]
    assert refused.body["errorType"] == "error-invalid-fields"


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("settings.oauth", "services", []),
        ("service.configurations", "configurations", []),
        ("emoji-custom.list", "emojis", {"update": [], "remove": []}),
        ("custom-user-status.list", "statuses", []),
        ("licenses.isEnterprise", "isEnterprise", False),
    ],
)
async def test_what_is_empty_here(site: Site, path: str, key: str, value: Any) -> None:
    """Parts of the protocol that are not offered have the right shape all the same."""
    reply = await site.get(path, by="ana")

    assert reply.body[key] == value
    assert reply.body["success"] is True


async def test_spotlight(site: Site) -> None:
    """`@` finds people, `#` rooms, neither both, nothing nothing."""
    site.world.add_room("c", "bo-town", "ana")
    both = (await site.get("spotlight?query=bo", by="ana")).body
    people = (await site.get("spotlight?query=@bo", by="ana")).body
    rooms = (await site.get("spotlight?query=%23bo", by="ana")).body
    nothing = (await site.get("spotlight?query=", by="ana")).body

    assert (len(both["users"]), len(both["rooms"])) == (1, 1)
    assert (len(people["users"]), len(people["rooms"])) == (1, 0)
    assert (len(rooms["users"]), len(rooms["rooms"])) == (0, 1)
    assert (nothing["users"], nothing["rooms"]) == ([], [])


# -- method.call --------------------------------------------------------------------------------


def _envelope(method: str, params: list[Any], id_: Any = "7") -> dict[str, str]:
    message = {"msg": "method", "id": id_, "method": method, "params": params}
    return {"message": orjson.dumps(message).decode()}


@pytest.mark.parametrize("name", ["rooms%252Fget", "rooms%2Fget", "rooms/get", "anything"])
async def test_the_name_in_the_path_does_not_count(site: Site, name: str) -> None:
    """Encoded twice, once, not at all: the same answer; a numeric id stays one."""
    room = site.world.add_room("c", "town", "ana")
    envelope = _envelope("rooms/get", [{"$date": 0}], 1001)
    reply = await site.post(f"method.call/{name}", envelope, by="ana")
    answer = orjson.loads(reply.body["message"])

    assert reply.body["success"] is True
    assert answer["msg"] == "result"
    assert answer["id"] == 1001
    assert [one["_id"] for one in answer["result"]["update"]] == [room["_id"]]
    assert answer["result"]["update"][0]["ts"]["$date"] > 0


async def test_method_errors_are_answers(site: Site) -> None:
    """Unknown methods, wrong arguments and refusals are 200 with the error inside."""
    for method, params, code in (
        ("nope", [], 404),
        ("loadHistory", [{"$ne": 1}], 400),
        ("getRoomIdByNameOrId", ["nope"], "error-not-allowed"),
        ("UserPresence:online", [], 400),
        ("stream-notify-room", ["GENERAL/typing", "ana", True], 400),
        ("login", [{"resume": "x"}], 400),
    ):
        reply = await site.post("method.call/x", _envelope(method, params), by="ana")
        error = orjson.loads(reply.body["message"])["error"]
        assert reply.status == 200
        assert error["error"] == code
        assert error["errorType"] == "Meteor.Error"


async def test_methods_without_result_have_no_key(site: Site) -> None:
    """`{"msg":"result","id":…}` and nothing else; false is a result."""
    room = site.world.add_room("c", "town", "ana")
    envelope = _envelope("readMessages", [room["_id"]])
    nothing = await site.post("method.call/x", envelope, by="ana")
    false = await site.post("method.call/x", _envelope("license:isEnterprise", []), by="ana")

    assert orjson.loads(nothing.body["message"]) == {"msg": "result", "id": "7"}
    assert orjson.loads(false.body["message"])["result"] is False


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        '{"msg":"ping"}',
        '{"msg":"method","id":"1"}',
        '{"msg":"method","id":"1","method":"x","params":{}}',
        '{"msg":"sub","id":"1","name":"x"}',
    ],
)
async def test_what_is_no_call_is_refused(site: Site, message: str) -> None:
    """The envelope is checked before anything runs."""
    reply = await site.post("method.call/x", {"message": message}, by="ana")

    assert (reply.status, reply.body) == (
        400,
        {"success": False, "error": "Invalid method call"},
    )


async def test_anonymous_calls(site: Site) -> None:
    """What anonymous callers may do, and that `method.call` needs a token."""
    site.world.settings["Site_Name"] = "Hubbub"
    public = await site.post("method.callAnon/x", _envelope("public-settings/get", []))
    login = await site.post(
        "method.callAnon/login",
        _envelope("login", [{"user": {"username": "ana"}, "password": "secret"}]),
    )
    hidden = await site.post("method.callAnon/x", _envelope("getRoomIdByNameOrId", ["town"]))
    unsigned = await site.post("method.call/x", _envelope("rooms/get", []))
    empty = await site.post("method.callAnon/x", {})

    assert orjson.loads(public.body["message"])["result"][0]["_id"] == "Site_Name"
    result = orjson.loads(login.body["message"])["result"]
    assert result["id"] == "id-ana"
    assert result["tokenExpires"]["$date"] > 0
    assert orjson.loads(hidden.body["message"])["error"]["error"] == "error-invalid-user"
    assert unsigned.status == 401
    assert empty.body["errorType"] == "invalid-params"


async def test_logout_by_method(site: Site) -> None:
    """`logout` ends the token of the headers."""
    reply = await site.post("method.call/logout", _envelope("logout", []), by="ana")

    assert orjson.loads(reply.body["message"]) == {"msg": "result", "id": "7"}
    assert (await site.get("me", by="ana")).status == 401
