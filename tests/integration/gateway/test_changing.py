"""Endpoints that change accounts, tokens and rooms."""

from __future__ import annotations

import pytest

from tests.integration.gateway.conftest import Site

pytestmark = pytest.mark.integration


# -- rooms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "name", "stored"),
    [
        ("setTopic", "topic", "topic"),
        ("setDescription", "description", "description"),
        ("setPurpose", "purpose", "description"),
        ("setAnnouncement", "announcement", "announcement"),
    ],
)
async def test_descriptions(site: Site, verb: str, name: str, stored: str) -> None:
    """The text comes back under its own name; empty clears; absent and unchanged are refused."""
    room = site.world.add_room("c", "town", "ana")
    selector = {"roomId": room["_id"]}
    changed = await site.post(f"channels.{verb}", {**selector, name: "new"}, by="ana")
    same = await site.post(f"channels.{verb}", {**selector, name: "new"}, by="ana")
    absent = await site.post(f"channels.{verb}", selector, by="ana")
    cleared = await site.post(f"channels.{verb}", {**selector, name: ""}, by="ana")
    foreign = await site.post(f"channels.{verb}", {**selector, name: "x"}, by="bo")

    assert changed.body == {name: "new", "success": True}
    assert same.body["error"] == (f"The channel {name} is the same as what it would be changed to.")
    assert absent.body == {"success": False, "error": f'The bodyParam "{name}" is required'}
    assert cleared.body == {name: "", "success": True}
    assert site.world.rooms[room["_id"]][stored] == ""
    assert foreign.body["errorType"] == "error-not-allowed"


async def test_a_room_changes_its_door(site: Site) -> None:
    """After `setType` only the other door finds it; the answer keeps its key."""
    room = site.world.add_room("c", "town", "ana")
    selector = {"roomId": room["_id"]}
    changed = await site.post("channels.setType", {**selector, "type": "p"}, by="ana")
    same = await site.post("groups.setType", {**selector, "type": "p"}, by="ana")
    strange = await site.post("groups.setType", {**selector, "type": "x"}, by="ana")

    assert changed.body["channel"]["t"] == "p"
    assert (await site.get(f"channels.info?roomId={room['_id']}", by="ana")).status == 400
    assert (await site.get(f"groups.info?roomId={room['_id']}", by="ana")).status == 200
    assert same.body["error"] == (
        "The private group type is the same as what it would be changed to."
    )
    assert strange.body["errorType"] == "invalid-params"


async def test_flags_and_names(site: Site) -> None:
    """Read-only, default, join code, custom fields, name: changed, and refused when the same."""
    room = site.world.add_room("c", "town", "ana")
    selector = {"roomId": room["_id"]}

    async def post(verb: str, **body: object) -> dict[str, object]:
        reply = await site.post(f"channels.{verb}", {**selector, **body}, by="ana")
        found: dict[str, object] = reply.body
        return found

    assert (await post("setReadOnly", readOnly=False))["error"] == (
        "The channel read only setting is the same as what it would be changed to."
    )
    assert (await post("setReadOnly", readOnly=True))["success"] is True
    assert (await post("setDefault"))["errorType"] == "error-channels-setdefault-is-same"
    assert (await post("setDefault", default=False))["errorType"] == (
        "error-channels-setdefault-missing-default-param"
    )
    assert (await post("setDefault", default="true"))["success"] is True
    coded = await post("setJoinCode", joinCode="sesame")
    assert coded["channel"]["joinCodeRequired"] is True  # type: ignore[index]  # JSON
    assert "sesame" not in str(coded)
    assert "error" in await post("setCustomFields", customFields=[])
    assert (await post("setCustomFields", customFields={"a": 1}))["success"] is True
    assert (await post("rename", name="town"))["error"] == (
        "The channel name is the same as what it would be renamed to."
    )
    renamed = await post("rename", name="city")
    assert renamed["channel"]["name"] == "city"  # type: ignore[index]  # JSON


async def test_archive_open_close_delete(site: Site) -> None:
    """Each twice: the second time is refused in its own words."""
    room = site.world.add_room("p", "town", "ana", "bo")
    selector = {"roomId": room["_id"]}

    async def error(verb: str, by: str = "ana") -> str | None:
        reply = await site.post(f"groups.{verb}", selector, by=by)
        found: str | None = reply.body.get("error")
        return found

    assert await error("unarchive") == "The private group, town, is not archived"
    assert await error("archive") is None
    assert await error("archive") == "The private group, town, is archived [error-room-archived]"
    assert await error("unarchive") is None
    assert await error("open") == "The private group, town, is already open for the sender"
    assert await error("close") is None
    assert await error("close") == "The private group, town, is already closed to the sender"
    assert await error("open") is None
    assert await error("delete", by="bo") == "Not allowed [error-not-allowed]"
    assert await error("delete") is None
    assert site.world.rooms == {}


async def test_open_without_a_membership(site: Site) -> None:
    """Named in the refusal."""
    room = site.world.add_room("c", "town", "ana")
    reply = await site.post("channels.open", {"roomId": room["_id"]}, by="bo")

    assert reply.body["error"] == 'The user/callee is not in the channel "town".'


async def test_the_last_owner_stays_even_alone(site: Site) -> None:
    """Clients of this API expect the refusal; a second owner may go."""
    room = site.world.add_room("p", "town", "ana")
    selector = {"roomId": room["_id"]}
    alone = await site.post("groups.leave", selector, by="ana")
    site.world.join(room["_id"], "id-bo", "owner")
    second = await site.post("groups.leave", selector, by="ana")

    assert alone.body["errorType"] == "error-you-are-last-owner"
    assert second.body["success"] is True


async def test_direct_rooms_open_and_close(site: Site) -> None:
    """Closing twice is refused."""
    room = (await site.post("im.create", {"username": "bo"}, by="ana")).body["room"]
    selector = {"roomId": room["_id"]}
    closed = await site.post("im.close", selector, by="ana")
    again = await site.post("dm.close", selector, by="ana")
    opened = await site.post("im.open", selector, by="ana")

    assert closed.body == opened.body == {"success": True}
    assert again.body["error"] == "The direct message room, is already closed to the sender"


async def test_any_room(site: Site) -> None:
    """Favourite, hidden, several settings at once, archived, deleted."""
    room = site.world.add_room("c", "town", "ana")
    selector = {"roomId": room["_id"]}
    membership = site.world.memberships[room["_id"], "id-ana"]
    favorite = await site.post("rooms.favorite", {**selector, "favorite": True}, by="ana")
    nothing = await site.post("rooms.favorite", selector, by="ana")
    hidden = await site.post("rooms.hide", selector, by="ana")
    saved = await site.post(
        "rooms.saveRoomSettings",
        {"rid": room["_id"], "roomTopic": "t", "readOnly": True, "unknown": 1},
        by="ana",
    )
    archived = await site.post(
        "rooms.changeArchivationState", {"rid": room["_id"], "action": "archive"}, by="ana"
    )
    unnamed = await site.post("rooms.delete", {}, by="ana")
    deleted = await site.post("rooms.delete", selector, by="ana")

    assert favorite.body == hidden.body == deleted.body == {"success": True}
    assert (membership["f"], membership["open"]) == (True, False)
    assert nothing.body["error"] == "The 'favorite' param is required"
    assert saved.body == {"rid": room["_id"], "success": True}
    assert (room["topic"], room["ro"]) == ("t", True)
    assert archived.body == {"result": True, "success": True}
    assert room["archived"] is True
    assert unnamed.body["error"] == "The 'roomId' param is required"


# -- accounts -----------------------------------------------------------------------------------


async def test_own_account(site: Site) -> None:
    """Harmless fields by oneself; others only with rights, and never around the password."""
    own = await site.post("users.update", {"userId": "id-ana", "data": {"name": "Anna"}}, by="ana")
    password = await site.post(
        "users.update", {"userId": "id-ana", "data": {"password": "new"}}, by="ana"
    )
    roles = await site.post(
        "users.update", {"userId": "id-ana", "data": {"roles": ["admin"]}}, by="ana"
    )
    other = await site.post("users.update", {"userId": "id-bo", "data": {"name": "x"}}, by="ana")
    allowed = await site.post(
        "users.update", {"userId": "id-bo", "data": {"name": "Bob", "active": False}}, by="root"
    )

    assert own.body["user"]["name"] == "Anna"
    assert (password.status, roles.status, other.status) == (403, 403, 403)
    assert (allowed.body["user"]["name"], allowed.body["user"]["active"]) == ("Bob", False)
    assert site.world.users["id-ana"]["roles"] == ["user"]


async def test_a_new_address_asks_for_the_password(site: Site) -> None:
    """Without it nothing changes; a wrong one is said so; the present address needs none."""
    same = await site.post(
        "users.updateOwnBasicInfo",
        {"data": {"email": "ANA@example.org", "bio": "hi"}},
        by="ana",
    )
    missing = await site.post(
        "users.updateOwnBasicInfo", {"data": {"email": "new@example.org"}}, by="ana"
    )
    wrong = await site.post(
        "users.updateOwnBasicInfo",
        {"data": {"email": "new@example.org", "currentPassword": "x"}},
        by="ana",
    )
    right = await site.post(
        "users.updateOwnBasicInfo",
        {"data": {"email": "new@example.org", "currentPassword": "secret", "statusText": "y"}},
        by="ana",
    )

    assert same.body["user"]["bio"] == "hi"
    assert missing.status == 400
    assert missing.body["errorType"] == "totp-required"
    assert missing.body["details"]["method"] == "password"
    assert wrong.body["errorType"] == "totp-invalid"
    assert right.body["user"]["email"] == "new@example.org"
    assert (await site.get("users.getStatus", by="ana")).body["message"] == "y"


async def test_deactivation(site: Site) -> None:
    """Ends tokens at once, unless rooms would have no owner."""
    site.world.add_room("c", "town", "bo", "ana")
    await site.get("me", by="ana")
    refused = await site.post(
        "users.setActiveStatus", {"userId": "id-bo", "activeStatus": False}, by="root"
    )
    done = await site.post(
        "users.setActiveStatus", {"userId": "id-ana", "activeStatus": False}, by="root"
    )
    forced = await site.post(
        "users.setActiveStatus",
        {"userId": "id-bo", "activeStatus": False, "confirmRelinquish": True},
        by="root",
    )
    ordinary = await site.post(
        "users.setActiveStatus", {"userId": "id-cy", "activeStatus": False}, by="cy"
    )

    assert refused.body["errorType"] == "user-last-owner"
    assert done.body["user"] == {"_id": "id-ana", "active": False}
    assert (await site.get("me", by="ana")).status == 401
    assert forced.body["success"] is True
    assert ordinary.status == 403


async def test_preferences_and_names(site: Site) -> None:
    """One's own; another's with rights; whether a name is free."""
    own = await site.post("users.setPreferences", {"data": {"idleTimeLimit": 60}}, by="ana")
    other = await site.post(
        "users.setPreferences", {"userId": "id-bo", "data": {"useEmojis": False}}, by="ana"
    )
    read = await site.get("users.getPreferences", by="ana")
    free = await site.get("users.checkUsernameAvailability?username=new", by="ana")
    taken = await site.get("users.checkUsernameAvailability?username=bo", by="ana")

    assert own.body["user"]["settings"]["preferences"] == {"idleTimeLimit": 60}
    assert other.body["error"] == "Editing user is not allowed [error-action-not-allowed]"
    assert read.body["preferences"] == {"idleTimeLimit": 60}
    assert (free.body["result"], taken.body["result"]) == (True, False)


# -- tokens -------------------------------------------------------------------------------------


async def test_personal_tokens(site: Site) -> None:
    """Made, listed without its text, replaced, removed."""
    name = {"tokenName": "bot"}
    made = await site.post("users.generatePersonalAccessToken", name, by="ana")
    headers = {"X-Auth-Token": made.body["token"], "X-User-Id": "id-ana"}
    works = await site.get("me", headers=headers)
    again = await site.post("users.generatePersonalAccessToken", name, by="ana")
    listed = await site.get("users.getPersonalAccessTokens", by="ana")
    renewed = await site.post("users.regeneratePersonalAccessToken", name, by="ana")
    old = await site.get("me", headers=headers)
    removed = await site.post("users.removePersonalAccessToken", name, by="ana")
    nameless = await site.post("users.generatePersonalAccessToken", {}, by="ana")
    site.authorization.revoked.add("create-personal-access-tokens")
    refused = await site.post("users.generatePersonalAccessToken", name, by="ana")

    assert works.status == 200
    assert again.body["errorType"] == "error-token-already-exists"
    assert [token["name"] for token in listed.body["tokens"]] == ["bot"]
    assert made.body["token"] not in listed.raw.decode()
    assert renewed.body["token"] != made.body["token"]
    assert old.status == 401
    assert removed.body == {"success": True}
    assert nameless.body["error"] == "The 'tokenName' param is required"
    assert refused.body["errorType"] == "not-authorized"


async def test_tokens_for_others(site: Site) -> None:
    """Oneself always; others for administrators, or for who knows the server's secret."""
    body = {"username": "bo"}
    own = await site.post("users.createToken", {"userId": "id-ana"}, by="ana")
    other = await site.post("users.createToken", body, by="ana")
    administrator = await site.post("users.createToken", body, by="root")
    knowing = await site.post("users.createToken", {**body, "secret": "s3cret"}, by="ana")

    assert own.body["data"]["userId"] == "id-ana"
    assert other.body["errorType"] == "error-not-authorized"
    assert administrator.body["data"]["authToken"]
    assert knowing.body["data"]["userId"] == "id-bo"


async def test_ending_sign_ins(site: Site) -> None:
    """All but this one, all by a new one, all of somebody else."""
    second = site.world.token_for("ana")
    await site.get("me", headers=second)
    await site.post("users.removeOtherTokens", {}, by="ana")
    assert (await site.get("me", headers=second)).status == 401

    fresh = await site.post("users.logoutOtherClients", {}, by="ana")
    assert (await site.get("me", by="ana")).status == 401
    headers = {"X-Auth-Token": fresh.body["token"], "X-User-Id": "id-ana"}
    assert (await site.get("me", headers=headers)).status == 200
    assert fresh.body["tokenExpires"].endswith("Z")

    refused = await site.post("users.logout", {"userId": "id-ana"}, by="bo")
    done = await site.post("users.logout", {"userId": "id-ana"}, by="root")
    assert refused.status == 403
    assert done.body["message"] == "User id-ana has been logged out!"
    assert (await site.get("me", headers=headers)).status == 401
