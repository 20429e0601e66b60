"""Conformance: what every REST endpoint makes of a bad call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from hubbub.ids import random_id
from services.gateway.rest.endpoints import table
from tests.conformance.conftest import Running
from tests.conformance.rest import PASSWORD, Rest, User
from tests.conformance.test_8_rest import NOT_SIGNED_IN, channel_of, group_of, said
from tests.integration.gateway.rubbish import bodies, endpoints, queries, tells_how_it_went

pytestmark = pytest.mark.conformance

POSTS = {
    "channels.create": "name members readOnly customFields extraData excludeSelf",
    "channels.join": "roomId roomName joinCode",
    "groups.create": "name members readOnly customFields extraData",
    "im.create": "username usernames",
    "chat.postMessage": "roomId channel text tmid alias avatar emoji attachments customFields",
    "chat.sendMessage": "message",
    "chat.update": "roomId msgId text customFields",
    "chat.delete": "roomId msgId asUser",
    "subscriptions.read": "rid roomId readThreads",
    "users.setStatus": "status message userId username",
    "method.call/x": "message",
}
GETS = {
    "users.info": "userId username email fields",
    "channels.list": "count offset sort fields query _id",
    "channels.info": "roomId roomName",
    "channels.history": "roomId roomName latest oldest inclusive count offset unreads",
    "channels.members": "roomId roomName status filter sort count offset",
    "groups.info": "roomId roomName",
    "groups.history": "roomId roomName latest oldest inclusive count offset unreads",
    "rooms.get": "updatedSince",
    "subscriptions.get": "updatedSince",
    "subscriptions.getOne": "roomId",
    "settings.public": "_id count offset sort fields query",
    "me": "fields",
}
OPERATORS = ({"$ne": None}, {"$gt": ""}, {"$where": "sleep(5000)"}, [{"$regex": ".*"}], 7.5)
ANONYMOUS = {"login": "user username email password resume code", "users.register": "username"}


@dataclass(frozen=True)
class Site:
    """Calls with any bytes."""

    session: aiohttp.ClientSession
    url: str

    async def call(
        self,
        method: str,
        target: str,
        *,
        user: User | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        """Status and body; every answer is JSON and tells whether it went well."""
        headers = {"Content-Type": content_type, **(user.headers if user else {})}
        url = URL(f"{self.url}/api/v1/{target}", encoded=True)
        async with self.session.request(method, url, data=data, headers=headers) as answer:
            raw = await answer.read()
            assert answer.headers["Content-Type"] == "application/json", (target, data, raw)
            assert answer.status < 500, (target, data, raw)
            body = orjson.loads(raw)
            assert tells_how_it_went(answer.status, body), (target, data, raw)
            return answer.status, body


@pytest.fixture
async def site(hubbub: Running) -> AsyncIterator[Site]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Site(session, hubbub.url)


async def test_malformed_bodies(site: Site, ana: User) -> None:
    """400, whatever the endpoint and the content type."""
    for endpoint in POSTS | ANONYMOUS:
        user = None if endpoint in ANONYMOUS else ana
        for data, code in (
            (b'{"roomId":', "invalid-body"),
            (b"\xff\xfe", "invalid-body"),
            (b'{"a":NaN}', "invalid-body"),
            (b"[" * 200, "invalid-body"),
            (b"[1]", "invalid-params"),
            (b'"text"', "invalid-params"),
            (b'{"roomId":"\\u0000"}', "invalid-params"),
        ):
            for kind in ("application/json", "text/plain"):
                status, body = await site.call(
                    "POST", endpoint, user=user, data=data, content_type=kind
                )
                assert (status, body["errorType"]) == (400, code), (endpoint, data)


async def test_wrong_types_and_operators(site: Site, rest: Rest, ana: User, bo: User) -> None:
    """A database operator where a text belongs is refused, and nothing happens."""
    room = await channel_of(rest, ana, bo)
    message = await said(rest, ana, room, "stays")
    good: dict[str, Any] = {
        "roomId": room["_id"],
        "rid": room["_id"],
        "msgId": message["_id"],
        "text": "x",
        "message": {"rid": room["_id"], "msg": "x"},
        "status": "online",
    }
    for endpoint, parameters in POSTS.items():
        for parameter in parameters.split():
            for value in OPERATORS:
                filled = {**good, "name": f"x-{random_id(10)}", parameter: value}
                if parameter in ("channel", "roomName"):  # `roomId` comes first
                    del filled["roomId"]
                if parameter == "roomId":
                    del filled["rid"]
                status, body = await site.call("POST", endpoint, user=bo, data=orjson.dumps(filled))
                # Unknown keys inside are dropped, as unknown parameters are.
                may_pass = parameter == "extraData" and isinstance(value, dict)
                assert may_pass or status == 400, (endpoint, filled, body)
    for parameter in ANONYMOUS["login"].split():
        for value in OPERATORS:
            filled = {"user": ana.username, "password": PASSWORD, parameter: value}
            status, body = await site.call("POST", "login", data=orjson.dumps(filled))
            if parameter in ("username", "email"):  # `user` comes first
                assert body["data"]["userId"] == ana.id
            else:
                assert status in (400, 401), (filled, body)
    stored = await rest.get("chat.getMessage", ana, msgId=message["_id"])
    assert stored["message"] == message


async def test_operators_in_queries(site: Site, ana: User) -> None:
    """In the name, in the value, or as JSON: refused, or taken as the text that it is."""
    for endpoint, parameters in GETS.items():
        for parameter in parameters.split():
            for query in (
                f"{parameter}[$ne]=x",
                f"{parameter}={{%22$gt%22:%22%22}}",
                f'{parameter}={{"$where":"sleep(5000)"}}',
                f"{parameter}[]=$ne",
                f"{parameter}=%ff",
                f"{parameter}=%00",
                f"{parameter}=a&{parameter}=b?",
            ):
                status, body = await site.call("GET", f"{endpoint}?{query}", user=ana)
                assert status in (200, 400), (endpoint, query, body)
                if parameter == "query" and "=" in query and "$" in query.split("=", 1)[1]:
                    assert status == 400, (endpoint, query, body)


async def test_unknown_rooms(site: Site, ana: User) -> None:
    """One refusal for all reads and writes of a room that is not there."""
    for endpoint in ("info", "history", "members", "roles", "counters"):
        for door in ("channels", "groups"):
            for selector in ("roomId=nope", "roomName=nope", "roomId=%F0%9F%98%80"):
                status, body = await site.call("GET", f"{door}.{endpoint}?{selector}", user=ana)
                assert (status, body["errorType"]) == (400, "error-room-not-found")
    for endpoint in ("channels.join", "channels.leave", "groups.leave", "channels.invite"):
        status, body = await site.call("POST", endpoint, user=ana, data=b'{"roomId":"nope"}')
        assert (status, body["errorType"]) == (400, "error-room-not-found")


async def test_strangers_read_nothing_private(
    site: Site, rest: Rest, ana: User, bo: User, cy: User
) -> None:
    """No endpoint that takes a room or a message tells of one that the caller is not in."""
    group = await group_of(rest, ana, bo)
    message = await said(rest, ana, group, "between us")
    room_id, message_id = group["_id"], message["_id"]
    for target in (
        *(f"groups.{verb}?roomId={room_id}" for verb in ("info", "history", "messages", "members")),
        *(f"channels.{verb}?roomId={room_id}" for verb in ("info", "history", "messages")),
        f"groups.info?roomName={group['name']}",
        f"groups.counters?roomId={room_id}",
        f"groups.online?_id={room_id}",
        f"im.history?roomId={room_id}",
        f"rooms.info?roomId={room_id}",
        f"rooms.roles?rid={room_id}",
        f"chat.getMessage?msgId={message_id}",
        f"chat.syncMessages?roomId={room_id}&lastUpdate=2020-01-01T00:00:00.000Z",
        f"chat.getThreadsList?rid={room_id}",
        f"chat.getThreadMessages?tmid={message_id}",
    ):
        status, body = await site.call("GET", target, user=cy)
        assert status in (400, 403), (target, body)
        assert "between us" not in str(body)
    for endpoint, values in (
        ("chat.update", {"roomId": room_id, "msgId": message_id, "text": "x"}),
        ("chat.delete", {"roomId": room_id, "msgId": message_id}),
        ("chat.react", {"messageId": message_id, "emoji": "smile"}),
        ("chat.sendMessage", {"message": {"rid": room_id, "msg": "x"}}),
        ("chat.postMessage", {"roomId": room_id, "text": "x"}),
        ("groups.leave", {"roomId": room_id}),
        ("groups.invite", {"roomId": room_id, "username": cy.username}),
        ("subscriptions.read", {"rid": room_id}),
    ):
        status, body = await site.call("POST", endpoint, user=cy, data=orjson.dumps(values))
        assert status in (400, 403), (endpoint, body)
    stored = await rest.get("chat.getMessage", bo, msgId=message_id)
    assert stored["message"] == message


async def test_revoked_tokens(site: Site, rest: Rest, ana: User) -> None:
    """401 everywhere, as without any token."""
    await rest.post("logout", ana)
    for method, names in (("GET", GETS), ("POST", POSTS)):
        for endpoint in names:
            if endpoint == "settings.public":
                continue  # for everybody
            for user in (ana, None):
                data = b"{}" if method == "POST" else None
                status, body = await site.call(method, endpoint, user=user, data=data)
                assert (status, body) == (401, NOT_SIGNED_IN), endpoint


async def test_unknown_endpoints_and_methods(site: Site, ana: User) -> None:
    """404 and 405 come before any question about the caller."""
    for target in ("no.such", "Me", "channels.Info", "me/x", "..%2f..%2fetc"):
        for user in (None, ana):
            status, body = await site.call("GET", target, user=user)
            assert (status, body["error"]) == (404, "API endpoint does not exist.")
    for method, endpoint in (("GET", "login"), ("POST", "me"), ("DELETE", "chat.delete")):
        status, body = await site.call(method, endpoint)
        assert (status, body["error"]) == (405, "Method not allowed.")


async def test_rubbish(site: Site, rest: Rest, ana: User) -> None:
    """Every endpoint, with a room and a message that are there and rubbish for all the rest."""
    room = await channel_of(rest, ana)
    message = await said(rest, ana, room, "x")
    real = {
        "roomId": room["_id"],
        "rid": room["_id"],
        "msgId": message["_id"],
        "tmid": message["_id"],
        "messageId": message["_id"],
    }
    ends = (".delete", ".leave", ".setType", ".archive")  # what others need to be as it is
    places = asyncio.Semaphore(8)

    async def call(method: str, target: str, data: bytes | None = None) -> None:
        async with places:
            await site.call(method, target, user=ana, data=data)

    async with asyncio.TaskGroup() as tasks:
        for endpoint in endpoints(table()):
            if endpoint.unversioned or endpoint.name.endswith(ends):
                continue
            target = endpoint.name.replace("*", "x")
            for query in queries() if endpoint.method == "GET" else ():
                # The first of several values counts for nothing: the real ones come last.
                given = "&".join(f"{key}={value}" for key, value in real.items())
                tasks.create_task(call("GET", f"{target}?{query}&{given}"))
            for body in bodies() if endpoint.method == "POST" else ():
                tasks.create_task(call("POST", target, orjson.dumps({**body, **real})))
    assert (await rest.get("me", ana))["_id"] == ana.id
