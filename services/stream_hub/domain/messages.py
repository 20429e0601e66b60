"""Messages: new, edited, reacted to, pinned, gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.event_log import room_audience
from hubbub.contracts.workspace import INTERNAL_MESSAGE_FIELDS
from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import Decision, Known, StreamEvent, frame, without

_NO_NEWS = frozenset(("_updatedAt", *INTERNAL_MESSAGE_FIELDS)) - {"_hidden"}
"""Fields whose change nobody would see. `_hidden` is one that everybody sees."""


def decide(change: Change, known: Known) -> Decision:
    """A message as everybody in its room sees it, or that it is gone."""
    document = change.document
    if document is None:
        return Decision(skipped="gone")
    room_id = identifier(document.get("rid"))
    if room_id is None:
        return Decision(skipped="incomplete")
    if document.get("_hidden"):
        disappeared = change.operation == "replace" or "_hidden" in change.changed
        return Decision([_deleted(room_id, change.id)] if disappeared else [], skipped="hidden")
    if document.get("imported") is not None:
        return Decision(skipped="imported")
    if change.is_update and change.touched() <= _NO_NEWS:
        return Decision(skipped="no_news")
    return _shown(document, room_id, known)


def decide_trash(change: Change) -> Decision:
    """A message that was deleted for good."""
    document = change.document or {}
    room_id = identifier(document.get("rid"))
    if document.get("__collection__") != "message" or change.operation != "insert":
        return Decision(skipped="unpublished")
    if room_id is None:
        return Decision(skipped="incomplete")
    return Decision([_deleted(room_id, document.get("_id", change.id))])


def _shown(document: Mapping[str, Any], room_id: str, known: Known) -> Decision:
    room = known.room(room_id)
    kind = document.get("t")
    if type(kind) is str and (kind in known.hidden_types or (room and kind in room.hidden)):
        return Decision(skipped="hidden")
    author = document.get("u")
    return Decision(
        [
            frame(
                room_audience(room_id),
                "room-messages",
                room_id,
                [without(document, INTERNAL_MESSAGE_FIELDS)],
                uid=identifier(author.get("_id")) if isinstance(author, Mapping) else None,
                more=room.headers if room else None,
            )
        ]
    )


def _deleted(room_id: str, message_id: Any) -> StreamEvent:
    return frame(
        room_audience(room_id), "notify-room", f"{room_id}/deleteMessage", [{"_id": message_id}]
    )
