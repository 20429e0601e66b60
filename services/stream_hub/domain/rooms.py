"""Rooms: what their members see of them, and who may still see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.event_log import LOGGED, RoomAccessChanged, room_audience
from hubbub.contracts.events import RoomChanged
from hubbub.contracts.workspace import INTERNAL_MESSAGE_FIELDS, PUBLISHED_ROOM_FIELDS
from hubbub.ids import RoomId
from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import (
    Decision,
    Known,
    StreamEvent,
    control,
    frame,
    only,
    shared_args,
    without,
)

_NEWS = PUBLISHED_ROOM_FIELDS - {"_id", "_updatedAt"}
_ACCESS = frozenset("t teamId prid archived joinCodeRequired ro".split())
_CACHED = _ACCESS | {"name", "fname"}
_AVATAR = frozenset(("avatarETag",))


def published(room: Mapping[str, Any]) -> dict[str, Any]:
    """A room without the fields that never leave the server, its last message included."""
    shown = only(room, PUBLISHED_ROOM_FIELDS)
    last = shown.get("lastMessage")
    if isinstance(last, Mapping):
        shown["lastMessage"] = without(last, INTERNAL_MESSAGE_FIELDS)
    return shown


def decide(change: Change, _: Known) -> Decision:
    """The room's new state for its members. A new room is told by its memberships."""
    room_id = identifier(change.id)
    if room_id is None:
        return Decision(skipped="incomplete")
    if change.operation == "delete":
        return _deleted(room_id)
    if change.operation == "insert":
        return Decision(told=[RoomChanged(room_id=RoomId(room_id))])
    decision = Decision()
    audience = room_audience(room_id)
    if change.touches(_ACCESS):
        # Ahead of the frames: whoever lost access with this change must not see them.
        decision.events.append(control(audience, RoomAccessChanged(room_id=room_id)))
    if change.touches(_CACHED):
        decision.told.append(RoomChanged(room_id=RoomId(room_id)))
    if not change.touches(_NEWS):
        decision.skipped = "no_news"
    elif change.document is None:
        decision.skipped = "gone"
    else:
        decision.events += _shown(room_id, change.document)
        if change.touches(_AVATAR) and (change.is_update or "avatarETag" in change.document):
            decision.events.append(_avatar(room_id, change.document))
    return decision


def _avatar(room_id: str, document: Mapping[str, Any]) -> StreamEvent:
    """The picture of a room, as everybody who is signed in may show it."""
    avatar = {"rid": room_id, "etag": document.get("avatarETag")}
    if avatar["etag"] is None:
        del avatar["etag"]
    return frame(LOGGED, "notify-logged", "updateAvatar", [avatar])


def _shown(room_id: str, document: Mapping[str, Any]) -> list[StreamEvent]:
    audience, room = room_audience(room_id), published(document)
    return [
        shared_args(audience, "notify-user", "rooms-changed", ["updated", room]),
        frame(audience, "room-data", room_id, [room]),
    ]


def _deleted(room_id: str) -> Decision:
    audience = room_audience(room_id)
    return Decision(
        events=[
            shared_args(audience, "notify-user", "rooms-changed", ["removed", {"_id": room_id}]),
            frame(audience, "room-data", room_id, [{"_id": room_id}]),
            control(audience, RoomAccessChanged(room_id=room_id, deleted=True)),
        ],
        told=[RoomChanged(room_id=RoomId(room_id), deleted=True)],
    )
