"""The frames that real clients send and expect, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hubbub import errors
from hubbub.ddp import ejson, messages, sockjs
from hubbub.ddp.messages import Connect, Method, Ping, Sub, Unsub, parse
from hubbub.ddp.stream import stream_frame


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


FROM_CLIENTS: list[tuple[str, object]] = [
    # Go bot; a newline after every frame
    (
        '{"msg":"connect","version":"1","support":["1"]}\n',
        Connect("1", ("1",), None),
    ),
    (
        '{"msg":"method","id":"0","method":"login","params":[{"user":{"email":"bot@example.org"},'
        '"password":{"digest":"00","algorithm":"sha-256"}}]}',
        Method(
            "0",
            "login",
            [
                {
                    "user": {"email": "bot@example.org"},
                    "password": {"digest": "00", "algorithm": "sha-256"},
                }
            ],
        ),
    ),
    (
        '{"msg":"sub","id":"1","name":"stream-room-messages","params":["__my_messages__",true]}',
        Sub("1", "stream-room-messages", ["__my_messages__", True]),
    ),
    (
        '{"msg":"connect","version":"1","support":["1"],"session":"h4QmT8"}',
        Connect("1", ("1",), "h4QmT8"),
    ),
    # the burst of @rocket.chat/ddp-client
    (
        '{"msg":"connect","version":"1","support":["1","pre2","pre1"]}',
        Connect("1", ("1", "pre2", "pre1"), None),
    ),
    (
        '{"msg":"method","method":"login","params":[{"resume":"tok"}],"id":"rc-ddp-client-1"}',
        Method("rc-ddp-client-1", "login", [{"resume": "tok"}]),
    ),
    (
        '{"msg":"sub","id":"rc-ddp-client-2","name":"stream-room-messages",'
        '"params":["GENERAL",{"useCollection":false,"args":[null]}]}',
        Sub(
            "rc-ddp-client-2",
            "stream-room-messages",
            ["GENERAL", {"useCollection": False, "args": [None]}],
        ),
    ),
    # @rocket.chat/sdk: params ahead of id
    (
        '{"msg":"sub","name":"stream-room-messages",'
        '"params":["GENERAL",{"useCollection":false,"args":[false]}],"id":"ddp-5"}',
        Sub(
            "ddp-5", "stream-room-messages", ["GENERAL", {"useCollection": False, "args": [False]}]
        ),
    ),
    # simpleddp ends subscriptions of its last life
    ('{"msg":"unsub","id":"0"}', Unsub("0")),
    # the old SDK
    ('{"msg":"connect","version":"pre2","support":["pre2"]}', Connect("pre2", ("pre2",), None)),
    (
        '{"msg":"sub","id":"0","name":"meteor.loginServiceConfiguration","params":[]}',
        Sub("0", "meteor.loginServiceConfiguration", []),
    ),
    (
        '{"msg":"method","id":"3","method":"sendMessage",'
        '"params":[{"msg":"hello","bot":{"i":"js.SDK"},"rid":"GENERAL"}]}',
        Method("3", "sendMessage", [{"msg": "hello", "bot": {"i": "js.SDK"}, "rid": "GENERAL"}]),
    ),
    ('{"msg":"ping","id":"7"}', Ping("7")),
    (
        '{"msg":"method","id":"12","method":"stream-notify-room",'
        '"params":["GENERAL/user-activity","bob",["user-typing"],{}]}',
        Method("12", "stream-notify-room", ["GENERAL/user-activity", "bob", ["user-typing"], {}]),
    ),
]


@pytest.mark.parametrize(("text", "message"), FROM_CLIENTS)
def test_from_clients(text: str, message: object) -> None:
    assert parse(text) == message


def stream(name: str, key: str, args: list[Any]) -> bytes:
    return stream_frame(name, key, ejson.dumps(args))


TO_CLIENTS: list[tuple[bytes, str]] = [
    (messages.SERVER_ID, '{"server_id":"0"}'),
    (messages.connected("h4QmT8"), '{"msg":"connected","session":"h4QmT8"}'),
    (messages.FAILED, '{"msg":"failed","version":"1"}'),
    (messages.PING, '{"msg":"ping"}'),
    (messages.pong(), '{"msg":"pong"}'),
    (messages.pong("7"), '{"msg":"pong","id":"7"}'),
    (
        messages.added(
            "users",
            "u1",
            {"username": "bot", "emails": [{"address": "bot@example.org", "verified": True}]},
        ),
        '{"msg":"added","collection":"users","id":"u1","fields":{"username":"bot",'
        '"emails":[{"address":"bot@example.org","verified":true}]}}',
    ),
    (
        messages.result(
            "0",
            {"id": "u1", "token": "t", "tokenExpires": at(1_900_000_000_000), "type": "password"},
        ),
        '{"msg":"result","id":"0","result":{"id":"u1","token":"t",'
        '"tokenExpires":{"$date":1900000000000},"type":"password"}}',
    ),
    (messages.updated("0"), '{"msg":"updated","methods":["0"]}'),
    (
        messages.added("stream-room-messages", "id", {"eventName": "__my_messages__"}),
        '{"msg":"added","collection":"stream-room-messages","id":"id",'
        '"fields":{"eventName":"__my_messages__"}}',
    ),
    (messages.ready("1"), '{"msg":"ready","subs":["1"]}'),
    (
        stream(
            "room-messages",
            "__my_messages__",
            [
                {
                    "_id": "m1",
                    "rid": "GENERAL",
                    "msg": "hi",
                    "ts": at(1_700_000_000_000),
                    "u": {"_id": "u2", "username": "bob", "name": "Bob"},
                    "urls": [],
                    "mentions": [],
                    "channels": [],
                    "_updatedAt": at(1_700_000_000_012),
                },
                {"roomParticipant": True, "roomType": "c", "roomName": "general"},
            ],
        ),
        '{"msg":"changed","collection":"stream-room-messages","id":"id","fields":'
        '{"eventName":"__my_messages__","args":[{"_id":"m1","rid":"GENERAL","msg":"hi",'
        '"ts":{"$date":1700000000000},"u":{"_id":"u2","username":"bob","name":"Bob"},"urls":[],'
        '"mentions":[],"channels":[],"_updatedAt":{"$date":1700000000012}},'
        '{"roomParticipant":true,"roomType":"c","roomName":"general"}]}}',
    ),
    (messages.nosub("0"), '{"msg":"nosub","id":"0"}'),
    (sockjs.OPEN, "o"),
    (sockjs.wrap(messages.SERVER_ID), 'a["{\\"server_id\\":\\"0\\"}"]'),
    (
        sockjs.wrap(messages.connected("s")),
        'a["{\\"msg\\":\\"connected\\",\\"session\\":\\"s\\"}"]',
    ),
    (sockjs.close(1012, "SERVICE_RESTART"), 'c[1012,"SERVICE_RESTART"]'),
    (
        messages.nosub("9", errors.NotAllowed(code="not-allowed")),
        '{"msg":"nosub","id":"9","error":{"isClientSafe":true,"errorType":"Meteor.Error",'
        '"error":"not-allowed","message":"[not-allowed]"}}',
    ),
    (
        messages.result_error("10", errors.NotFound("Method 'nope' not found", code=404)),
        '{"msg":"result","id":"10","error":{"isClientSafe":true,"errorType":"Meteor.Error",'
        '"error":404,"reason":"Method \'nope\' not found",'
        '"message":"Method \'nope\' not found [404]"}}',
    ),
    (
        messages.result_error(
            "11",
            errors.Unauthenticated(
                "You've been logged out by the server. Please log in again.", code=403
            ),
        ),
        '{"msg":"result","id":"11","error":{"isClientSafe":true,"errorType":"Meteor.Error",'
        '"error":403,"reason":"You\'ve been logged out by the server. Please log in again.",'
        '"message":"You\'ve been logged out by the server. Please log in again. [403]"}}',
    ),
    (messages.result("12"), '{"msg":"result","id":"12"}'),
    (
        stream("notify-room", "GENERAL/typing", ["bob", True]),
        '{"msg":"changed","collection":"stream-notify-room","id":"id",'
        '"fields":{"eventName":"GENERAL/typing","args":["bob",true]}}',
    ),
    (
        stream(
            "notify-user",
            "u1/subscriptions-changed",
            [
                "removed",
                {"_id": "s1", "rid": "R1", "u": {"_id": "u1", "username": "bob"}, "t": "p"},
            ],
        ),
        '{"msg":"changed","collection":"stream-notify-user","id":"id","fields":'
        '{"eventName":"u1/subscriptions-changed","args":["removed",{"_id":"s1","rid":"R1",'
        '"u":{"_id":"u1","username":"bob"},"t":"p"}]}}',
    ),
    (
        messages.error("Must connect first", b' {"msg":"sub", "id":"1"}\n'),
        '{"msg":"error","reason":"Must connect first","offendingMessage":{"msg":"sub", "id":"1"}}',
    ),
    (
        messages.removed("users", "u1"),
        '{"msg":"removed","collection":"users","id":"u1"}',
    ),
    (
        messages.changed("users", "u1", {"status": "away"}),
        '{"msg":"changed","collection":"users","id":"u1","fields":{"status":"away"}}',
    ),
]


@pytest.mark.parametrize(("frame", "text"), TO_CLIENTS)
def test_to_clients(frame: bytes, text: str) -> None:
    assert frame == text.encode()
