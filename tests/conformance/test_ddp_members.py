"""Members of rooms over DDP: roles, mutes, blocks, and what everybody hears of them."""

from __future__ import annotations

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed, Ddp
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def _logged(client: Ddp, event: str) -> None:
    await client.subscribe("stream-notify-logged", event, False)


def _heard(client: Ddp, event: str) -> list[list[object]]:
    """The arguments of everything that came under `event`."""
    return [
        frame["fields"]["args"]
        for frame in client.frames
        if frame.get("msg") == "changed" and frame["fields"].get("eventName") == event
    ]


async def _channel(rest: Rest, owner: User, *members: User) -> str:
    made = await rest.post(
        "channels.create",
        owner,
        name=f"room-{random_id(8).lower()}",
        members=[user.username for user in members],
    )
    room_id: str = made["channel"]["_id"]
    return room_id


async def _refused(client: Ddp, method: str, *params: object) -> object:
    with pytest.raises(CallFailed) as refused:
        await client.call(method, *params)
    return refused.value.code


async def test_room_roles_are_told_to_all(
    rest: Rest, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    """With the room as their scope, to whoever is signed in."""
    room_id = await _channel(rest, ana, bo)
    client, other = await sign_in(ana), await sign_in(cy)
    await _logged(other, "roles-change")

    for role in ("Owner", "Moderator", "Leader"):
        assert await client.call(f"addRoom{role}", room_id, bo.id) is True
        assert await client.call(f"removeRoom{role}", room_id, bo.id) is True
    again = await _refused(client, "removeRoomOwner", room_id, bo.id)
    last = await _refused(client, "removeRoomOwner", room_id, ana.id)

    user = {"_id": bo.id, "username": bo.username, "name": bo.username.title()}
    expected = [
        [{"type": kind, "_id": role, "u": user, "scope": room_id}]
        for role in ("owner", "moderator", "leader")
        for kind in ("added", "removed")
    ]

    def ours() -> list[list[object]]:
        return [args for args in _heard(other, "roles-change") if args[0]["scope"] == room_id]  # type: ignore[index]

    await eventually(lambda: len(ours()) == 6, within=15, what="six changes of roles")
    assert ours() == expected
    assert (again, last) == ("error-user-not-owner", "error-remove-last-owner")


async def test_workspace_roles_are_told_to_all(
    rest: Rest, sign_in: SignIn, admin: User, bo: User, cy: User
) -> None:
    """What was given and what was taken, without a scope."""
    other = await sign_in(cy)
    await _logged(other, "roles-change")

    await rest.post("users.update", admin, userId=bo.id, data={"roles": ["user", "bot"]})
    await rest.post("users.update", admin, userId=bo.id, data={"roles": ["user"]})

    def ours() -> list[tuple[object, object, bool]]:
        return [
            (change["type"], change["_id"], "scope" in change)  # type: ignore[index,operator]
            for (change,) in _heard(other, "roles-change")
            if change["u"]["_id"] == bo.id  # type: ignore[index]
        ]

    await eventually(lambda: len(ours()) == 2, within=15, what="two changes of roles")
    assert ours() == [("added", "bot", False), ("removed", "bot", False)]


async def test_a_deleted_account_is_told_to_all(
    rest: Rest, sign_in: SignIn, admin: User, bo: User, cy: User
) -> None:
    other = await sign_in(cy)
    await _logged(other, "Users:Deleted")

    await rest.post("users.delete", admin, userId=bo.id)

    expected = [{"userId": bo.id, "messageErasureType": "Delete"}]
    await eventually(
        lambda: expected in _heard(other, "Users:Deleted"), within=15, what="the end of an account"
    )


async def test_erased_messages_are_told_to_the_room(
    rest: Rest, sign_in: SignIn, admin: User, ana: User, bo: User
) -> None:
    """All of them in one frame, none of them one by one."""
    room_id = await _channel(rest, ana, bo)
    said = []
    for number in range(3):
        message = {"rid": room_id, "msg": f"word {number}"}
        said.append((await rest.post("chat.sendMessage", bo, message=message))["message"]["_id"])
    client = await sign_in(ana)
    await client.subscribe("stream-notify-room", f"{room_id}/deleteMessageBulk", False)
    await client.subscribe("stream-notify-room", f"{room_id}/deleteMessage", False)

    await rest.post("users.delete", admin, userId=bo.id)

    bulk = f"{room_id}/deleteMessageBulk"
    await eventually(lambda: _heard(client, bulk), within=15, what="the messages are gone")
    (told,) = _heard(client, bulk)[0]
    assert isinstance(told, dict)
    assert set(said) <= set(told["ids"])
    assert told["users"] == [bo.username]
    assert set(told["ts"]) == {"$gte", "$lte"}
    assert _heard(client, f"{room_id}/deleteMessage") == []


async def test_mute_and_unmute(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """A refused send is an error and a message to the sender alone."""
    room_id = await _channel(rest, ana, bo)
    owner, member = await sign_in(ana), await sign_in(bo)
    await member.subscribe("stream-notify-user", f"{bo.id}/message", False)
    target = {"rid": room_id, "username": bo.username}

    assert await owner.call("muteUserInRoom", target) is True
    refused = await _refused(member, "sendMessage", {"rid": room_id, "msg": "hello"})
    assert await owner.call("unmuteUserInRoom", target) is True
    sent = await member.call("sendMessage", {"rid": room_id, "msg": "hello"})

    assert refused == "You_have_been_muted"
    assert sent["msg"] == "hello"
    event = f"{bo.id}/message"
    await eventually(lambda: _heard(member, event), within=15, what="the reason is shown")
    (shown,) = _heard(member, event)[0]
    assert isinstance(shown, dict)
    assert (shown["rid"], shown["private"]) == (room_id, True)
    assert await _refused(member, "muteUserInRoom", target) == "error-not-allowed"


async def test_block_and_unblock(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """Both sides see it in their memberships, and neither can write."""
    room = (await rest.post("im.create", ana, username=bo.username))["room"]
    mine, theirs = await sign_in(ana), await sign_in(bo)
    await theirs.subscribe("stream-notify-user", f"{bo.id}/subscriptions-changed", False)

    assert await mine.call("blockUser", {"rid": room["_id"], "blocked": bo.id}) is True
    for client in (mine, theirs):
        refused = await _refused(client, "sendMessage", {"rid": room["_id"], "msg": "hello"})
        assert refused == "room_is_blocked"
    assert await mine.call("unblockUser", {"rid": room["_id"], "blocked": bo.id}) is True
    await theirs.call("sendMessage", {"rid": room["_id"], "msg": "hello"})

    event = f"{bo.id}/subscriptions-changed"

    def blocked() -> list[object]:
        return [args[1].get("blocked") for args in _heard(theirs, event)]  # type: ignore[attr-defined]

    await eventually(lambda: blocked()[:2] == [True, None], within=15, what=f"{blocked()}")


async def test_notes_for_oneself(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """Ignored users, notifications, favourites, hidden rooms."""
    room_id = await _channel(rest, ana, bo)
    client = await sign_in(ana)

    ignored = {"rid": room_id, "userId": bo.id, "ignore": True}
    assert await client.call("ignoreUser", ignored) is True
    saved = await client.call("saveNotificationSettings", room_id, "unreadAlert", "all")
    assert saved is True
    assert await client.call("toggleFavorite", room_id, True) == 1
    assert await client.call("hideRoom", room_id) == 1
    hidden = (await rest.get("subscriptions.getOne", ana, roomId=room_id))["subscription"]
    assert await client.call("openRoom", room_id) == 1
    assert await client.call("openRoom", "nowhere") == 0
    opened = (await rest.get("subscriptions.getOne", ana, roomId=room_id))["subscription"]

    assert (hidden["ignored"], hidden["unreadAlert"], hidden["f"]) == ([bo.id], "all", True)
    assert (hidden["open"], opened["open"]) == (False, True)
    odd = await _refused(client, "saveNotificationSettings", room_id, "open", "1")
    assert odd == "error-invalid-settings"
    assert await _refused(client, "ignoreUser", {"rid": room_id, "userId": {"$gt": ""}}) == 400
