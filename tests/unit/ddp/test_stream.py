"""Splicing of stream frames."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.ddp import messages
from hubbub.ddp.stream import STREAM_SUFFIX, args_of, stream_frame, stream_prefix


def test_a_frame_is_the_message_that_encoding_would_give() -> None:
    args = [{"_id": "m1", "msg": "hi"}, {"roomParticipant": True}]
    spliced = stream_frame("room-messages", "GENERAL", orjson.dumps(args))
    assert spliced == messages.changed(
        "stream-room-messages", "id", {"eventName": "GENERAL", "args": args}
    )
    assert spliced == (
        b'{"msg":"changed","collection":"stream-room-messages","id":"id","fields":'
        b'{"eventName":"GENERAL","args":[{"_id":"m1","msg":"hi"},{"roomParticipant":true}]}}'
    )


def test_presence_names_the_user_as_document() -> None:
    assert stream_frame("user-presence", "u1", b"[[]]", document_id="u1").startswith(
        b'{"msg":"changed","collection":"stream-user-presence","id":"u1","fields":'
    )


@given(st.text(), st.text(), st.lists(st.text() | st.integers(0, 99) | st.none()))
def test_taking_apart_undoes_putting_together(stream: str, key: str, args: list[object]) -> None:
    text = orjson.dumps(args)
    frame = stream_frame(stream, key, text)
    assert args_of(frame, stream, key) == text
    fields = orjson.loads(frame)["fields"]
    assert fields == {"eventName": key, "args": args}
    assert frame == stream_prefix(stream, key) + text + STREAM_SUFFIX


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        stream_frame("room-messages", "OTHER", b"[]"),
        stream_prefix("room-messages", "R"),
    ],
)
def test_other_frames_are_not_taken_apart(frame: bytes) -> None:
    with pytest.raises(ValueError, match="not a frame of stream-room-messages"):
        args_of(frame, "room-messages", "R")
