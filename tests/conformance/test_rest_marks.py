"""Conformance: messages marked, listed, found and synchronized over REST; slash commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance

NO_MESSAGE = (
    'The provided "messageId" does not match any existing message. [error-message-not-found]'
)
FORBIDDEN = "User does not have the permissions required for this action [error-unauthorized]"


async def _room(rest: Rest, user: User, *members: User, kind: str = "channel") -> str:
    body = {"name": f"m-{random_id(10)}", "members": [member.username for member in members]}
    made = await rest.post(f"{kind}s.create", user, **body)
    room_id: str = made[kind]["_id"]
    return room_id


async def _say(rest: Rest, user: User, room_id: str, text: str, **more: Any) -> str:
    sent = await rest.post("chat.postMessage", user, roomId=room_id, text=text, **more)
    message_id: str = sent["message"]["_id"]
    return message_id


async def _refused(rest: Rest, method: str, endpoint: str, user: User, **values: Any) -> str:
    """The `error` of a call that has to be refused with 400."""
    where: dict[str, Any] = {"query": values} if method == "GET" else {"body": values}
    answer = await rest.ask(method, f"/api/v1/{endpoint}", user=user, **where)
    assert answer.status == 400, answer
    assert answer.body["success"] is False
    error: str = answer.body["error"]
    return error


async def _texts(rest: Rest, endpoint: str, user: User, **query: Any) -> list[str]:
    """The texts of a paged list of messages."""
    answer = await rest.get(endpoint, user, **query)
    assert {"count", "offset", "total", "success"} <= answer.keys()
    key = next(key for key in ("messages", "mentions", "threads") if key in answer)
    assert answer["count"] == len(answer[key])
    return [message["msg"] for message in answer[key]]


async def test_stars(rest: Rest, ana: User, bo: User) -> None:
    """One's own, listed newest first, seen by nobody else."""
    room_id = await _room(rest, ana, bo)
    first, second = [await _say(rest, ana, room_id, text) for text in ("one", "two")]
    for message_id in (first, second):
        assert await rest.post("chat.starMessage", ana, messageId=message_id) == {"success": True}

    assert await _texts(rest, "chat.getStarredMessages", ana, roomId=room_id) == ["two", "one"]
    assert await _texts(rest, "chat.getStarredMessages", ana, roomId=room_id, count=1) == ["two"]
    own = await rest.get("chat.getMessage", ana, msgId=first)
    others = await rest.get("chat.getMessage", bo, msgId=first)
    assert own["message"]["starred"] == [{"_id": ana.id}]
    assert "starred" not in others["message"]
    await rest.post("chat.unStarMessage", ana, messageId=first)
    assert await _texts(rest, "chat.getStarredMessages", ana, roomId=room_id) == ["two"]
    for endpoint in ("chat.starMessage", "chat.unStarMessage"):
        assert await _refused(rest, "POST", endpoint, ana, messageId="none") == NO_MESSAGE
        assert await _refused(rest, "POST", endpoint, ana) == (
            "must have required property 'messageId' [invalid-params]"
        )


async def test_pins(rest: Rest, ana: User, bo: User) -> None:
    """Pinning answers with the system message that quotes what was pinned."""
    room_id = await _room(rest, ana, bo)
    message_id = await _say(rest, bo, room_id, "keep")

    notice = (await rest.post("chat.pinMessage", ana, messageId=message_id))["message"]

    assert (notice["t"], notice["rid"], notice["u"]["_id"]) == ("message_pinned", room_id, ana.id)
    assert notice["attachments"][0]["text"] == "keep"
    assert notice["attachments"][0]["author_name"] == bo.username
    assert await _texts(rest, "chat.getPinnedMessages", bo, roomId=room_id) == ["keep"]
    pinned = (await rest.get("chat.getMessage", bo, msgId=message_id))["message"]
    assert (pinned["pinned"], pinned["pinnedBy"]["_id"]) == (True, ana.id)
    assert await _refused(rest, "POST", "chat.pinMessage", bo, messageId=message_id) == (
        "Message pinning not allowed [error-action-not-allowed]"
    )
    assert await rest.post("chat.unPinMessage", ana, messageId=message_id) == {"success": True}
    assert await _texts(rest, "chat.getPinnedMessages", bo, roomId=room_id) == []
    for endpoint in ("chat.pinMessage", "chat.unPinMessage"):
        assert await _refused(rest, "POST", endpoint, ana, messageId="none") == NO_MESSAGE


async def test_mentions(rest: Rest, ana: User, bo: User) -> None:
    """Newest first in one list, oldest first in the other."""
    room_id = await _room(rest, ana, bo)
    for number in (1, 2):
        await _say(rest, ana, room_id, f"@{bo.username} {number}")
    await _say(rest, ana, room_id, "@all")
    oldest_first = [f"@{bo.username} {number}" for number in (1, 2)]

    newest = await _texts(rest, "chat.getMentionedMessages", bo, roomId=room_id)
    by_channel = "channels.getAllUserMentionsByChannel"

    assert newest == oldest_first[::-1]
    assert await _texts(rest, by_channel, bo, roomId=room_id) == oldest_first
    assert await _texts(rest, by_channel, ana, roomId=room_id) == []
    assert await _refused(rest, "GET", by_channel, ana) == (
        'The parameter "roomId" or "roomName" is required [error-roomid-param-not-provided]'
    )


async def test_deleted_messages(rest: Rest, ana: User) -> None:
    """Only their ids, since a moment."""
    room_id = await _room(rest, ana)
    message_id = await _say(rest, ana, room_id, "gone")
    since = datetime.now(UTC) - timedelta(minutes=1)
    await rest.post("chat.delete", ana, roomId=room_id, msgId=message_id)

    found = await rest.get("chat.getDeletedMessages", ana, roomId=room_id, since=since.isoformat())

    assert found["messages"] == [{"_id": message_id}]
    assert (found["count"], found["offset"], found["total"]) == (1, 0, 1)
    later = (since + timedelta(hours=1)).isoformat()
    nothing = await rest.get("chat.getDeletedMessages", ana, roomId=room_id, since=later)
    assert nothing["messages"] == []


async def test_threads(rest: Rest, ana: User, bo: User) -> None:
    """Lists by who follows and what is unread; replies, following, catching up."""
    room_id = await _room(rest, ana, bo)
    first = await _say(rest, ana, room_id, "Question")
    other = await _say(rest, ana, room_id, "other")
    reply = await _say(rest, ana, room_id, "answer", tmid=first)
    await _say(rest, ana, room_id, "x", tmid=other)

    async def threads(user: User, **query: Any) -> list[str]:
        return await _texts(rest, "chat.getThreadsList", user, rid=room_id, **query)

    assert await threads(bo) == ["other", "Question"]
    assert await threads(bo, type="following") == []
    assert await rest.post("chat.followMessage", bo, mid=reply) == {"success": True}
    assert await threads(bo, type="following") == ["Question"]
    assert await threads(bo, text="QUEST") == ["Question"]
    assert await _texts(rest, "chat.getThreadMessages", bo, tmid=first) == ["answer"]
    assert await _texts(rest, "chat.getThreadMessages", bo, tmid=reply) == []
    await rest.post("chat.unfollowMessage", bo, mid=first)
    assert await threads(bo, type="following") == []
    assert await _refused(rest, "GET", "chat.getThreadMessages", bo, tmid="none") == (
        "Invalid Message [error-invalid-message]"
    )
    assert await _refused(rest, "GET", "chat.getThreadsList", bo, rid=room_id, type="odd") == (
        "must be equal to one of the allowed values [invalid-params]"
    )
    await rest.post("chat.delete", ana, roomId=room_id, msgId=reply)
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    listed = await rest.get("chat.syncThreadsList", bo, rid=room_id, updatedSince=since)
    replies = await rest.get("chat.syncThreadMessages", bo, tmid=first, updatedSince=since)
    assert {one["_id"] for one in listed["threads"]["update"]} == {first, other}
    assert listed["threads"]["remove"] == []
    assert replies["messages"]["update"] == []
    assert [one["_id"] for one in replies["messages"]["remove"]] == [reply]
    for endpoint, named in (("chat.syncThreadsList", "rid"), ("chat.syncThreadMessages", "tmid")):
        wrong = {named: room_id if named == "rid" else first, "updatedSince": "x"}
        assert await _refused(rest, "GET", endpoint, bo, **wrong) == (
            'The "updatedSince" query parameter must be a valid date. '
            "[error-updatedSince-param-invalid]"
        )


async def test_discussions(rest: Rest, ana: User) -> None:
    """The messages that lead to them."""
    room_id = await _room(rest, ana)
    for name in ("First", "Second"):
        await rest.post("rooms.createDiscussion", ana, prid=room_id, t_name=name)

    found = await rest.get("chat.getDiscussions", ana, roomId=room_id)

    assert [one["msg"] for one in found["messages"]] == ["Second", "First"]
    assert all(one["t"] == "discussion-created" and one["drid"] for one in found["messages"])
    assert await _texts(rest, "chat.getDiscussions", ana, roomId=room_id, text="fir") == ["First"]


async def test_synchronizing(rest: Rest, ana: User) -> None:
    """By a date, and by pages in both directions."""
    room_id = await _room(rest, ana)
    ids = [await _say(rest, ana, room_id, f"{number}") for number in range(4)]
    await rest.post("chat.delete", ana, roomId=room_id, msgId=ids[0])
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()

    by_date = await rest.get("chat.syncMessages", ana, roomId=room_id, lastUpdate=since)
    pages: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        query = {"roomId": room_id, "type": "UPDATED", "count": 2, "next": cursor}
        result = (await rest.get("chat.syncMessages", ana, **query))["result"]
        pages += [one["_id"] for one in result["updated"]]
        cursor = result["cursor"]["next"]
    deleted = await rest.get("chat.syncMessages", ana, roomId=room_id, type="DELETED", next=0)
    back = await rest.get(
        "chat.syncMessages",
        ana,
        roomId=room_id,
        type="UPDATED",
        previous=int(datetime.now(UTC).timestamp() * 1000) + 60_000,
        count=2,
    )

    assert [one["_id"] for one in by_date["result"]["updated"]] == ids[1:]
    assert [one["_id"] for one in by_date["result"]["deleted"]] == [ids[0]]
    assert set(by_date["result"]["deleted"][0]) == {"_id", "_deletedAt"}
    assert pages == ids[1:]
    assert [one["_id"] for one in deleted["result"]["deleted"]] == [ids[0]]
    assert deleted["result"]["cursor"]["next"] is None
    assert [one["_id"] for one in back["result"]["updated"]] == ids[:1:-1]
    assert back["result"]["cursor"]["previous"] is not None
    both = {"roomId": room_id, "type": "UPDATED", "next": 1, "previous": 2}
    assert "[error-cursor-conflict]" in await _refused(
        rest, "GET", "chat.syncMessages", ana, **both
    )


async def test_searching(rest: Rest, ana: User, bo: User) -> None:
    """At once, newest first, by words, phrases and literal text; only rooms one may read."""
    room_id = await _room(rest, ana, kind="group")
    for text in ("brown fox", "the fox is brown", "a.*b"):
        await _say(rest, ana, room_id, text)

    async def found(text: str) -> list[str]:
        return await _texts(rest, "chat.search", ana, roomId=room_id, searchText=text)

    assert await found("FOX brown") == ["the fox is brown", "brown fox"]
    assert await found('"brown fox"') == ["brown fox"]
    assert await found("/.*/") == ["a.*b"]
    assert await found("nothing") == []
    assert await _refused(rest, "GET", "chat.search", ana, roomId=room_id) == (
        'The required "searchText" query param is missing. [error-searchText-param-not-provided]'
    )
    refused = await _refused(rest, "GET", "chat.search", bo, roomId=room_id, searchText="fox")
    assert refused == "Not allowed [error-not-allowed]"


async def test_unread(rest: Rest, ana: User, bo: User) -> None:
    """From a room's newest message, or from one of somebody else."""
    room_id = await _room(rest, ana, bo)
    assert await _refused(rest, "POST", "subscriptions.unread", bo, roomId=room_id) == (
        "There are no messages to mark unread [error-no-message-for-unread]"
    )
    message_id = await _say(rest, ana, room_id, "x")
    for body in ({"roomId": room_id}, {"firstUnreadMessage": {"_id": message_id}}):
        await rest.post("subscriptions.read", bo, rid=room_id)
        assert await rest.post("subscriptions.unread", bo, **body) == {"success": True}
        mine = (await rest.get("subscriptions.getOne", bo, roomId=room_id))["subscription"]
        assert (mine["alert"], mine["open"]) == (True, True)
    await rest.post("subscriptions.unread", ana, roomId=room_id)  # the own message counts here
    own = {"firstUnreadMessage": {"_id": message_id}}
    assert await _refused(rest, "POST", "subscriptions.unread", ana, **own) == (
        "Not allowed [error-action-not-allowed]"
    )


async def test_reports(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Users report, moderators of the workspace see and settle it."""
    room_id = await _room(rest, ana, bo)
    message_id = await _say(rest, ana, room_id, "rude")
    report = {"messageId": message_id, "description": "spam"}
    assert await rest.post("chat.reportMessage", bo, **report) == {"success": True}
    assert await _refused(rest, "POST", "chat.reportMessage", bo, description="x") == (
        'The required "messageId" param is missing.'
    )
    assert await _refused(rest, "POST", "chat.reportMessage", bo, messageId=message_id) == (
        'The required "description" param is missing.'
    )

    by_user = await rest.get("moderation.reportsByUsers", admin, selector=ana.username)
    of_ana = await rest.get("moderation.user.reportedMessages", admin, userId=ana.id)
    of_message = await rest.get("moderation.reports", admin, msgId=message_id)

    assert [(one["userId"], one["count"]) for one in by_user["reports"]] == [(ana.id, 1)]
    assert of_ana["user"]["username"] == ana.username
    assert [one["message"]["msg"] for one in of_ana["messages"]] == ["rude"]
    assert [one["reportedBy"]["_id"] for one in of_message["reports"]] == [bo.id]
    denied = await rest.ask("GET", "/api/v1/moderation.reportsByUsers", user=ana)
    assert (denied.status, denied.body["error"]) == (403, FORBIDDEN)
    await rest.post("moderation.dismissReports", admin, msgId=message_id)
    gone = await rest.get("moderation.reportsByUsers", admin, selector=ana.username)
    assert gone["reports"] == []


async def test_receipts(rest: Rest, ana: User) -> None:
    """None while the workspace does not keep track."""
    message_id = await _say(rest, ana, await _room(rest, ana), "x")

    found = await rest.get("chat.getMessageReadReceipts", ana, messageId=message_id)

    assert found == {"receipts": [], "success": True}
    unknown = await _refused(rest, "GET", "chat.getMessageReadReceipts", ana, messageId="none")
    assert unknown == NO_MESSAGE


async def test_outsiders_are_refused(rest: Rest, ana: User, bo: User) -> None:
    """A closed room and one that does not exist look the same everywhere."""
    room_id = await _room(rest, ana, kind="group")
    message_id = await _say(rest, ana, room_id, f"@{bo.username} secret")
    since = "2026-01-01T00:00:00.000Z"
    for endpoint, key, more in (
        ("chat.getStarredMessages", "roomId", {}),
        ("chat.getPinnedMessages", "roomId", {}),
        ("chat.getMentionedMessages", "roomId", {}),
        ("chat.getDeletedMessages", "roomId", {"since": since}),
        ("chat.getDiscussions", "roomId", {}),
        ("chat.search", "roomId", {"searchText": "secret"}),
        ("chat.syncMessages", "roomId", {"lastUpdate": since}),
        ("chat.syncMessages", "roomId", {"type": "DELETED", "next": 0}),
        ("chat.getThreadsList", "rid", {}),
        ("chat.syncThreadsList", "rid", {"updatedSince": since}),
        ("channels.getAllUserMentionsByChannel", "roomId", {}),
        ("chat.getMessageReadReceipts", "messageId", {}),
        ("chat.syncThreadMessages", "tmid", {"updatedSince": since}),
        ("chat.getThreadMessages", "tmid", {}),
    ):
        real = message_id if key in ("messageId", "tmid") else room_id
        answers = [
            await rest.ask("GET", f"/api/v1/{endpoint}", user=bo, query={key: value, **more})
            for value in (real, "doesnotexist")
        ]
        assert [answer.status for answer in answers] == [400, 400], endpoint
        assert answers[0].body == answers[1].body, endpoint
    for endpoint, body_key in (
        ("chat.starMessage", "messageId"),
        ("chat.pinMessage", "messageId"),
        ("chat.unPinMessage", "messageId"),
        ("chat.followMessage", "mid"),
    ):
        assert await _refused(rest, "POST", endpoint, bo, **{body_key: message_id}) == NO_MESSAGE


async def test_commands(rest: Rest, ana: User, bo: User) -> None:
    """Listed, looked up, run; with the exact sentences of what is refused."""
    room_id = await _room(rest, ana)
    closed = await _room(rest, bo, kind="group")

    listed = await rest.get("commands.list", ana, count=0)
    one = await rest.get("commands.list", ana, query='{"command":"shrug"}')
    shrug = (await rest.get("commands.get", ana, command="shrug"))["command"]

    assert listed["appsLoaded"] is True
    assert listed["total"] == len(listed["commands"]) >= 20
    assert one["commands"] == [shrug]
    assert set(shrug) == {"command", "description", "params", "clientOnly", "providesPreview"}
    ran = await rest.post("commands.run", ana, command="shrug", roomId=room_id, params="well")
    assert "result" in ran
    history = await rest.get("channels.history", ana, roomId=room_id)
    assert history["messages"][0]["msg"] == "well ¯\\_(ツ)_/¯"
    assert await _refused(rest, "GET", "commands.get", ana, command="nope") == (
        "There is no command in the system by the name of: nope"
    )
    for method in ("GET", "POST"):
        where = {"command": "me", "roomId": room_id, "params": "x"}
        options: dict[str, Any] = {"query" if method == "GET" else "body": where}
        answer = await rest.ask(method, "/api/v1/commands.preview", user=ana, **options)
        assert answer.body["preview"] == {"i18nTitle": "", "items": []}
    unknown = {"command": "nope", "roomId": room_id}
    assert await _refused(rest, "POST", "commands.run", ana, **unknown) == (
        "The command provided does not exist (or is disabled)."
    )
    stray = {"command": "me", "roomId": room_id, "params": "x", "tmid": "none"}
    assert await _refused(rest, "POST", "commands.run", ana, **stray) == "Invalid thread."
    elsewhere = {"command": "help", "roomId": closed}
    denied = await rest.ask("POST", "/api/v1/commands.run", user=ana, body=elsewhere)
    assert (denied.status, denied.body["error"]) == (403, FORBIDDEN)
