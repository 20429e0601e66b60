"""Which event of apps an entry of the event log is.

The log holds finished frames of the protocol. What is no news for an app is skipped by its
headers, before anything is parsed. Documents stay as they are in the frame: EJSON, as clients see
them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import unquote

import orjson
from pydantic import ValidationError

from hubbub.contracts.event_log import (
    LOG_SUBJECTS,
    Audience,
    Header,
    Kind,
    MembershipBegan,
    MembershipEnded,
    decode_control,
    room_of,
    user_of,
)

EventName = Literal[
    "message_sent",
    "message_updated",
    "message_deleted",
    "room_created",
    "room_changed",
    "room_archived",
    "member_joined",
    "member_left",
    "user_created",
    "user_changed",
]

IN_ROOMS: Final = f"{LOG_SUBJECTS}room.>"
OF_USERS: Final = f"{LOG_SUBJECTS}user.>"
SUBJECTS: Final[Mapping[str, str]] = {
    "message_sent": IN_ROOMS,
    "message_updated": IN_ROOMS,
    "message_deleted": IN_ROOMS,
    "room_created": OF_USERS,
    "room_changed": IN_ROOMS,
    "room_archived": IN_ROOMS,
    "member_joined": OF_USERS,
    "member_left": IN_ROOMS,
    "user_created": OF_USERS,
    "user_changed": OF_USERS,
}
"""Event → where in the log it is found."""

NEEDS: Final[Mapping[str, str]] = {
    "message_sent": "message.read",
    "message_updated": "message.read",
    "message_deleted": "message.read",
    "room_created": "room.read",
    "room_changed": "room.read",
    "member_joined": "room.read",
    "member_left": "room.read",
    "user_created": "user.read",
    "user_changed": "user.read",
}
"""Event → the permission that an app needs to hear it."""

_ROOM_NEWS: Final = (
    "t name fname topic announcement description ro archived teamId prid default encrypted"
).split()
_USER_NEWS: Final = frozenset("name username active roles avatarETag".split())
_REMEMBERED: Final = 10_000  # rooms
_FRESH: Final = 60_000  # ms from a room's making until its creator's membership is told


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, before anybody is asked who may hear it."""

    name: EventName
    payload: dict[str, Any]
    room_id: str | None = None
    """Where it happened."""
    room_type: str | None = None
    author_id: str | None = None
    """Whose doing it is: an app does not hear of its own."""
    user_id: str | None = None
    """Who it is about; their document is still to be added to the payload."""


@dataclass(slots=True)
class Reader:
    """Reads entries of the log in their order. Remembers what rooms looked like, because a
    frame says how a room is and not what changed."""

    _rooms: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _archived: OrderedDict[str, bool] = field(default_factory=OrderedDict)
    _made: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def read(self, subject: str, headers: Mapping[str, str], payload: bytes) -> list[Heard]:
        """The events that an entry is. None: it is no news for apps, or not understood."""
        audience = Audience(subject.removeprefix(LOG_SUBJECTS))
        room_id, user_id = room_of(audience), user_of(audience)
        kind, stream = headers.get(Header.KIND), headers.get(Header.STREAM, "")
        key = unquote(headers.get(Header.KEY, ""))
        try:
            if kind == Kind.CONTROL:
                return list(_control(payload, in_room=room_id is not None))
            if kind != Kind.FRAME:
                return []
            if room_id is not None:
                return list(self._in_room(room_id, stream, key, headers, payload))
            if user_id is not None and stream == "notify-user":
                return list(self._of_user(user_id, key, headers, payload))
        except (KeyError, IndexError, TypeError, ValueError):
            return []  # a foreign document; clients got it as it is
        return []

    def _in_room(
        self, room_id: str, stream: str, key: str, headers: Mapping[str, str], payload: bytes
    ) -> Iterator[Heard]:
        if stream == "room-messages":
            message = _args(payload)[0]
            if message.get("t") is not None:
                return  # said by the server
            yield Heard(
                "message_sent" if message["_updatedAt"] == message["ts"] else "message_updated",
                {"message": message},
                room_id=room_id,
                room_type=headers.get(Header.ROOM_TYPE),
                author_id=str(message["u"]["_id"]),
            )
        elif stream == "notify-room" and key.endswith("/deleteMessage"):
            gone = {"message": str(_args(payload)[0]["_id"]), "room": room_id}
            yield Heard("message_deleted", gone, room_id=room_id)
        elif stream == "notify-room" and key.endswith("/deleteMessageBulk"):
            for message_id in _args(payload)[0]["ids"]:
                gone = {"message": str(message_id), "room": room_id}
                yield Heard("message_deleted", gone, room_id=room_id)
        elif stream == "room-data":
            room = _args(payload)[0]
            if self._is_news(room_id, room):
                told = {name: value for name, value in room.items() if name != "lastMessage"}
                yield Heard("room_changed", {"room": told}, room_id=room_id, room_type=room["t"])
                if self._is_put_away(room_id, room):
                    yield Heard("room_archived", {"room": told}, room_id=room_id)

    def _of_user(
        self, user_id: str, key: str, headers: Mapping[str, str], payload: bytes
    ) -> Iterator[Heard]:
        if key.endswith("/rooms-changed"):
            what, room = _args(payload)
            if what == "inserted" and self._is_made(user_id, room, headers):
                told = {name: value for name, value in room.items() if name != "lastMessage"}
                yield Heard(
                    "room_created",
                    {"room": told},
                    room_id=str(room["_id"]),
                    room_type=str(room["t"]),
                    author_id=user_id,
                )
        elif key.endswith("/userData"):
            data = _args(payload)[0]
            if data["type"] == "inserted":
                yield Heard("user_created", {}, user_id=user_id)
            elif data["type"] == "updated" and _USER_NEWS & (data["diff"].keys() | data["unset"]):
                yield Heard("user_changed", {}, user_id=user_id)

    def _is_news(self, room_id: str, room: Mapping[str, Any]) -> bool:
        if "t" not in room:
            return False  # it is gone
        looks = orjson.dumps([room.get(name) for name in _ROOM_NEWS])
        before = self._rooms.pop(room_id, None)
        _remember(self._rooms, room_id, looks)
        if before is None:
            # Each message changes the room as well, and both dates with it.
            return bool(room.get("_updatedAt") != room.get("lm"))
        return before != looks

    def _is_put_away(self, room_id: str, room: Mapping[str, Any]) -> bool:
        archived = room.get("archived") is True
        before = self._archived.pop(room_id, False)
        _remember(self._archived, room_id, archived)
        return archived and not before

    def _is_made(self, user_id: str, room: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
        """Whether a room that came into somebody's list is a new one, told for the first time."""
        room_id = str(room["_id"])
        creator = (room.get("u") or {}).get("_id")
        first = creator if creator is not None else min(room.get("uids") or [""])
        committed = int(headers.get(Header.COMMITTED, 0))
        if first != user_id or room_id in self._made:
            return False
        if committed - int(room["ts"]["$date"]) > _FRESH:
            return False  # its creator came back
        _remember(self._made, room_id, None)
        return True


def _control(payload: bytes, *, in_room: bool) -> Iterator[Heard]:
    try:
        event = decode_control(payload)
    except ValidationError:
        return  # of a newer hub
    # Each is told in two audiences; one of them counts.
    if isinstance(event, MembershipEnded) and in_room:
        yield Heard(
            "member_left", {"room": event.room_id}, room_id=event.room_id, user_id=event.user_id
        )
    elif isinstance(event, MembershipBegan) and not in_room:
        yield Heard(
            "member_joined",
            {"room": event.room_id},
            room_id=event.room_id,
            room_type=event.room_type,
            user_id=event.user_id,
        )


def _args(payload: bytes) -> Any:
    return orjson.loads(payload)["fields"]["args"]


def _remember(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)
