"""Conformance: whole conversations of real clients, frame by frame (number 100).

What the server says is compared as text, with key order and without spaces. In a pattern `<id>`
stands for any id or token and `<ms>` for any time. A stored document is compared by its keys: their
order is the one in which it was stored, and means nothing to anybody.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Running, SignIn
from tests.conformance.ddp import Ddp, opened
from tests.conformance.rest import Rest, User
from tests.conformance.test_3_login import digest
from tests.conformance.test_4_streams import group, send
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

CONNECT = '{"msg":"connect","version":"1","support":["1","pre2","pre1"]}'
CONNECTED = '{"msg":"connected","session":"<id>"}'
RESULT = (
    '{"msg":"result","id":"%s","result":'
    '{"id":"%s","token":"%s","tokenExpires":{"$date":<ms>},"type":"%s"}}'
)


def fits(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, whatever the ids and times are."""
    wanted = re.escape(pattern).replace("<id>", "[A-Za-z0-9_-]{17,64}").replace("<ms>", "[0-9]{13}")
    return re.fullmatch(wanted, text) is not None


async def says(client: Ddp, *patterns: str) -> None:
    """Wait for the last of these texts, and compare all that came since the last look."""

    def last() -> bool:
        return any(fits(patterns[-1], text) for text in client.texts)

    await eventually(last, within=10, what=patterns[-1])
    said = list(client.texts)
    client.texts.clear()
    assert len(said) == len(patterns), said
    for pattern, text in zip(patterns, said, strict=True):
        assert fits(pattern, text), (pattern, text)


def added(user: User) -> str:
    name, address = user.username.title(), f"{user.username}@example.org"
    return (
        f'{{"msg":"added","collection":"users","id":"{user.id}","fields":{{'
        f'"username":"{user.username}","name":"{name}",'
        f'"emails":[{{"address":"{address}","verified":false}}]}}}}'
    )


async def test_100_a1_a_bot_in_go(hubbub: Running, sign_in: SignIn, ana: User, bo: User) -> None:
    """Newlines behind its frames, numbers as ids, its address as name, all rooms at once."""
    writer = await sign_in(bo)
    async with opened(hubbub.websocket, handshake=False) as client:

        async def tell(message: dict[str, Any]) -> None:
            await client.send_text(json.dumps(message) + "\n")

        await tell({"msg": "connect", "version": "1", "support": ["1"]})
        await says(client, '{"server_id":"0"}', CONNECTED)
        user = {"email": f"{ana.username}@example.org"}
        login = {"user": user, "password": digest(ana.password)}
        await tell({"msg": "method", "id": "0", "method": "login", "params": [login]})
        await says(
            client,
            added(ana),
            RESULT % ("0", ana.id, "<id>", "password"),
            '{"msg":"updated","methods":["0"]}',
        )
        my_messages = {"name": "stream-room-messages", "params": ["__my_messages__", True]}
        await tell({"msg": "sub", "id": "1", **my_messages})
        await says(
            client,
            '{"msg":"added","collection":"stream-room-messages","id":"id",'
            '"fields":{"eventName":"__my_messages__"}}',
            '{"msg":"ready","subs":["1"]}',
        )
        sent = await send(writer, "GENERAL", "hi")
        message, about = await client.event(
            "room-messages", "__my_messages__", lambda m, _: m["_id"] == sent
        )
        keys = {"_id", "rid", "msg", "ts", "u", "urls", "mentions", "channels", "_updatedAt"}
        assert set(message) - {"md"} == keys
        assert about == {"roomParticipant": True, "roomType": "c", "roomName": "general"}
        (text,) = [text for text in client.texts if sent in text]
        front = (
            '{"msg":"changed","collection":"stream-room-messages","id":"id",'
            '"fields":{"eventName":"__my_messages__","args":[{'
        )
        assert text.startswith(front)
        assert text.endswith('},{"roomParticipant":true,"roomType":"c","roomName":"general"}]}}')


async def test_100_a2_everything_in_one_burst(hubbub: Running, ana: User) -> None:
    """The greeting, the login and a sub in the same moment; the answers in this order."""
    async with opened(hubbub.websocket, handshake=False) as client:
        login = json.dumps({"resume": ana.token})
        for text in (
            CONNECT,
            f'{{"msg":"method","method":"login","params":[{login}],"id":"rc-ddp-client-1"}}',
            '{"msg":"sub","id":"rc-ddp-client-2","name":"stream-room-messages",'
            '"params":["GENERAL",{"useCollection":false,"args":[null]}]}',
        ):
            await client.send_text(text)
        await says(
            client,
            '{"server_id":"0"}',
            CONNECTED,
            added(ana),
            RESULT % ("rc-ddp-client-1", ana.id, ana.token, "resume"),
            '{"msg":"updated","methods":["rc-ddp-client-1"]}',
            '{"msg":"ready","subs":["rc-ddp-client-2"]}',
        )


async def test_100_a3_parameters_in_front_of_the_id(hubbub: Running, ana: User) -> None:
    """And `false` as the only argument of a stream."""
    async with opened(hubbub.websocket) as client:
        client.texts.clear()
        login = json.dumps({"resume": ana.token})
        await client.send_text(
            f'{{"msg":"method","method":"login","params":[{login}],"id":"ddp-4"}}'
        )
        await client.send_text(
            '{"msg":"sub","name":"stream-room-messages",'
            '"params":["GENERAL",{"useCollection":false,"args":[false]}],"id":"ddp-5"}'
        )
        await says(
            client,
            added(ana),
            RESULT % ("ddp-4", ana.id, ana.token, "resume"),
            '{"msg":"updated","methods":["ddp-4"]}',
            '{"msg":"ready","subs":["ddp-5"]}',
        )


async def test_100_a4_an_old_id_is_given_back_first(hubbub: Running, ana: User) -> None:
    """On a new socket; only its `nosub` makes that client subscribe again."""
    async with opened(hubbub.websocket) as before:
        old = before.session
    async with opened(hubbub.websocket, handshake=False) as client:
        await client.send_text(
            f'{{"msg":"connect","version":"1","support":["1"],"session":"{old}"}}'
        )
        await client.send_text('{"msg":"unsub","id":"0"}')
        await says(client, '{"server_id":"0"}', CONNECTED, '{"msg":"nosub","id":"0"}')
        await client.call("login", {"resume": ana.token})
        client.texts.clear()
        await client.send_text(
            '{"msg":"sub","id":"1","name":"stream-room-messages","params":["GENERAL",false]}'
        )
        await says(client, '{"msg":"ready","subs":["1"]}')


async def test_100_a5_sockjs(hubbub: Running) -> None:
    """Messages as texts in arrays."""
    url = hubbub.websocket.replace("/websocket", "/sockjs/000/any.session/websocket")
    async with opened(url, handshake=False, sockjs=True) as client:
        await client.socket.send(json.dumps([CONNECT]))
        await says(
            client,
            "o",
            'a["{\\"server_id\\":\\"0\\"}"]',
            'a["{\\"msg\\":\\"connected\\",\\"session\\":\\"<id>\\"}"]',
        )


async def test_100_a6_refusals(sign_in: SignIn, ana: User, bo: User) -> None:
    """Of a sub, of a method, of a login."""
    client = await sign_in(ana)
    client.texts.clear()
    await client.send_text(
        '{"msg":"sub","id":"9","name":"stream-notify-user",'
        f'"params":["{bo.id}/notification",false]}}'
    )
    safe = '{"isClientSafe":true,"errorType":"Meteor.Error",'
    await says(
        client,
        f'{{"msg":"nosub","id":"9","error":{safe}"error":"not-allowed",'
        '"message":"[not-allowed]"}}',
    )
    await client.send_text('{"msg":"method","id":"10","method":"nope","params":[]}')
    await says(
        client,
        f'{{"msg":"result","id":"10","error":{safe}"error":404,'
        '"reason":"Method \'nope\' not found","message":"Method \'nope\' not found [404]"}}',
        '{"msg":"updated","methods":["10"]}',
    )
    await client.send_text(
        '{"msg":"method","id":"11","method":"login","params":[{"resume":"stale"}]}'
    )
    reason = "You've been logged out by the server. Please log in again."
    await says(
        client,
        f'{{"msg":"result","id":"11","error":{safe}"error":403,'
        f'"reason":"{reason}","message":"{reason} [403]"}}}}',
        '{"msg":"updated","methods":["11"]}',
    )


async def test_100_a7_typing(sign_in: SignIn, ana: User, bo: User) -> None:
    """The writer gets an answer and nothing else, the other both forms."""
    writer, other = await sign_in(ana), await sign_in(bo)
    for client in (writer, other):
        for name in ("typing", "user-activity"):
            await client.subscribe("stream-notify-room", f"GENERAL/{name}", False)
        client.texts.clear()
    await writer.send_text(
        '{"msg":"method","id":"12","method":"stream-notify-room","params":'
        f'["GENERAL/user-activity","{ana.username}",["user-typing"],{{}}]}}'
    )
    await says(writer, '{"msg":"result","id":"12"}', '{"msg":"updated","methods":["12"]}')
    frame = (
        '{"msg":"changed","collection":"stream-notify-room","id":"id",'
        '"fields":{"eventName":"GENERAL/%s","args":["%s",%s]}}'
    )
    for name in ("typing", "user-activity"):
        await other.event("notify-room", f"GENERAL/{name}", lambda who, *_: who == ana.username)
    assert sorted(text for text in other.texts if ana.username in text) == [
        frame % ("typing", ana.username, "true"),
        frame % ("user-activity", ana.username, '["user-typing"],{}'),
    ]


async def test_100_a8_added_and_removed(rest: Rest, sign_in: SignIn, ana: User, bo: User) -> None:
    """First the membership, then the room; at the end the room falls silent, then it is said."""
    b = await sign_in(bo)
    for name in ("subscriptions-changed", "rooms-changed"):
        await b.subscribe("stream-notify-user", f"{bo.id}/{name}", False)
    b.texts.clear()
    b.frames.clear()
    room_id = await group(rest, ana, bo)
    memberships, rooms = f"{bo.id}/subscriptions-changed", f"{bo.id}/rooms-changed"
    await b.event("notify-user", rooms, lambda kind, _: kind == "inserted")
    front = (
        '{"msg":"changed","collection":"stream-notify-user","id":"id",'
        '"fields":{"eventName":"%s","args":["%s",{"_id":"%s",'
    )
    begun, shown = b.texts[:2]
    ((_, membership),) = b.events("notify-user", memberships)
    assert begun.startswith(front % (memberships, "inserted", membership["_id"]))
    assert shown.startswith(front % (rooms, "inserted", room_id))
    wanted = "_id rid t name u open alert unread userMentions groupMentions ts _updatedAt"
    assert set(wanted.split()) <= set(membership)
    assert membership["u"].items() >= {"_id": bo.id, "username": bo.username}.items()
    ((_, room),) = b.events("notify-user", rooms)
    assert set("_id t name usersCount msgs u _updatedAt".split()) <= set(room)
    assert room["u"] == {"_id": ana.id, "username": ana.username}
    await b.subscribe("stream-room-messages", room_id, False, id="room")
    b.texts.clear()
    a = await sign_in(ana)
    await a.call("removeUserFromRoom", {"rid": room_id, "username": bo.username})
    await b.event("notify-user", memberships, lambda kind, _: kind == "removed")

    said = [text for text in b.texts if "rooms-changed" not in text]
    assert said == [
        '{"msg":"nosub","id":"room","error":{"isClientSafe":true,"errorType":"Meteor.Error",'
        '"error":"not-allowed","message":"[not-allowed]"}}',
        (front % (memberships, "removed", membership["_id"]))
        + f'"rid":"{room_id}","u":{{"_id":"{bo.id}","username":"{bo.username}"}},"t":"p"}}]}}}}',
    ]


async def test_100_a9_the_oldest_client_and_its_recovery(
    hubbub: Running, sign_in: SignIn, ana: User, bo: User
) -> None:
    """An old version only, a plain password; after a cut its subs stand in front of its login."""
    service = '"name":"meteor.loginServiceConfiguration","params":[]}'
    stream = '"name":"stream-room-messages","params":["__my_messages__",true]}'
    document = (
        '{"msg":"added","collection":"stream-room-messages","id":"id",'
        '"fields":{"eventName":"__my_messages__"}}'
    )
    greeting = '{"msg":"connect","version":"pre2","support":["pre2"]}'
    async with opened(hubbub.websocket, handshake=False) as client:
        plain = json.dumps({"password": ana.password, "user": {"username": ana.username}})
        for text in (
            greeting,
            '{"msg":"sub","id":"0",' + service,
            f'{{"msg":"method","id":"1","method":"login","params":[{plain}]}}',
            '{"msg":"sub","id":"2",' + stream,
        ):
            await client.send_text(text)
        await says(
            client,
            '{"server_id":"0"}',
            CONNECTED,
            '{"msg":"ready","subs":["0"]}',
            added(ana),
            RESULT % ("1", ana.id, "<id>", "password"),
            '{"msg":"updated","methods":["1"]}',
            document,
            '{"msg":"ready","subs":["2"]}',
        )
        result = client.find(msg="result", id="1")
        assert result is not None
        token = result["result"]["token"]
        mark = random_id()
        message = json.dumps({"msg": mark, "bot": {"i": "js.SDK"}, "rid": "GENERAL"})
        await client.send_text(
            f'{{"msg":"method","id":"3","method":"sendMessage","params":[{message}]}}'
        )
        stored = (await client.answer("3"))["result"]
        assert (stored["msg"], stored["bot"]) == (mark, {"i": "js.SDK"})
        await client.event("room-messages", "__my_messages__", lambda m, _: m["msg"] == mark)
    async with opened(hubbub.websocket, handshake=False) as client:
        for text in (
            greeting,
            '{"msg":"sub","id":"4",' + service,
            '{"msg":"sub","id":"5",' + stream,
            f'{{"msg":"method","id":"6","method":"login","params":[{{"resume":"{token}"}}]}}',
        ):
            await client.send_text(text)
        await says(
            client,
            '{"server_id":"0"}',
            CONNECTED,
            '{"msg":"ready","subs":["4"]}',
            document,
            '{"msg":"ready","subs":["5"]}',
            added(ana),
            RESULT % ("6", ana.id, token, "resume"),
            '{"msg":"updated","methods":["6"]}',
        )
        await client.send_text('{"msg":"ping","id":"7"}')
        await says(client, '{"msg":"pong","id":"7"}')
        sent = await send(await sign_in(bo), "GENERAL", "after the cut")
        await client.event("room-messages", "__my_messages__", lambda m, _: m["_id"] == sent)
