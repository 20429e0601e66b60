"""Frames between the engine and the process of an app."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.apps import wire
from hubbub.apps.permissions import CALLS, EVENTS, HOOKS, PERMISSIONS
from hubbub.apps.wire import Answer, Broken, Call, Decoder, Frame, Refusal, Tell, Unsendable, encode

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_ARGS = st.dictionaries(_TEXTS, _VALUES, max_size=3)
_IDS = st.integers(1, 2**53 - 1)
_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
_FRAMES = st.one_of(
    st.builds(Call, _IDS, _NAMES, _ARGS),
    st.builds(Answer, _IDS, _VALUES),
    st.builds(Refusal, _IDS, st.from_regex(r"[a-z][a-z0-9-]{0,63}", fullmatch=True), _TEXTS),
    st.builds(Tell, _NAMES, _ARGS),
)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@given(st.lists(_FRAMES, max_size=5), st.integers(1, 40))
def test_what_is_sent_comes_out_however_it_is_cut(frames: list[Frame], size: int) -> None:
    stream = b"".join(encode(frame) for frame in frames)
    decoder = Decoder()
    found = []
    for start in range(0, len(stream), size):
        found += decoder.feed(stream[start : start + size])
    assert found == frames
    assert decoder.pending == 0


def test_a_frame_in_bytes() -> None:
    assert encode(Tell("log", {"text": "ö"})) == framed(
        '{"tell":"log","args":{"text":"ö"}}'.encode()
    )


def test_a_frame_that_is_cut_is_seen() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(Answer(1, None))[:-1]) == []
    assert decoder.pending > 0


@pytest.mark.parametrize(
    "document",
    [
        [],
        1,
        {},
        {"id": 1},
        {"id": 1, "ok": 1, "more": 1},
        {"id": 1, "ok": 1, "error": {"code": "a", "reason": ""}},
        {"id": 0, "ok": 1},
        {"id": True, "ok": 1},
        {"id": 1.0, "ok": 1},
        {"id": 2**53, "ok": 1},
        {"id": "1", "ok": 1},
        {"id": 1, "call": "send_message"},
        {"id": 1, "call": "send_message", "args": []},
        {"id": 1, "call": "Send", "args": {}},
        {"id": 1, "call": "x" * 65, "args": {}},
        {"id": 1, "call": 5, "args": {}},
        {"id": 1, "error": "wrong"},
        {"id": 1, "error": {"code": "a"}},
        {"id": 1, "error": {"code": "a b", "reason": ""}},
        {"id": 1, "error": {"code": "a", "reason": "x" * 2001}},
        {"id": 1, "error": {"code": "a", "reason": "", "more": 1}},
        {"tell": "log"},
        {"tell": "log", "args": {}, "id": 1},
        {"tell": "log.x", "args": {}},
    ],
)
def test_an_object_of_no_shape_is_broken(document: Any) -> None:
    with pytest.raises(Broken):
        Decoder().feed(framed(json.dumps(document).encode()))


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":1,"ok":NaN}',
        b'{"id":1,"ok":-Infinity}',
        b'{"id":1,"ok":1e999}',
        b'{"id":1,"ok":"\\ud800"}',
        b'{"id":1,"ok":{"\\uDFFF":1}}',
        b'{"id":1,"ok":"\xff"}',
        b'\xef\xbb\xbf{"id":1,"ok":1}',
        b'{"id":1,"ok":1',
        b'{"id":1,"ok":1}{"id":1,"ok":1}',
        b'{"id":1,"ok":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id":1,"ok":' + b"9" * 100_000 + b"}",
    ],
)
def test_bytes_that_are_no_json_are_broken(body: bytes) -> None:
    with pytest.raises(Broken):
        Decoder().feed(framed(body))


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    assert Decoder().feed(framed(b'{"id":1,"ok":"\\ud83d\\ude00"}')) == [Answer(1, "😀")]


@pytest.mark.parametrize("length", [0, 1, wire.MAXIMUM + 1, 2**32 - 1])
def test_a_length_is_judged_before_anything_is_kept(length: int) -> None:
    with pytest.raises(Broken):
        Decoder().feed(length.to_bytes(4, "big"))


def test_the_largest_frame() -> None:
    room = wire.MAXIMUM - len(b'{"id":1,"ok":""}')
    frame = Answer(1, "x" * room)
    assert Decoder().feed(encode(frame)) == [frame]
    with pytest.raises(Unsendable):
        encode(Answer(1, "x" * (room + 1)))


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", object(), {1, 2}, b"bytes"]
)
def test_what_json_has_not_is_not_sent(value: object) -> None:
    with pytest.raises(Unsendable):
        encode(Answer(1, value))


def test_a_reason_is_cut_to_what_the_other_side_takes() -> None:
    (found,) = Decoder().feed(encode(Refusal(1, "failed", "x" * 5000)))
    assert isinstance(found, Refusal)
    assert len(found.reason) == 2000


def test_everything_needs_a_permission_that_there_is() -> None:
    needed = {*CALLS.values(), *EVENTS.values(), *HOOKS.values(), "command", "endpoint"}
    # This one only widens others.
    assert needed | {"room.read-all"} == set(PERMISSIONS) - {"message.hook"} | set(HOOKS.values())
