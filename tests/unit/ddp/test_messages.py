"""DDP messages: reading a client's, writing ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub import errors
from hubbub.ddp import messages
from hubbub.ddp.messages import (
    MISSING,
    Connect,
    Malformed,
    Method,
    Ping,
    Pong,
    ProtocolViolation,
    Refused,
    Sub,
    Unsub,
    parse,
)
from tests.unit.ddp.violations import violation_code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"msg":"ping"}', Ping(None)),
        (b'{"msg":"ping","id":"x"}', Ping("x")),
        (b'{"msg":"ping","id":""}', Ping("")),
        (b'{"msg":"ping","id":{}}', Ping(None)),
        (b'{"msg":"pong"}\n', Pong(None)),
        (b'{"msg":"unsub","id":"s1"}', Unsub("s1")),
        (b'{"msg":"method","id":"1","method":"a","params":[1,""]}', Method("1", "a", [1, ""])),
        (b'{"msg":"method","id":1001,"method":"a"}', Method(1001, "a", [])),
        (b'{"msg":"method","id":"1","method":"a","params":null}', Method("1", "a", [])),
        (b'{"msg":"method","method":"a","id":"1","randomSeed":"x"}', Method("1", "a", [])),
        (
            b'{"msg":"method","id":"1","method":"a","params":[{"ts":{"$date":0}}]}',
            Method("1", "a", [{"ts": datetime(1970, 1, 1, tzinfo=UTC)}]),
        ),
        (
            b'{"msg":"method","id":"1","method":"a","params":[{"\\u0024date":0}]}',
            Method("1", "a", [datetime(1970, 1, 1, tzinfo=UTC)]),
        ),
        (b'{"msg":"sub","id":"s","name":"p","params":["e",false]}', Sub("s", "p", ["e", False])),
        (b'{"msg":"sub","id":"s","name":"p"}', Sub("s", "p", [])),
        (
            b'{"msg":"connect","version":"1","support":["1","pre2"],"session":"s"}',
            Connect("1", ("1", "pre2"), "s"),
        ),
        (b'{"msg":"connect"}', Connect("", (), None)),
        (b'{"msg":"connect","version":1,"support":"1","session":7}', Connect("", (), None)),
        (b'{"msg":"connect","version":"1","support":[1,"1"]}', Connect("1", ("1",), None)),
        (b'{"msg":"foo"}', Malformed(b'{"msg":"foo"}')),
        (b'{"server_id":"0"}', Malformed(b'{"server_id":"0"}')),
        (b'{"msg":["method"]}', Malformed(b'{"msg":["method"]}')),
        (b'{"msg":"result","id":"1"}', Malformed(b'{"msg":"result","id":"1"}')),
        (b"{}", Malformed(b"{}")),
    ],
)
def test_messages_of_clients(text: bytes, message: object) -> None:
    assert parse(text) == message
    assert parse(text.decode()) == message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"hello", 1007),
        (b"", 1007),
        (b"[]", 1007),
        (b"5", 1007),
        (b"null", 1007),
        (b'"text"', 1007),
        (b'{"msg":"ping"', 1007),
        (b'{"msg":"method","id":"1","method":"a","params":[NaN]}', 1007),
        (b'{"msg":"method","id":"1","method":"a","params":["\\ud800"]}', 1007),
        (b'{"msg":"ping","id":"\xff"}', 1007),
        ("\ud800", 1007),
        (b'{"a":' * 65 + b"1" + b"}" * 65, 1007),
        (b'{"msg":"method","method":"a"}', 1002),
        (b'{"msg":"method","method":"a","id":null}', 1002),
        (b'{"msg":"method","method":"a","id":true}', 1002),
        (b'{"msg":"method","method":"a","id":["1"]}', 1002),
        (b'{"msg":"method","id":"1"}', 1002),
        (b'{"msg":"method","id":"1","method":7}', 1002),
        (b'{"msg":"method","id":"1","method":""}', 1002),
        (b'{"msg":"sub","id":"1"}', 1002),
        (b'{"msg":"sub","name":"p"}', 1002),
        (b'{"msg":"sub","name":"p","id":"' + b"x" * 257 + b'"}', 1002),
        (b'{"msg":"unsub"}', 1002),
    ],
)
def test_what_closes_the_connection(text: bytes | str, code: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        (b"{}", "Bad request"),
        (b'"x"', "Bad request"),
        (b"7", "Bad request"),
        (b"[9223372036854775808]", "Match failed"),
        (b"[1180591620717411303424]", "Match failed"),
        (b'["a\\u0000b"]', "Match failed"),
        (b'[{"$date":1e17}]', "Match failed"),
        (b'[{"$date":"x"}]', "Match failed"),
        (b'[{"$binary":"!"}]', "Match failed"),
        (b'[[{"a":{"$InfNaN":1}}]]', "Match failed"),
    ],
)
def test_params_that_are_refused(params: bytes, reason: str) -> None:
    method = parse(b'{"msg":"method","id":"1","method":"a","params":%b}' % params)
    assert isinstance(method, Refused)
    error = (
        b'{"isClientSafe":true,"errorType":"Meteor.Error","error":400,"reason":"%b",'
        b'"message":"%b [400]"}' % (reason.encode(), reason.encode())
    )
    assert method.answer() == (
        b'{"msg":"result","id":"1","error":%b}' % error,
        b'{"msg":"updated","methods":["1"]}',
    )
    sub = parse(b'{"msg":"sub","id":2,"name":"a","params":%b}' % params)
    assert isinstance(sub, Refused)
    assert sub.answer() == (b'{"msg":"nosub","id":2,"error":%b}' % error,)


def test_operator_objects_stay_what_they_are() -> None:
    message = parse(b'{"msg":"method","id":"1","method":"a","params":[{"$ne":null},{"$gt":""}]}')
    assert message == Method("1", "a", [{"$ne": None}, {"$gt": ""}])


@pytest.mark.parametrize(
    ("version", "support", "accepted"),
    [
        ("1", ["1", "pre2", "pre1"], True),
        ("1", [], True),
        ("pre2", ["pre2"], True),
        ("pre1", ["pre1", "pre2"], True),
        ("pre2", ["pre2", "1"], False),
        ("2", ["2", "1"], False),
        ("", ["1"], False),
    ],
)
def test_versions(version: str, support: list[str], accepted: bool) -> None:
    message = parse(orjson.dumps({"msg": "connect", "version": version, "support": support}))
    assert isinstance(message, Connect)
    assert message.accepted is accepted


@given(st.binary() | st.text())
def test_whatever_arrives_only_violations_escape(text: bytes | str) -> None:
    assert violation_code(lambda: parse(text)) in {None, 1007}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$date", "$binary", "$escape", "a"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"msg": st.sampled_from(["method", "sub", "unsub", "ping", "pong", "connect"])},
        optional=dict.fromkeys(["id", "method", "name", "params", "version", "support"], VALUES),
    )
)
def test_messages_with_odd_parts_are_read_refused_or_violations(message: dict[str, Any]) -> None:
    text = json.dumps(message)  # unlike orjson it also writes NaN and integers of any size
    code = violation_code(lambda: parse(text))
    assert code in {None, 1002, 1007}
    if code is None and isinstance(found := parse(text), Refused):
        assert all(orjson.loads(answer) for answer in found.answer())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MISSING, b'{"msg":"result","id":"1"}'),
        (None, b'{"msg":"result","id":"1","result":null}'),
        (False, b'{"msg":"result","id":"1","result":false}'),
        (0, b'{"msg":"result","id":"1","result":0}'),
        ("", b'{"msg":"result","id":"1","result":""}'),
        ([], b'{"msg":"result","id":"1","result":[]}'),
        (
            {"at": datetime(1970, 1, 1, tzinfo=UTC)},
            b'{"msg":"result","id":"1","result":{"at":{"$date":0}}}',
        ),
    ],
)
def test_every_result_is_sent(value: Any, text: bytes) -> None:
    assert messages.result("1", value) == text


@pytest.mark.parametrize("call_id", ["a", 'quo"te', "é", 1001, 1.5, 0])
def test_ids_are_echoed_with_their_type(call_id: str | float) -> None:
    for frame in (
        messages.result(call_id),
        messages.updated(call_id),
        messages.ready(call_id),
        messages.nosub(call_id),
        messages.pong(call_id),
    ):
        answer = orjson.loads(frame)
        echoed = answer.get("id") or (answer.get("methods") or answer.get("subs") or [0])[0]
        assert echoed == call_id
        assert type(echoed) is type(call_id)


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (
            errors.NotAllowed(code="not-allowed"),
            {"error": "not-allowed", "message": "[not-allowed]"},
        ),
        (
            errors.NotFound("Method 'nope' not found", code=404),
            {
                "error": 404,
                "reason": "Method 'nope' not found",
                "message": "Method 'nope' not found [404]",
            },
        ),
        (
            errors.RateLimited("Slow down", details={"timeToReset": 5}),
            {
                "error": "too-many-requests",
                "reason": "Slow down",
                "message": "Slow down [too-many-requests]",
                "details": {"timeToReset": 5},
            },
        ),
    ],
)
def test_errors_meant_for_clients(failure: BaseException, shown: dict[str, Any]) -> None:
    wanted = {"isClientSafe": True, "errorType": "Meteor.Error", **shown}
    assert list(messages.error_object(failure).items()) == list(wanted.items())


@pytest.mark.parametrize(
    "failure", [errors.Internal("secret", error_id="x"), ValueError("secret"), KeyError("secret")]
)
def test_defects_are_masked(failure: BaseException) -> None:
    assert messages.result_error("1", failure) == (
        b'{"msg":"result","id":"1","error":{"isClientSafe":true,"errorType":"Meteor.Error",'
        b'"error":500,"reason":"Internal server error","message":"Internal server error [500]"}}'
    )


def test_details_may_hold_dates() -> None:
    failure = errors.Conflict("No", details={"until": datetime(1970, 1, 1, tzinfo=UTC)})
    assert messages.nosub("1", failure).endswith(b'"details":{"until":{"$date":0}}}}')
