"""Which waiting frames show a room."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hubbub.ddp import messages, sockjs, websocket
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.room_frames import shows_room

ROOM = 'odd "room" \u00e9'


def changed(stream: str, key: str, *args: Any) -> bytes:
    return stream_frame(stream, key, orjson.dumps(args))


MESSAGE = {"_id": "m", "rid": ROOM, "msg": "x"}


@pytest.mark.parametrize("wrap", [lambda text: text, sockjs.wrap])
@pytest.mark.parametrize(
    ("message", "shows"),
    [
        (changed("room-messages", ROOM, MESSAGE), True),
        (changed("room-messages", "other", MESSAGE | {"rid": "other"}), False),
        (changed("room-messages", "__my_messages__", MESSAGE, {"roomType": "p"}), True),
        (changed("room-messages", "__my_messages__", {"rid": "other", "msg": ROOM}, {}), False),
        (changed("room-messages", ROOM, MESSAGE | {"msg": "x" * 70_000}), True),
        (changed("room-data", ROOM, {"_id": ROOM}), True),
        (changed("notify-room", f"{ROOM}/typing", "bob", True), True),
        (changed("notify-room", "other/typing", ROOM, True), False),
        (changed("notify-user", "u/rooms-changed", "updated", {"_id": ROOM}), True),
        (changed("notify-user", "u/rooms-changed", "removed", {"_id": ROOM}), False),
        (changed("notify-user", "u/subscriptions-changed", "removed", {"rid": ROOM}), False),
        (changed("notify-user", "u/notification", {"payload": {"rid": ROOM}}), True),
        (changed("notify-user", "u/message", {"rid": ROOM}), False),
        (messages.result("1", {"rid": ROOM}), False),
        (messages.nosub(ROOM), False),
        (messages.pong(), False),
    ],
)
def test_frames(message: bytes, shows: bool, wrap: Any) -> None:
    assert shows_room(websocket.text_frame(wrap(message)), ROOM) is shows


def test_what_is_no_message() -> None:
    assert not shows_room(websocket.close_frame(1008, "POLICY"), "R1")
    assert not shows_room(websocket.text_frame(b"h"), "R1")
    assert not shows_room(websocket.pong_frame(b"R1"), "R1")
