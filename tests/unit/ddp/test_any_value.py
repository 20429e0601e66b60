"""Properties of the codec as a whole: what goes in on one side comes out on the other."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ddp import ejson, messages, sockjs
from hubbub.ddp.messages import Method, Refused, Sub
from hubbub.ddp.websocket import CLOSE, NO_STATUS, close_frame, close_status
from hubbub.errors import BadRequest
from tests.unit.ddp.test_ejson import VALUES

IDS = st.text(min_size=1, max_size=40) | st.integers(-(2**53), 2**53)
NAMES = st.text(min_size=1, max_size=40)
_LONGEST_REASON = 123  # bytes: a control frame has 125, two of them the code


def is_storable(value: Any) -> bool:
    """No NUL, no number beyond 64 bit: what any method may get."""
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, float):
        return abs(value) < 2**63
    if isinstance(value, dict):
        return all(map(is_storable, value)) and all(map(is_storable, value.values()))
    return all(map(is_storable, value)) if isinstance(value, list) else True


@pytest.mark.parametrize(("kind", "named"), [("method", "method"), ("sub", "name")])
@given(call_id=IDS, name=NAMES, params=st.lists(VALUES, max_size=4))
def test_a_call_arrives_as_it_was_meant(
    kind: str, named: str, call_id: Any, name: str, params: list[Any]
) -> None:
    """With its id's type; what no store can keep is refused with the id still known."""
    text = ejson.dumps({"msg": kind, "id": call_id, named: name, "params": params})

    found = messages.parse(text)

    if is_storable(params):
        assert isinstance(found, Method | Sub)
        assert (found.id, found.name, found.params) == (call_id, name, params)
        assert type(found.id) is type(call_id)
    else:
        assert isinstance(found, Refused)
        assert (found.kind, found.id, found.error.code) == (kind, call_id, 400)


@given(call_id=IDS, value=VALUES)
def test_a_result_reads_back(call_id: Any, value: Any) -> None:
    """Every value is sent, false ones too, and an error is never beside it."""
    found = orjson.loads(messages.result(call_id, value))

    assert list(found) == ["msg", "id", "result"]
    assert found["id"] == call_id
    assert ejson.decode(found["result"]) == value


@given(collection=NAMES, document_id=NAMES, fields=st.dictionaries(st.text(max_size=6), VALUES))
def test_a_document_reads_back(collection: str, document_id: str, fields: dict[str, Any]) -> None:
    for made in (messages.added, messages.changed):
        found = orjson.loads(made(collection, document_id, fields))

        assert (found["collection"], found["id"]) == (collection, document_id)
        assert found["fields"] == ejson.encode(fields)


@given(call_id=IDS, reason=st.text(max_size=60), details=st.dictionaries(st.text(), VALUES))
def test_an_error_reads_back(call_id: Any, reason: str, details: dict[str, Any]) -> None:
    """With the sentence that older clients show."""
    error = BadRequest(reason, code="error-x", details=details)

    for text in (messages.result_error(call_id, error), messages.nosub(call_id, error)):
        found = orjson.loads(text)["error"]
        assert found["error"] == "error-x"
        assert found["message"] == (f"{reason} [error-x]" if reason else "[error-x]")
        assert found.get("reason", "") == reason


@given(error=st.sampled_from([ValueError, KeyError, OSError]), told=st.text(max_size=40))
def test_a_defect_tells_nothing(error: type[Exception], told: str) -> None:
    """Whatever the exception says stays here."""
    found = orjson.loads(messages.result_error("1", error(told)))["error"]

    assert found == orjson.loads(messages.result_error("1", RuntimeError()))["error"]


@given(st.lists(st.binary(max_size=30).map(lambda raw: orjson.dumps(raw.hex())), min_size=1))
def test_what_is_wrapped_for_sockjs_is_one_array(texts: list[bytes]) -> None:
    wrapped = sockjs.wrap_all(texts)

    assert wrapped[:1] == b"a"
    assert [item.encode() for item in orjson.loads(wrapped[1:])] == texts


@given(code=st.sampled_from([1000, 1002, 1007, 1012, 4408, NO_STATUS]), reason=st.text())
def test_a_close_frame_says_what_it_can(code: int, reason: str) -> None:
    """A reason that is too long is cut between two characters."""
    frame = close_frame(code, reason)
    opcode, length, payload = frame[0] & 0x0F, frame[1], frame[2:]

    assert (opcode, length) == (CLOSE, len(payload))
    found, told = close_status(payload)
    assert found == code
    assert reason.startswith(told)
    if code != NO_STATUS:
        assert told == reason or len(told.encode()) > _LONGEST_REASON - 4
