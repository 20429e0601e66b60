"""Advisories about what people say and ask for. One test for each.

The mistake was made in another product, and is tried on this one. Each shows as well that the
same call of the rightful user works.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from contextlib import suppress
from typing import Any, Final

import pytest
from yarl import URL

from hubbub.ids import random_id
from hubbub.mongo import Database
from services.gateway.rest.endpoints import table
from tests.conformance.conftest import Running, SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Rest, User
from tests.conformance.test_rest_files import Files
from tests.conformance.witness import memory
from tests.unit.ddp_streamer.rawclient import RawClient

pytestmark = pytest.mark.conformance


async def group(rest: Rest, owner: User, *members: User) -> str:
    body = {"name": f"g-{random_id(8)}", "members": [member.username for member in members]}
    room_id: str = (await rest.post("groups.create", owner, **body))["group"]["_id"]
    return room_id


async def said(rest: Rest, user: User, room_id: str, text: str = "said") -> str:
    answer = await rest.post("chat.postMessage", user, roomId=room_id, text=text)
    message_id: str = answer["message"]["_id"]
    return message_id


async def test_cve_2022_32219_queries_of_clients_are_not_run(
    rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """By no list that takes `query` or `fields`: a secret is neither found nor shown by them."""
    stored = await database["users"].find_one({"_id": bo.id})
    assert stored is not None
    bcrypt = stored["services"]["password"]["bcrypt"]
    lists = [
        row
        for row in table()
        if row.method == "GET" and row.asked and {"query", "fields_"} <= set(row.asked.model_fields)
    ]
    assert len(lists) > 10
    for row in lists:
        target = row.path
        for query in (
            {"services.password.bcrypt": {"$regex": "^"}},
            {"services.password.bcrypt": bcrypt},
            {"$where": "sleep(30000)||true"},
            {"$or": [{"_id": bo.id}, {"$where": "1"}]},
            {"emails.address": {"$gt": ""}},
        ):
            started = time.monotonic()
            answer = await rest.ask("GET", target, user=ana, query={"query": json.dumps(query)})
            assert time.monotonic() - started < 20, target
            if answer.status == 200:
                assert bcrypt not in str(answer.body), target
                # A list that looks at no query shows what it shows anyway.
                plain = await rest.ask("GET", target, user=ana)
                assert _length(plain.body) == _length(answer.body), (target, query)
        shown = await rest.ask("GET", target, user=ana, query={"fields": '{"services":1}'})
        assert "services" not in _names(shown.body), target
    found = await rest.ask(
        "GET", "/api/v1/users.list", user=ana, query={"query": json.dumps({"$where": "1"})}
    )
    assert found.status == 400
    assert (await rest.get("users.list", ana, count=1))["count"] == 1


def _length(body: dict[str, Any]) -> int:
    return max((len(value) for value in body.values() if isinstance(value, list)), default=0)


def _names(value: Any) -> set[str]:
    match value:
        case dict():
            return {*value, *(name for item in value.values() for name in _names(item))}
        case list():
            return {name for item in value for name in _names(item)}
        case _:
            return set()


async def test_cve_2022_35246_unchecked_types_in_lookups(
    files: Files, rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Rooms, threads, receipts, emoji and uploads are looked up by texts and nothing else."""
    room_id = await group(rest, ana)
    message_id = await said(rest, ana, room_id)
    client = await sign_in(bo)
    for value in ({"$ne": None}, {"$regex": "."}, [room_id], {"$gt": ""}):
        for method, params in (
            ("getRoomById", [value]),
            ("getThreadMessages", [{"tmid": value}]),
            ("getSingleMessage", [value]),
            ("getMessages", [value if isinstance(value, list) else [value]]),
            ("setReaction", [value, message_id]),
        ):
            try:
                found = await client.call(method, *params)
            except CallFailed as refused:
                found = refused.code
            assert found in (400, [], None, "error-invalid-room", "error-not-allowed"), (
                method,
                value,
                found,
            )
        receipts = [{"messageId": value}]
        assert await client.call("getReadReceipts", *receipts) == []
    for path in ("rooms.media/[$ne]", "rooms.media/%7B%22$ne%22:null%7D"):
        refused_upload = await files.send(path, bo, b"x")
        assert refused_upload.status == 403, path
    mine = await sign_in(ana)
    assert (await mine.call("getRoomById", room_id))["_id"] == room_id
    assert (await mine.call("getSingleMessage", message_id))["_id"] == message_id


async def test_cve_2023_28325_the_stored_room_decides(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Who names a room of their own with the id of a message elsewhere changes nothing."""
    theirs, mine = await group(rest, ana), await group(rest, bo)
    message_id = await said(rest, ana, theirs)
    before = await database["rocketchat_message"].find_one({"_id": message_id})
    client = await sign_in(bo)
    about = {"_id": message_id, "rid": mine}
    for method, params in (
        ("updateMessage", [{**about, "msg": "forged"}]),
        ("sendMessage", [{**about, "msg": "forged"}]),
        ("deleteMessage", [about]),
        ("pinMessage", [about]),
        ("starMessage", [{**about, "starred": True}]),
        ("setReaction", [":tada:", message_id, True]),
        ("reportMessage", [message_id, "x"]),
        ("followMessage", [{"mid": message_id, "rid": mine}]),
        ("sendMessage", [{"rid": mine, "tmid": message_id, "msg": "a reply"}]),
        ("createDiscussion", [{"prid": mine, "pmid": message_id, "t_name": "d"}]),
    ):
        envelope = {"msg": "method", "id": "1", "method": method, "params": params}
        with pytest.raises(CallFailed):
            await client.call(method, *params)
        answer = await rest.post("method.call/x", bo, message=json.dumps(envelope))
        assert "error" in json.loads(answer["message"]), method
    for endpoint, body in (
        ("chat.update", {"roomId": mine, "msgId": message_id, "text": "forged"}),
        ("chat.delete", {"roomId": mine, "msgId": message_id}),
        ("chat.sendMessage", {"message": {**about, "msg": "forged"}}),
    ):
        refused = await rest.ask("POST", f"/api/v1/{endpoint}", user=bo, body=body)
        assert refused.status in (400, 403), endpoint
    assert await database["rocketchat_message"].find_one({"_id": message_id}) == before
    own = await sign_in(ana)
    await own.call("updateMessage", {"_id": message_id, "rid": theirs, "msg": "edited"})
    changed = await database["rocketchat_message"].find_one({"_id": message_id})
    assert changed is not None
    assert changed["msg"] == "edited"


async def test_cve_2024_46936_the_server_says_who_sends(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """No message, stored or not, is sent under the name of somebody else."""
    room_id = await group(rest, ana, bo)
    client, victim = await sign_in(bo), await sign_in(ana)
    await victim.subscribe("stream-room-messages", room_id, False)
    await victim.subscribe("stream-notify-user", f"{ana.id}/message", False)
    as_ana = {"u": {"_id": ana.id, "username": ana.username}, "private": True}
    forged = {**as_ana, "_hidden": True, "editedBy": as_ana["u"], "reactions": {":x:": {}}}
    sent = await client.call(
        "sendMessage", {"_id": random_id(), "rid": room_id, "msg": "one", **forged}
    )
    by_rest = await rest.post(
        "chat.sendMessage", bo, message={"rid": room_id, "msg": "two", **forged}
    )
    for message in (sent, by_rest["message"]):
        assert message["u"]["_id"] == bo.id
        assert not {"private", "_hidden", "editedBy", "reactions"} & message.keys()
    alias = {"roomId": room_id, "text": "three", "alias": ana.username}
    refused = await rest.ask("POST", "/api/v1/chat.postMessage", user=bo, body=alias)
    assert refused.status in (400, 403)
    whisper = {"_id": random_id(), "rid": room_id, "msg": "four", **as_ana}
    await client.call("stream-notify-user", f"{ana.id}/message", whisper)
    await client.call("stream-room-messages", room_id, whisper)
    last = await said(rest, bo, room_id, "five")

    await victim.event("room-messages", room_id, lambda m: m["_id"] == last)
    heard = [message for (message,) in victim.events("room-messages", room_id)]
    assert [message["msg"] for message in heard] == ["one", "two", "five"]
    assert {message["u"]["_id"] for message in heard} == {bo.id}
    assert victim.events("notify-user", f"{ana.id}/message") == []


SLOW: Final = {
    "stars": "*" * 4_999,
    "brackets": "[" * 4_999,
    "links": "[a](" * 1_200,
    "ticks": "`" * 4_999,
    "quotes": ">" * 4_999,
    "tildes": "~a~_b_" * 800,
    "colons": ":a" * 2_400,
    "addresses": "http://" + "a." * 2_400,
    "dashes": "http://" + "-" * 28 + "!",
    "mentions": "@all " * 999,
    "names": "@" * 4_999,
    "rooms": "#a" * 2_400,
    "spaces": " " * 4_990 + "x",
    "marks": "e" + "\u0301" * 4_990,
    "emoji": "\U0001f468\u200d" * 1_600,
}
"""Texts on which parsers of other products hung."""


async def test_cve_2024_46935_crafted_texts_cost_no_time(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """Whichever call takes them: each answers at once, and so does everybody else."""
    room_id = await group(rest, ana)
    client, beside = await sign_in(ana), await sign_in(bo)
    for name, text in SLOW.items():
        calls: list[tuple[str, dict[str, Any]]] = [
            ("POST chat.postMessage", {"roomId": room_id, "text": text}),
            ("GET chat.search", {"roomId": room_id, "searchText": text[:500]}),
            ("GET spotlight", {"query": text[:500]}),
            ("GET directory", {"text": text[:500], "type": "channels"}),
            ("POST users.setStatus", {"message": text[:100], "status": "online"}),
        ]
        for call, values in calls:
            verb, endpoint = call.split()
            started = time.monotonic()
            asked = {"query": values} if verb == "GET" else {"body": values}
            answering = asyncio.create_task(
                rest.ask(verb, f"/api/v1/{endpoint}", user=ana, **asked)
            )
            await beside.settle()
            answer = await answering
            assert time.monotonic() - started < 20, (name, call)
            assert answer.status in (200, 400), (name, call, answer)
            if "postMessage" in call:
                assert answer.status == 200, (name, answer)
    await client.settle()
    history = await rest.get("groups.history", ana, roomId=room_id, count=50)
    assert len([message for message in history["messages"] if "t" not in message]) == len(SLOW)


async def test_cve_2026_47733_links_that_run_something_are_not_stored(
    rest: Rest, sign_in: SignIn, ana: User
) -> None:
    """In attachments, pictures of senders and buttons; what is typed stays what was typed, and
    nothing here renders it."""
    room_id = await group(rest, ana)
    client = await sign_in(ana)
    for link in (
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
    ):
        for key in ("title_link", "image_url", "author_link", "thumb_url", "message_link"):
            message = {"rid": room_id, "msg": "x", "attachments": [{"title": "t", key: link}]}
            with pytest.raises(CallFailed):
                await client.call("sendMessage", {"_id": random_id(), **message})
            for endpoint, body in (
                ("chat.sendMessage", {"message": message}),
                ("chat.postMessage", {"roomId": room_id, "attachments": message["attachments"]}),
            ):
                refused = await rest.ask("POST", f"/api/v1/{endpoint}", user=ana, body=body)
                assert refused.status == 400, (endpoint, key, link)
        typed = await client.call(
            "sendMessage", {"_id": random_id(), "rid": room_id, "msg": f"![x]({link})"}
        )
        assert [one["url"] for one in typed.get("urls", [])] == []
        assert "javascript" not in json.dumps(typed.get("md", ""))
    good = {"title": "t", "title_link": "https://example.org/", "image_url": "/file-upload/x/y"}
    kept = await rest.post("chat.postMessage", ana, roomId=room_id, attachments=[good])
    assert kept["message"]["attachments"][0]["title_link"] == good["title_link"]


async def test_mattermost_cve_2026_5740_lengths_are_not_believed(hubbub: Running) -> None:
    """A frame or a body that says it is huge costs nothing, and the next one is served."""
    port = URL(hubbub.url).port
    assert port is not None
    before = memory(hubbub)
    for length in (2**62, 2**63 - 1, 2**31, 2 * 1024 * 1024):
        client = await RawClient.greeted(port)
        client.writer.write(struct.pack(">BBQ", 0x81, 0xFF, length) + bytes(4) + b"x" * 100)
        assert await client.close_code() == 1009, length
        await client.end()
        for path in ("/api/v1/login", "/api/v1/rooms.media/x"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
            writer.write(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
            async with asyncio.timeout(10):
                status = (await reader.readline()).split()[1]
            assert status in (b"400", b"401", b"403", b"413"), (path, length)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
    grown = {name: size - before[name] for name, size in memory(hubbub).items()}
    assert max(grown.values()) < 16 * 1024 * 1024, grown
    client = await RawClient.greeted(port)
    client.send(b'{"msg":"ping"}')
    assert await client.text() == b'{"msg":"pong"}'
    await client.end()


async def test_synapse_cve_2025_30355_numbers_that_break_readers_are_not_stored(
    hubbub: Running, rest: Rest, database: Database, ana: User
) -> None:
    """NaN, infinities and integers beyond 64 bits, by a socket and by REST: refused, and the
    room reads as before."""
    room_id = await group(rest, ana)
    kept = await said(rest, ana, room_id)
    port = URL(hubbub.url).port
    assert port is not None
    for number in ("NaN", "Infinity", "-Infinity", "1e400"):
        client = await RawClient.greeted(port)
        client.send(b'{"msg":"method","id":"1","method":"x","params":[%s]}' % number.encode())
        assert await client.close_code() == 1007, number
        await client.end()
    for number in ("NaN", "Infinity", "1e400", str(2**63), str(2**70), "9" * 5_000):
        for message in (
            f'{{"rid":"{room_id}","msg":"x","customFields":{{"n":{number}}}}}',
            f'{{"rid":"{room_id}","msg":"x","attachments":[{{"title":"t","ts":{number}}}]}}',
        ):
            async with rest._session.post(
                f"{rest.url}/api/v1/chat.sendMessage",
                data=f'{{"message":{message}}}',
                headers={**ana.headers, "Content-Type": "application/json"},
            ) as answer:
                assert answer.status == 400, (number, message, await answer.text())
    count = await database["rocketchat_message"].count_documents({"rid": room_id})
    fine = {"rid": room_id, "msg": "x", "attachments": [{"title": "t", "n": 2**53}]}
    stored = (await rest.post("chat.sendMessage", ana, message=fine))["message"]

    assert stored["attachments"][0]["n"] == 2**53
    assert await database["rocketchat_message"].count_documents({"rid": room_id}) == count + 1
    history = await rest.get("groups.history", ana, roomId=room_id)
    assert {stored["_id"], kept} <= {message["_id"] for message in history["messages"]}
