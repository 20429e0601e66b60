"""Which of a connection's waiting frames show a room that its user has just lost. Pure."""

from __future__ import annotations

from typing import Any

import orjson

_MY_MESSAGES = "__my_messages__"


def shows_room(frame: bytes, room_id: str) -> bool:
    """Whether `frame`, an unmasked WebSocket text frame, tells something of this room.

    What says that the user is no longer in it does not count. Works on both framings.
    """
    if room_id.encode() not in frame and room_id.isascii() and room_id.isalnum():
        return False  # most frames, most rooms
    payload = frame[_header_length(frame) :]
    try:
        message = orjson.loads(orjson.loads(payload[1:])[0] if payload[:1] == b"a" else payload)
        stream = message["collection"].removeprefix("stream-")
        return _tells_of(stream, message["fields"]["eventName"], message["fields"]["args"], room_id)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False  # an answer, a ping, a closing frame


def _tells_of(stream: str, event: str, args: list[Any], room_id: str) -> bool:
    match stream:
        case "room-messages" if event == _MY_MESSAGES:
            return bool(args[0]["rid"] == room_id)
        case "room-messages" | "room-data":
            return event == room_id
        case "notify-room":
            return event.startswith(room_id + "/")
        case "notify-user" if event.endswith("/rooms-changed"):
            return args[0] != "removed" and bool(args[1]["_id"] == room_id)
        case "notify-user" if event.endswith("/notification"):
            return bool(args[0]["payload"]["rid"] == room_id)
    return False


def _header_length(frame: bytes) -> int:
    return {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
