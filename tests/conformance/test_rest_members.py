"""Members of rooms over REST: roles, mutes, invitations, direct rooms, what leaves with a user."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import NewUser
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.integration

DOORS = [
    pytest.param("channels", "channel", id="channels"),
    pytest.param("groups", "group", id="groups"),
]


def _name(prefix: str = "room") -> str:
    return f"{prefix}-{random_id(8).lower()}"


async def _room(rest: Rest, owner: User, *members: User, door: str = "channels") -> dict[str, Any]:
    created = await rest.post(
        f"{door}.create", owner, name=_name(), members=[user.username for user in members]
    )
    room: dict[str, Any] = created[door.removesuffix("s")]
    return room


async def _refused(
    rest: Rest, method: str, endpoint: str, user: User | None, status: int = 400, **given: Any
) -> tuple[str, str | None]:
    """The sentence and the code of a refusal."""
    sent: dict[str, Any] = {"query": given} if method == "GET" else {"body": given}
    answer = await rest.ask(method, f"/api/v1/{endpoint}", user=user, **sent)
    assert answer.status == status, answer
    assert answer.body["success"] is False
    return answer.body["error"], answer.body.get("errorType")


async def _types(rest: Rest, user: User, room_id: str, door: str = "channels") -> list[Any]:
    """Type, text and role of the system messages of a room, oldest first."""
    found = await rest.get(f"{door}.history", user, roomId=room_id, count=100)
    return [
        (one["t"], one["msg"], one.get("role")) for one in reversed(found["messages"]) if "t" in one
    ]


# -- roles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("door", "_key"), DOORS)
@pytest.mark.parametrize("role", ["owner", "moderator", "leader"])
async def test_roles(rest: Rest, ana: User, bo: User, door: str, _key: str, role: str) -> None:
    """Given and taken once each; the answer is bare; the room hears of it."""
    room = await _room(rest, ana, bo, door=door)
    verb = role.title()

    given = await rest.post(f"{door}.add{verb}", ana, roomId=room["_id"], userId=bo.id)
    again = await _refused(
        rest, "POST", f"{door}.add{verb}", ana, roomId=room["_id"], username=bo.username
    )
    held = await rest.get(f"{door}.roles", bo, roomId=room["_id"])
    taken = await rest.post(f"{door}.remove{verb}", ana, roomId=room["_id"], username=bo.username)
    none = await _refused(
        rest, "POST", f"{door}.remove{verb}", ana, roomName=room["name"], userId=bo.id
    )

    assert given == taken == {"success": True}
    code = f"error-user-already-{role}"
    noun = "an owner" if role == "owner" else f"a {role}"
    assert again == (f"User is already {noun} [{code}]", code)
    assert none == (f"User is not {noun} [error-user-not-{role}]", f"error-user-not-{role}")
    mine = next(entry for entry in held["roles"] if entry["u"]["_id"] == bo.id)
    assert mine.keys() == {"_id", "rid", "u", "roles"}
    assert mine["roles"] == [role]
    assert await _types(rest, ana, room["_id"], door) == [
        ("subscription-role-added", bo.username, role),
        ("subscription-role-removed", bo.username, role),
    ]


async def test_refused_roles(rest: Rest, ana: User, bo: User, cy: User) -> None:
    room = await _room(rest, ana, bo)
    room_id = room["_id"]

    assert await _refused(
        rest, "POST", "channels.removeOwner", ana, roomId=room_id, userId=ana.id
    ) == (
        "This is the last owner. Please set a new owner before removing this one."
        " [error-remove-last-owner]",
        "error-remove-last-owner",
    )
    assert (await _refused(rest, "POST", "channels.addOwner", ana, roomId=room_id, userId=cy.id))[
        1
    ] == "error-user-not-in-room"
    assert (await _refused(rest, "POST", "channels.addOwner", bo, roomId=room_id, userId=bo.id))[
        1
    ] == "error-not-allowed"
    assert await _refused(rest, "POST", "channels.addOwner", ana, roomId=room_id) == (
        'The required "userId" or "username" param was not provided'
        " [error-user-param-not-provided]",
        "error-user-param-not-provided",
    )
    assert (
        await _refused(rest, "POST", "channels.addOwner", ana, roomId=room_id, userId="nobody")
    )[1] == "error-invalid-user"
    assert (await _refused(rest, "POST", "groups.addOwner", ana, roomId=room_id, userId=bo.id))[
        1
    ] == "error-room-not-found"


# -- mutes and notes -------------------------------------------------------------------------------


async def test_mute_and_unmute(rest: Rest, ana: User, bo: User) -> None:
    room = await _room(rest, ana, bo)
    room_id = room["_id"]

    muted = await rest.post("rooms.muteUser", ana, roomId=room_id, username=bo.username)
    refused = await _refused(
        rest, "POST", "chat.sendMessage", bo, message={"rid": room_id, "msg": "hello"}
    )
    await rest.post("rooms.unmuteUser", ana, roomId=room_id, userId=bo.id)
    await rest.post("chat.sendMessage", bo, message={"rid": room_id, "msg": "hello"})

    assert muted == {"success": True}
    assert refused[1] == "You_have_been_muted"
    assert (await _refused(rest, "POST", "rooms.muteUser", bo, roomId=room_id, userId=ana.id))[
        1
    ] == "error-not-allowed"
    assert await _types(rest, ana, room_id) == [
        ("user-muted", bo.username, None),
        ("user-unmuted", bo.username, None),
    ]


async def test_notification_settings(rest: Rest, ana: User) -> None:
    room = await _room(rest, ana)
    wanted = {"desktopNotifications": "mentions", "disableNotifications": "1"}

    answer = await rest.post(
        "rooms.saveNotification", ana, roomId=room["_id"], notifications=wanted
    )

    found = await rest.get("subscriptions.getOne", ana, roomId=room["_id"])
    assert answer == {"success": True}
    assert found["subscription"]["desktopNotifications"] == "mentions"
    assert found["subscription"]["disableNotifications"] is True
    assert await _refused(rest, "POST", "rooms.saveNotification", ana, notifications=wanted) == (
        "The 'roomId' param is required",
        None,
    )
    assert await _refused(rest, "POST", "rooms.saveNotification", ana, roomId=room["_id"]) == (
        "The 'notifications' param is required",
        None,
    )
    for odd in ({"open": "1"}, {"unreadAlert": "loud"}, {"desktopNotifications": {"$gt": ""}}):
        refused = await _refused(
            rest, "POST", "rooms.saveNotification", ana, roomId=room["_id"], notifications=odd
        )
        assert refused[1] == "error-invalid-settings"


async def test_ignoring_somebody(rest: Rest, ana: User, bo: User, cy: User) -> None:
    """By GET as well as by POST."""
    room = await _room(rest, ana, bo)

    async def ignored() -> list[str]:
        found = await rest.get("subscriptions.getOne", ana, roomId=room["_id"])
        names: list[str] = found["subscription"].get("ignored", [])
        return names

    await rest.get("chat.ignoreUser", ana, rid=room["_id"], userId=bo.id, ignore="True")
    assert await ignored() == [bo.id]
    await rest.post("chat.ignoreUser", ana, rid=room["_id"], userId=bo.id, ignore=False)
    assert await ignored() == []
    refused = await _refused(
        rest, "GET", "chat.ignoreUser", ana, rid=room["_id"], userId=cy.id, ignore="1"
    )
    assert refused[1] == "error-invalid-subscription"
    assert (await _refused(rest, "GET", "chat.ignoreUser", ana, rid=room["_id"]))[1] == (
        "invalid-params"
    )


# -- who is there ----------------------------------------------------------------------------------


async def test_is_member(rest: Rest, ana: User, bo: User, cy: User) -> None:
    room = await _room(rest, ana, bo, door="groups")

    yes = await rest.get("rooms.isMember", ana, roomId=room["_id"], username=bo.username)
    no = await rest.get("rooms.isMember", ana, roomId=room["_id"], userId=cy.id)

    assert (yes["isMember"], no["isMember"]) == (True, False)
    assert await _refused(
        rest, "GET", "rooms.isMember", ana, roomId=room["_id"], userId="nobody"
    ) == ("error-user-not-found", None)
    for nowhere in (room["_id"], "nowhere"):
        refused = await _refused(
            rest, "GET", "rooms.isMember", cy, 403, roomId=nowhere, userId=bo.id
        )
        assert refused[1] == "error-unauthorized"


async def test_members_ordered_by_role(rest: Rest, ana: User, bo: User, cy: User) -> None:
    room = await _room(rest, cy, ana, bo)
    await rest.post("channels.addModerator", cy, roomId=room["_id"], userId=bo.id)

    page = await rest.get("rooms.membersOrderedByRole", ana, roomId=room["_id"])
    one = await rest.get("rooms.membersOrderedByRole", ana, roomId=room["_id"], filter=bo.username)
    nowhere = await rest.ask(
        "GET", "/api/v1/rooms.membersOrderedByRole", user=ana, query={"roomId": "nowhere"}
    )

    assert [member["username"] for member in page["members"]] == [
        cy.username,
        bo.username,
        ana.username,
    ]
    assert [member.get("roles") for member in page["members"]] == [["owner"], ["moderator"], None]
    assert (page["count"], page["offset"], page["total"]) == (3, 0, 3)
    assert [member["_id"] for member in one["members"]] == [bo.id]
    assert (nowhere.status, nowhere.body) == (
        404,
        {"success": False, "error": "Resource not found"},
    )


async def test_add_all(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Needs a right of its own; every user is in the room afterwards."""
    room = await _room(rest, ana)
    refused = await _refused(rest, "POST", "channels.addAll", ana, roomId=room["_id"])

    await rest.post("settings/API_User_Limit", admin, value=100_000)
    added = await rest.post("channels.addAll", admin, roomId=room["_id"], activeUsersOnly=True)
    await rest.post("settings/API_User_Limit", admin, value=500)

    assert refused[1] == "error-not-allowed"
    assert added["channel"]["usersCount"] >= 3
    found = await rest.get("rooms.isMember", ana, roomId=room["_id"], userId=bo.id)
    assert found["isMember"] is True


async def test_counters_of_others(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """For administrators; who is not in the room learns nothing of it."""
    room = await _room(rest, ana)

    outside = await rest.get("channels.counters", bo, roomId=room["_id"])
    theirs = await rest.get("channels.counters", admin, roomId=room["_id"], userId=ana.id)

    assert outside == {
        "joined": False,
        "members": None,
        "unreads": None,
        "unreadsFrom": None,
        "msgs": None,
        "latest": None,
        "userMentions": None,
        "success": True,
    }
    assert (theirs["joined"], theirs["members"]) == (True, 1)
    refused = await _refused(
        rest, "GET", "channels.counters", bo, 403, roomId=room["_id"], userId=ana.id
    )
    assert refused[1] == "error-unauthorized"


# -- joining and leaving ---------------------------------------------------------------------------


async def test_join_codes(rest: Rest, ana: User, bo: User) -> None:
    room = await _room(rest, ana)
    room_id = room["_id"]
    await rest.post("channels.setJoinCode", ana, roomId=room_id, joinCode="open sesame")

    wrong = await _refused(rest, "POST", "channels.join", bo, roomId=room_id, joinCode="open")
    joined = await rest.post("channels.join", bo, roomId=room_id, joinCode="open sesame")
    again = await rest.post("channels.join", bo, roomId=room_id)

    assert wrong == ("Invalid Room Password [error-code-invalid]", "error-code-invalid")
    assert joined["channel"]["usersCount"] == again["channel"]["usersCount"] == 2
    assert "open sesame" not in str(joined)


@pytest.mark.parametrize(("door", "key"), DOORS)
async def test_leaving(rest: Rest, ana: User, bo: User, door: str, key: str) -> None:
    room = await _room(rest, ana, bo, door=door)

    last = await _refused(rest, "POST", f"{door}.leave", ana, roomId=room["_id"])
    left = await rest.post(f"{door}.leave", bo, roomId=room["_id"])

    assert last == (
        "You are the last owner. Please set new owner before leaving the room."
        " [error-you-are-last-owner]",
        "error-you-are-last-owner",
    )
    assert left[key]["usersCount"] == 1
    again = await _refused(rest, "POST", f"{door}.leave", bo, roomId=room["_id"])
    # A private room is unknown to who is not in it.
    assert again[1] == ("error-user-not-in-room" if key == "channel" else "error-room-not-found")


async def test_invite_and_kick(rest: Rest, ana: User, bo: User, cy: User) -> None:
    channel = await _room(rest, ana)
    group = await _room(rest, ana, door="groups")

    added = await rest.post("channels.invite", ana, roomId=channel["_id"], userIds=[bo.id, cy.id])
    await rest.post("groups.invite", ana, roomId=group["_id"], usernames=bo.username)
    kicked = await rest.post("channels.kick", ana, roomId=channel["_id"], userId=bo.id)
    bare = await rest.post("groups.kick", ana, roomId=group["_id"], username=bo.username)

    assert added["channel"]["usersCount"] == 3
    assert kicked["channel"]["usersCount"] == 2
    assert bare == {"success": True}
    assert await _refused(
        rest, "POST", "channels.kick", ana, roomId=channel["_id"], userId=bo.id
    ) == ("User is not in this room [error-user-not-in-room]", "error-user-not-in-room")
    assert await _refused(
        rest, "POST", "channels.invite", ana, roomId=channel["_id"], userIds=[]
    ) == ("invalid-user-invite-list", None)
    assert (await _refused(rest, "POST", "groups.invite", ana, roomId=group["_id"], usernames=[]))[
        1
    ] == "error-empty-invite-list"


# -- invitations -----------------------------------------------------------------------------------


async def test_invitations(rest: Rest, ana: User, bo: User) -> None:
    """A flat document, a bare list, a bare `true`."""
    room = await _room(rest, ana, door="groups")

    invite = await rest.post("findOrCreateInvite", ana, rid=room["_id"], days=7, maxUses=5)
    same = await rest.post("findOrCreateInvite", ana, rid=room["_id"], days=7, maxUses=5)
    valid = await rest.post("validateInviteToken", token=invite["_id"])
    joined = await rest.post("useInviteToken", bo, token=invite["_id"])
    listed = await rest.ask("GET", "/api/v1/listInvites", user=ana)
    removed = await rest.ask("DELETE", f"/api/v1/removeInvite/{invite['_id']}", user=ana)
    gone = await rest.post("validateInviteToken", token=invite["_id"])

    assert invite == same
    assert invite.keys() == {
        *("_id", "rid", "userId", "createdAt", "_updatedAt", "expires", "url", "days"),
        *("maxUses", "uses", "success"),
    }
    assert (invite["days"], invite["maxUses"], invite["uses"]) == (7, 5, 0)
    assert valid == {"valid": True, "success": True}
    assert joined["room"] == {
        "rid": room["_id"],
        "t": "p",
        "name": room["name"],
        "fname": room["fname"],
    }
    assert isinstance(listed.body, list)
    assert [(one["_id"], one["uses"]) for one in listed.body] == [(invite["_id"], 1)]
    assert removed.body is True
    assert gone["valid"] is False


async def test_refused_invitations(rest: Rest, ana: User, bo: User, cy: User) -> None:
    room = await _room(rest, ana, bo, door="groups")

    async def refused(user: User, **given: Any) -> str | None:
        return (await _refused(rest, "POST", "findOrCreateInvite", user, **given))[1]

    assert await refused(ana, days=1, maxUses=0) == "invalid-params"
    assert await refused(ana, rid="nowhere", days=1, maxUses=0) == "error-invalid-room"
    assert await refused(cy, rid=room["_id"], days=1, maxUses=0) == "error-invalid-room"
    assert await refused(bo, rid=room["_id"], days=1, maxUses=0) == "error-not-allowed"
    assert await refused(ana, rid=room["_id"], days=3, maxUses=0) == "invalid-number-of-days"
    assert await refused(ana, rid=room["_id"], days=1, maxUses=3) == "invalid-number-of-uses"
    assert await _refused(rest, "POST", "useInviteToken", cy, token="nothing") == (
        "The invite token is invalid. [error-invalid-token]",
        "error-invalid-token",
    )
    assert (await _refused(rest, "POST", "useInviteToken", cy))[1] == "invalid-params"
    assert (await _refused(rest, "GET", "listInvites", cy))[1] == "error-not-allowed"
    assert (await _refused(rest, "DELETE", "removeInvite/nothing", ana))[1] == (
        "invalid-invitation-id"
    )
    mail = await _refused(rest, "POST", "sendInvitationEmail", ana, emails=["a@example.org"])
    assert mail == (
        "No mail server is configured [error-email-send-failed]",
        "error-email-send-failed",
    )


# -- direct rooms ----------------------------------------------------------------------------------


async def test_direct_rooms(rest: Rest, admin: User, ana: User, bo: User, cy: User) -> None:
    """The same one each time; deleted by whoever is in it, and gone from the lists."""
    made = await rest.post("im.create", ana, username=bo.username)
    again = await rest.post("dm.create", bo, usernames=ana.username)
    several = await rest.post("im.create", ana, usernames=f"{bo.username},{cy.username}")
    room_id = made["room"]["_id"]

    topic = await rest.post("im.setTopic", ana, roomId=room_id, topic="plans")
    everyone = await rest.get("im.list.everyone", admin, count=0)
    closed = await rest.post("im.close", ana, roomId=room_id)
    twice = await _refused(rest, "POST", "im.close", ana, roomId=room_id)
    await rest.post("im.open", ana, roomId=room_id)
    await rest.post("im.delete", bo, username=ana.username)
    listed = await rest.get("im.list", ana)

    assert made["room"].keys() >= {"t", "rid", "_id", "usernames"}
    assert again["room"]["rid"] == room_id
    assert sorted(several["room"]["usernames"]) == sorted([ana.username, bo.username, cy.username])
    assert topic == {"topic": "plans", "success": True}
    assert room_id in {room["_id"] for room in everyone["ims"]}
    assert closed == {"success": True}
    assert twice == ("The direct message room, is already closed to the sender", None)
    assert [room["_id"] for room in listed["ims"]] == [several["room"]["_id"]]


async def test_refused_direct_rooms(rest: Rest, admin: User, ana: User, bo: User, cy: User) -> None:
    room = (await rest.post("im.create", ana, username=bo.username))["room"]

    assert await _refused(rest, "POST", "im.create", ana) == (
        'Body param "username" or "usernames" is required [error-room-param-not-provided]',
        "error-room-param-not-provided",
    )
    assert (await _refused(rest, "POST", "im.create", ana, username="nobody-here"))[1] == (
        "error-invalid-user"
    )
    assert (
        await _refused(
            rest, "POST", "im.create", ana, usernames=[bo.username, cy.username], excludeSelf=True
        )
    )[1] == "error-not-allowed"
    others = await rest.post(
        "im.create", admin, usernames=[bo.username, cy.username], excludeSelf=True
    )
    assert sorted(others["room"]["usernames"]) == sorted([bo.username, cy.username])
    assert (await _refused(rest, "GET", "im.list.everyone", ana, 403))[1] == "error-unauthorized"
    assert await _refused(rest, "GET", "im.messages.others", admin, roomId=room["_id"]) == (
        "This endpoint is disabled [error-endpoint-disabled]",
        "error-endpoint-disabled",
    )
    assert await _refused(rest, "POST", "im.delete", cy, roomId=room["_id"]) == (
        'The required "roomId" param provided does not match any direct message'
        " [error-room-not-found]",
        "error-room-not-found",
    )
    assert (await _refused(rest, "POST", "im.leave", ana, roomId=room["_id"]))[1] == (
        "error-not-allowed"
    )
    await rest.post("im.delete", admin, roomId=room["_id"])
    assert await _refused(rest, "POST", "im.close", ana, roomId=room["_id"]) == (
        'The required "roomId" param provided does not match any direct message'
        " [error-room-not-found]",
        "error-room-not-found",
    )


async def test_leaving_direct_rooms_of_several(
    rest: Rest, new_user: NewUser, ana: User, bo: User, cy: User
) -> None:
    dan = await new_user("dan")
    names = [user.username for user in (bo, cy, dan)]
    room = (await rest.post("im.create", ana, usernames=names))["room"]

    await rest.post("im.leave", bo, roomId=room["_id"])
    refused = await _refused(rest, "POST", "im.kick", cy, roomId=room["_id"], userId=dan.id)
    await rest.post("im.kick", ana, roomId=room["_id"], userId=dan.id)

    members = await rest.get("im.members", ana, roomId=room["_id"])
    assert refused[1] == "error-not-allowed"
    assert {one["username"] for one in members["members"]} == {ana.username, cy.username}


# -- what leaves with a user -----------------------------------------------------------------------


async def test_deleting_an_account(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Refused while rooms would be left behind; with a confirmation they find an owner or go."""
    shared = await _room(rest, ana, bo)
    alone = await _room(rest, ana, door="groups")
    await rest.post("chat.sendMessage", ana, message={"rid": shared["_id"], "msg": "words"})

    answer = await rest.ask("POST", "/api/v1/users.delete", user=admin, body={"userId": ana.id})
    await rest.post("users.delete", admin, userId=ana.id, confirmRelinquish=True)

    assert answer.status == 400
    assert (answer.body["error"], answer.body["errorType"]) == (
        "[user-last-owner]",
        "user-last-owner",
    )
    assert answer.body["details"] == {
        "shouldChangeOwner": [shared["name"]],
        "shouldBeRemoved": [alone["name"]],
    }
    held = await rest.get("channels.roles", bo, roomId=shared["_id"])
    assert [entry["u"]["_id"] for entry in held["roles"]] == [bo.id]
    found = await rest.get("channels.history", bo, roomId=shared["_id"])
    assert [one["t"] for one in found["messages"]] == ["subscription-role-added"]
    gone = await _refused(rest, "GET", "groups.info", admin, roomId=alone["_id"])
    assert gone[1] == "error-room-not-found"


async def test_a_new_username_is_carried(rest: Rest, ana: User, bo: User) -> None:
    """To both sides of direct rooms and to lists of members."""
    room = await _room(rest, ana, bo)
    direct = (await rest.post("im.create", ana, username=bo.username))["room"]
    wanted = _name("other")

    await rest.post("users.updateOwnBasicInfo", bo, data={"username": wanted, "name": "Other"})

    async def name() -> bool:
        found = await rest.get("subscriptions.getOne", ana, roomId=direct["_id"])
        return (found["subscription"]["name"], found["subscription"]["fname"]) == (
            wanted,
            "Other",
        )

    await eventually(name, within=15, what="the other side has the new name")
    members = await rest.get("channels.members", ana, roomId=room["_id"])
    assert wanted in {one["username"] for one in members["members"]}
    info = await rest.get("im.list", ana)
    assert wanted in info["ims"][0]["usernames"]
