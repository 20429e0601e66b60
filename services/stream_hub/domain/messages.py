"""Messages: new, edited, reacted to, pinned, gone one by one or many at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.event_log import Header, room_audience
from hubbub.contracts.tracing import TRACE_FIELD, valid_parent
from hubbub.contracts.workspace import INTERNAL_MESSAGE_FIELDS
from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import Decision, Known, StreamEvent, frame, without
from services.stream_hub.domain.names import renamed

PRUNE = "prune"
"""Kind of the trash's record of messages that were removed at once."""
PRUNED_BY = "prunedBy"
"""Field of such a message in the trash: the record's id."""

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
    return _shown(document, room_id, known, new=change.operation == "insert")


def decide_trash(change: Change) -> Decision:
    """A message that was deleted for good, or many that were removed at once."""
    document = change.document or {}
    room_id = identifier(document.get("rid"))
    kind = document.get("__collection__")
    if kind not in ("message", PRUNE) or change.operation != "insert":
        return Decision(skipped="unpublished")
    if room_id is None:
        return Decision(skipped="incomplete")
    if kind == PRUNE:
        return Decision([_pruned(room_id, document)])
    if document.get(PRUNED_BY) is not None:
        return Decision(skipped="no_news")  # told by the record of its portion
    return Decision([_deleted(room_id, document.get("_id", change.id))])


def _shown(document: Mapping[str, Any], room_id: str, known: Known, *, new: bool) -> Decision:
    room = known.room(room_id)
    kind = document.get("t")
    if type(kind) is str and (kind in known.hidden_types or (room and kind in room.hidden)):
        return Decision(skipped="hidden")
    author = document.get("u")
    more = room.headers if room else {}
    # Of later changes the trace is another one, that nobody wrote down.
    trace = valid_parent(document.get(TRACE_FIELD)) if new else None
    if trace is not None:
        more[Header.TRACE_PARENT] = trace
    return Decision(
        [
            frame(
                room_audience(room_id),
                "room-messages",
                room_id,
                [without(renamed(document, known), INTERNAL_MESSAGE_FIELDS)],
                uid=identifier(author.get("_id")) if isinstance(author, Mapping) else None,
                more=more,
            )
        ]
    )


def _deleted(room_id: str, message_id: Any) -> StreamEvent:
    return frame(
        room_audience(room_id), "notify-room", f"{room_id}/deleteMessage", [{"_id": message_id}]
    )


def _pruned(room_id: str, record: Mapping[str, Any]) -> StreamEvent:
    """Which messages went: by id, and for clients that look at dates, from first to last."""
    ids, users = record.get("ids"), record.get("users")
    told = {
        "rid": room_id,
        "excludePinned": record.get("excludePinned") is True,
        "ignoreDiscussion": record.get("ignoreDiscussion") is True,
        "ts": {"$gte": record.get("first"), "$lte": record.get("last")},
        "users": users if isinstance(users, list) else [],
        "ids": ids if isinstance(ids, list) else [],
    }
    return frame(room_audience(room_id), "notify-room", f"{room_id}/deleteMessageBulk", [told])
