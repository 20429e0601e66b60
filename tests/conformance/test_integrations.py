"""Conformance: incoming and outgoing webhooks through a whole Hubbub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import SignIn
from tests.conformance.leaks import keep_secret
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

HOOK: dict[str, Any] = {
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
    "scriptEnabled": False,
}


@asynccontextmanager
async def integration(rest: Rest, admin: User, kind: str, **more: Any) -> AsyncIterator[Any]:
    """One that is gone in the end: the Hubbub is shared."""
    body = {**HOOK, "type": f"webhook-{kind}", **more}
    made = (await rest.post("integrations.create", admin, **body))["integration"]
    keep_secret(made["token"])
    try:
        yield made
    finally:
        about = {"type": made["type"], "integrationId": made["_id"]}
        await rest.post("integrations.remove", admin, **about)


async def room(rest: Rest, owner: User) -> tuple[str, str]:
    """The id and the name of a fresh channel."""
    made = (await rest.post("channels.create", owner, name=f"hooks-{random_id(8)}"))["channel"]
    return made["_id"], made["name"]


async def test_a_payload_is_a_message_that_everybody_sees(
    rest: Rest, sign_in: SignIn, admin: User, ana: User
) -> None:
    """In JSON and in a form; as the integration's user, by another name."""
    room_id, name = await room(rest, admin)
    await rest.post("channels.invite", admin, roomId=room_id, userId=ana.id)
    client = await sign_in(ana)
    await client.subscribe("stream-room-messages", room_id, False)
    async with integration(rest, admin, "incoming", channel=f"#{name}", alias="CI") as hook:
        path = f"/hooks/{hook['_id']}/{hook['token']}"
        payload = {"text": "built *it*", "icon_emoji": ":gear:", "attachments": [{"text": "log"}]}
        done = await rest.ask("POST", path, body=payload)
        assert (done.status, done.body) == (200, {"success": True})
        (message,) = await client.event(
            "room-messages", room_id, lambda m: m["msg"] == "built *it*"
        )
        form = {"payload": '{"text":"by a form"}'}
        async with rest._session.post(rest.url + path, data=form) as answer:
            assert answer.status == 200
        await client.event("room-messages", room_id, lambda m: m["msg"] == "by a form")
        refused = await rest.ask("POST", path, body={"text": "x", "channel": "#general"})
        assert (refused.status, refused.body["error"]) == (
            400,
            "overriding destination channel is disabled for this integration",
        )
    assert message["u"]["username"] == "rocket.cat"
    assert (message["alias"], message["emoji"]) == ("CI", ":gear:")
    assert (message["bot"], message["groupable"]) == ({"i": hook["_id"]}, False)
    assert message["attachments"] == [{"text": "log"}]
    gone = await rest.ask("POST", path, body={"text": "x"})
    assert (gone.status, gone.body) == (
        404,
        {"success": False, "error": "Invalid integration id or token provided."},
    )


async def test_no_message_in_a_private_room_without_its_member(rest: Rest, admin: User) -> None:
    """Nor does the integration's user become one."""
    made = (await rest.post("groups.create", admin, name=f"hooks-{random_id(8)}"))["group"]
    async with integration(rest, admin, "incoming", channel=f"#{made['name']}") as hook:
        path = f"/hooks/{hook['_id']}/{hook['token']}"
        refused = await rest.ask("POST", path, body={"text": "x"})
        assert (refused.status, refused.body["error"]) == (400, "error-not-allowed")
    members = (await rest.get("groups.members", admin, roomId=made["_id"]))["members"]
    assert [member["_id"] for member in members] == [admin.id]


async def test_a_message_is_told_and_the_network_inside_is_not_reached(
    rest: Rest, admin: User, ana: User
) -> None:
    """What happened in a room comes as far as the call, which is refused: nobody opened this
    machine to webhooks here."""
    knocks: list[str] = []

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.append("somebody came")
        writer.close()

    server = await asyncio.start_server(knocked, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hosts = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0")
    urls = [f"http://{host}:{port}/" for host in (*hosts, "[::1]", "[::ffff:127.0.0.1]")]
    room_id, name = await room(rest, ana)
    await rest.post("channels.invite", ana, roomId=room_id, userId=admin.id)
    about = {
        "event": "sendMessage",
        "urls": urls,
        "triggerWords": ["!go"],
        "retryFailedCalls": False,
    }
    async with server, integration(rest, admin, "outgoing", channel=f"#{name}", **about) as hook:

        async def all_refused() -> list[Any]:
            # The engine may not yet know that somebody listens when the first one is said.
            await rest.post("chat.postMessage", ana, roomId=room_id, text="!go now")
            page = await rest.get("integrations.history", admin, id=hook["_id"], count=100)
            ended = [one for one in page["history"] if one["finished"]]
            return ended if len(ended) >= len(urls) else []

        calls = await eventually(all_refused, within=30)
    assert {one["url"] for one in calls} == set(urls)
    assert {one["error"] for one in calls} == {True}
    assert calls[0]["data"]["user_name"] == ana.username
    assert calls[0]["data"]["text"] == "!go now"
    assert hook["token"] not in str(calls)
    assert knocks == []


async def test_only_who_may_manages(rest: Rest, admin: User, ana: User) -> None:
    async with integration(rest, admin, "incoming") as hook:
        for method, endpoint, sent in (
            ("GET", "integrations.list", {}),
            ("GET", "integrations.get", {"integrationId": hook["_id"]}),
            ("GET", "integrations.history", {"id": hook["_id"]}),
            ("POST", "integrations.remove", {"type": hook["type"], "integrationId": hook["_id"]}),
            ("PUT", "integrations.update", {"type": hook["type"], "integrationId": hook["_id"]}),
        ):
            sent = {"query": sent} if method == "GET" else {"body": sent}
            refused = await rest.ask(method, f"/api/v1/{endpoint}", user=ana, **sent)
            assert refused.status == 403, endpoint
            assert refused.body["errorType"] == "error-unauthorized"
        body = {**HOOK, "type": "webhook-incoming"}
        refused = await rest.ask("POST", "/api/v1/integrations.create", user=ana, body=body)
        assert (refused.status, refused.body["errorType"]) == (400, "not_authorized")
        body = {**body, "username": ana.username}
        refused = await rest.ask("POST", "/api/v1/integrations.create", user=admin, body=body)
        assert refused.body["errorType"] == "error-user-lacks-message-impersonate-permission"
        listed = await rest.get("integrations.list", admin)
        assert hook["_id"] in [one["_id"] for one in listed["integrations"]]
        assert listed["items"] == len(listed["integrations"])
