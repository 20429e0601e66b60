"""What reaches the servers from outside: cookies, origins, patterns, the bus.

Each shows as well that the same call works where it is meant to.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

import aiohttp
import pytest
from yarl import URL

from hubbub.ids import random_id
from tests.conformance.conftest import NewUser, Running
from tests.conformance.rest import Rest, User
from tests.conformance.test_rest_files import Files
from tests.security.test_advisories_content import group, said

pytestmark = pytest.mark.conformance


async def _asked_over_a_socket(hubbub: Running, params: list[Any], **opening: Any) -> Any:
    """What comes of a login with `params` and then `getUserRoles`; None: refused."""
    hello = {"msg": "connect", "version": "1", "support": ["1"]}
    login = {"msg": "method", "id": "1", "method": "login", "params": params}
    roles = {"msg": "method", "id": "2", "method": "getUserRoles", "params": []}
    async with aiohttp.ClientSession() as session:
        query = opening.pop("query", "")
        async with session.ws_connect(hubbub.websocket + query, **opening) as socket:
            for message in (hello, *([login] if params else []), roles):
                await socket.send_str(json.dumps(message))
            async with asyncio.timeout(20):
                async for frame in socket:
                    answer = json.loads(frame.data)
                    if answer.get("msg") == "result" and answer["id"] == "2":
                        return answer.get("result")
    raise AssertionError("the socket ended without an answer")


async def test_nothing_that_a_browser_sends_by_itself_signs_a_socket_in(
    hubbub: Running, ana: User
) -> None:
    """A page of somebody else may open a socket, and the browser adds its cookies: they say
    nothing, so the page gains nothing. Nor do the headers of REST, or the words in an address."""
    cookies = {"rc_uid": ana.id, "rc_token": ana.token, "meteor_login_token": ana.token}
    spelt = "; ".join(f"{name}={value}" for name, value in cookies.items())
    foreign = {"Origin": "https://evil.example"}
    for opening in (
        {"headers": {"Cookie": spelt}},
        {"headers": {"Cookie": spelt, **foreign}},
        {"headers": {**ana.headers, "Authorization": f"Bearer {ana.token}"}},
        {"query": f"?rc_uid={ana.id}&rc_token={ana.token}&resume={ana.token}"},
    ):
        assert await _asked_over_a_socket(hubbub, [], **opening) is None, opening
    assert await _asked_over_a_socket(hubbub, [{"resume": ana.token}]) is not None


async def test_cookies_sent_for_a_foreign_page_open_no_file(
    files: Files, rest: Rest, ana: User
) -> None:
    """Browsers say for whom they ask, and add the cookies all the same."""
    sent = await files.send(f"rooms.upload/{await group(rest, ana)}", ana, b"mine", "m.txt")
    url = sent.body["message"]["attachments"][0]["title_link"]
    cookie = f"rc_uid={ana.id}; rc_token={ana.token}"

    async def status(site: str | None) -> int:
        headers = {"Cookie": cookie}
        if site is not None:
            headers["Sec-Fetch-Site"] = site
        found: int = (await files.get(url, None, "GET", **headers))[0]
        return found

    for foreign in ("cross-site", "Cross-Site"):
        assert await status(foreign) == 403
    for own in ("same-origin", "same-site", "none", None):
        assert await status(own) == 200, own


PATTERNS: Final = (
    "(a+)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*b", ".*", "[", "(?P<n>", "\\", "a{99999}",
    "/(a+)+$/", "/.*/",
)  # fmt: skip


async def test_synapse_cve_2021_29471_what_clients_look_for_is_no_pattern(
    rest: Rest, new_user: NewUser, ana: User
) -> None:
    """Wherever there is something to look for: it is found as it stands, and nothing else is;
    and where patterns hang, everything answers."""
    room_id = await group(rest, ana)
    kept = "a" * 60 + "!"
    await said(rest, ana, room_id, kept)
    other = await new_user(f"aaaa{random_id(6).lower()}")
    doors: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("chat.search", "searchText", {"roomId": room_id}),
        ("groups.messages", "mentionIds", {"roomId": room_id}),
        ("groups.members", "filter", {"roomId": room_id}),
        ("groups.files", "name", {"roomId": room_id}),
        ("spotlight", "query", {}),
        ("directory", "text", {"type": "users"}),
        ("directory", "text", {"type": "channels"}),
        ("users.autocomplete", "selector", {}),
        ("rooms.autocomplete.channelAndPrivate", "selector", {}),
    )
    for endpoint, name, values in doors:
        for pattern in PATTERNS:
            value = json.dumps({"term": pattern}) if name == "selector" else pattern
            async with asyncio.timeout(20):
                answer = await rest.ask(
                    "GET", f"/api/v1/{endpoint}", user=ana, query={**values, name: value}
                )
            assert answer.status in (200, 400), (endpoint, pattern, answer)
            found = {key: kept in str(part) for key, part in answer.body.items()}
            assert not any(found.values()), (endpoint, pattern)
            if endpoint in ("spotlight", "directory", "users.autocomplete"):
                assert other.username not in str(answer.body), (endpoint, pattern)
    literal = await rest.get("chat.search", ana, roomId=room_id, searchText="aaa!")
    assert [message["msg"] for message in literal["messages"]] in ([kept], [])
    exact = await rest.get("chat.search", ana, roomId=room_id, searchText=f'"{kept}"')
    assert [message["msg"] for message in exact["messages"]] == [kept]


async def test_zulip_cve_2021_43799_the_bus_is_closed_to_strangers(hubbub: Running) -> None:
    """Whoever reaches its port, and has none of the keys, or any name and password."""
    address = URL(hubbub.address("nats_url"))
    assert address.host is not None
    assert address.port is not None
    for known in ({}, {"user": "account", "pass": "account"}, {"auth_token": "hubbub"}):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        hello = {"verbose": False, "pedantic": False, "lang": "test", "version": "1", **known}
        writer.write(b"CONNECT %s\r\nSUB > 1\r\nPING\r\n" % json.dumps(hello).encode())
        async with asyncio.timeout(20):
            said = await reader.read()  # until the server closes
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        assert b"Authorization Violation" in said, known
        assert b"PONG" not in said
