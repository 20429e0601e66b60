"""Conformance: messages marked and found over DDP; slash commands and their answers."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance


async def _room(rest: Rest, owner: User, *members: User) -> str:
    names = [member.username for member in members]
    made = await rest.post("groups.create", owner, name=f"m-{random_id(10)}", members=names)
    room_id: str = made["group"]["_id"]
    return room_id


async def _say(rest: Rest, user: User, room_id: str, text: str, **more: Any) -> str:
    sent = await rest.post("chat.postMessage", user, roomId=room_id, text=text, **more)
    message_id: str = sent["message"]["_id"]
    return message_id


async def test_marks_reach_the_room(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """A pin is told with its system message; stars are nobody else's business."""
    room_id = await _room(rest, ana, bo)
    message_id = await _say(rest, bo, room_id, "keep")
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-room-messages", room_id, False)

    starred = await a.call("starMessage", {"_id": message_id, "rid": room_id, "starred": True})
    pinned = await a.call("pinMessage", {"_id": message_id, "rid": room_id})

    assert starred is True
    assert (pinned["_id"], pinned["pinned"]) == (message_id, True)
    assert pinned["starred"] == [{"_id": ana.id}]
    (told,) = await b.event("room-messages", room_id, lambda m: m.get("pinned") is True)
    assert told["_id"] == message_id
    assert "starred" not in told
    assert "pinNotice" not in told
    (notice,) = await b.event("room-messages", room_id, lambda m: m.get("t") == "message_pinned")
    assert notice["attachments"][0]["text"] == "keep"
    assert await a.call("unpinMessage", {"_id": message_id}) is True
    await b.event("room-messages", room_id, lambda m: m.get("pinned") is False)
    with pytest.raises(CallFailed) as refused:
        await b.call("pinMessage", {"_id": message_id})
    assert refused.value.code == "error-action-not-allowed"


async def test_following_and_reading_threads(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Followers get unread threads until they read or stop."""
    room_id = await _room(rest, ana, bo)
    thread = await _say(rest, ana, room_id, "thread")
    b = await sign_in(bo)
    changed = f"{bo.id}/subscriptions-changed"
    await b.subscribe("stream-notify-user", changed, False)

    assert await b.call("followMessage", {"mid": thread}) is True
    await _say(rest, ana, room_id, "reply", tmid=thread)
    await b.event("notify-user", changed, lambda _, s: s.get("tunread") == [thread])
    b.frames.clear()
    await b.call("readThreads", thread)
    await b.event("notify-user", changed, lambda _, s: s["rid"] == room_id and "tunread" not in s)
    assert await b.call("unfollowMessage", {"mid": thread}) is True


async def test_unread_and_reports(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """Marking unread alerts again; a report needs a reason."""
    room_id = await _room(rest, ana, bo)
    message_id = await _say(rest, ana, room_id, "x")
    b = await sign_in(bo)
    changed = f"{bo.id}/subscriptions-changed"
    await b.call("readMessages", room_id)
    await b.subscribe("stream-notify-user", changed, False)

    await b.call("unreadMessages", {"_id": message_id})
    await b.event("notify-user", changed, lambda _, s: s["rid"] == room_id and s["alert"] is True)
    await b.call("unreadMessages", None, room_id)
    assert await b.call("reportMessage", message_id, "spam") is True
    with pytest.raises(CallFailed) as refused:
        await b.call("reportMessage", message_id, " ")
    assert refused.value.code == "error-invalid-description"
    assert await b.call("getReadReceipts", {"messageId": message_id}) == []


async def test_searching(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """Words of a room's messages; nothing for outsiders."""
    room_id = await _room(rest, ana)
    message_id = await _say(rest, ana, room_id, "find me")
    a, b = await sign_in(ana), await sign_in(bo)

    found = await a.call("messageSearch", "ME find", room_id, 5, 0)

    assert [one["_id"] for one in found["message"]["docs"]] == [message_id]
    assert await a.call("messageSearch", "", room_id) == {"message": {"docs": []}}
    with pytest.raises(CallFailed) as refused:
        await b.call("messageSearch", "find", room_id)
    assert refused.value.code == "error-not-allowed"
    for pattern in ({"$regex": "."}, {"$ne": None}, 5):
        with pytest.raises(CallFailed) as refused:
            await a.call("messageSearch", pattern, room_id)
        assert refused.value.code == 400


async def test_who_is_muted_does_not_react(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """The method answers false."""
    room_id = await _room(rest, ana, bo)
    message_id = await _say(rest, ana, room_id, "x")
    a, b = await sign_in(ana), await sign_in(bo)
    await a.call("muteUserInRoom", {"rid": room_id, "username": bo.username})

    assert await b.call("setReaction", ":smile:", message_id, True) is False


async def test_commands(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """What they say is a message; what they answer only the caller sees."""
    room_id = await _room(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    await a.subscribe("stream-notify-user", f"{ana.id}/message", False)
    await b.subscribe("stream-room-messages", room_id, False)

    async def run(command: str, parameters: str = "", **more: Any) -> Any:
        message = {"rid": room_id, **more}
        typed = {"cmd": command, "params": parameters, "msg": message, "triggerId": "t"}
        return await a.call("slashCommand", typed)

    assert await run("me", "waves", _id="slash1") is None
    (said,) = await b.event("room-messages", room_id, lambda m: m["msg"] == "_waves_")
    assert (said["_id"], said["u"]["_id"]) == ("slash1", ana.id)
    await run("kick", f"@{random_id(8)}")
    (told,) = await a.event("notify-user", f"{ana.id}/message")
    assert told["msg"].startswith("No user by the name of")
    assert (told["rid"], told["private"]) == (room_id, True)
    await run("status", "at lunch")
    await a.event("notify-user", f"{ana.id}/message", lambda m: "changed" in m["msg"])
    status = await rest.get("users.getStatus", bo, userId=ana.id)
    assert status["message"] == "at lunch"
    with pytest.raises(CallFailed) as unknown:
        await run("nope")
    assert unknown.value.code == "invalid-command"
