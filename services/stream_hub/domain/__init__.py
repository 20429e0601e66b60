"""The hub's rules: from one change to the events that follow from it. Pure.

Whatever a document holds, a decision is events or nothing, never an exception: the documents
come from many tools, and one that nobody foresaw must not stop the stream for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from hubbub.ddp.ejson import EjsonError
from services.stream_hub.domain import memberships, messages, rooms, users, workspace
from services.stream_hub.domain.change import (
    CUSTOM_STATUSES,
    MEMBERSHIPS,
    MESSAGES,
    PERMISSIONS,
    ROLES,
    ROOMS,
    SETTINGS,
    TRASH,
    USERS,
    Change,
    Moment,
    identifier,
    read,
)
from services.stream_hub.domain.event import (
    Decision,
    Known,
    RoomFacts,
    StreamEvent,
    facts_of,
    hidden_types,
)

__all__ = [
    "UNREADABLE",
    "Change",
    "Decision",
    "Known",
    "Needs",
    "RoomFacts",
    "StreamEvent",
    "breaks_continuity",
    "decide",
    "facts_of",
    "hidden_types",
    "message_of",
    "needs",
    "read",
]

_RULES: Mapping[str, Callable[[Change, Known], Decision]] = {
    MESSAGES: messages.decide,
    MEMBERSHIPS: memberships.decide,
    ROOMS: rooms.decide,
    USERS: users.decide,
    ROLES: workspace.decide_role,
    PERMISSIONS: workspace.decide_permission,
    SETTINGS: workspace.decide_setting,
    CUSTOM_STATUSES: workspace.decide_custom_status,
    TRASH: lambda change, _: messages.decide_trash(change),
}
UNREADABLE: Final = "unreadable"
"""Why a decision is nothing although something happened that somebody should hear of."""

_WRITES = frozenset(("insert", "update", "replace", "delete"))
_BREAKS = frozenset(("drop", "rename", "dropDatabase", "invalidate"))


class Needs(NamedTuple):
    """What has to be looked up before a change can be decided."""

    room: str | None = None
    """Type and name of this room."""
    room_document: str | None = None
    """The whole document of this room."""
    ended_membership: str | None = None
    """The trash record of this membership."""
    roles_before: tuple[str, Moment] | None = None
    """The roles that this user held before this moment."""


_NOTHING = Needs()


def needs(change: Change) -> Needs:
    """What `decide` will ask its `known` for."""
    document = change.document or {}
    if change.collection == MESSAGES:
        return Needs(room=identifier(document.get("rid")))
    if change.collection == MEMBERSHIPS:
        if change.operation == "insert":
            return Needs(room_document=identifier(document.get("rid")))
        if change.operation == "delete" and change.before is None:
            return Needs(ended_membership=identifier(change.id))
    if change.collection == USERS and users.gives_or_takes_roles(change):
        user_id = identifier(change.id)
        return Needs(roles_before=None if user_id is None else (user_id, change.moment))
    return _NOTHING


def decide(change: Change, known: Known) -> Decision:
    """The events that follow from `change`. The same change always yields the same events, up
    to what was looked up; never raises."""
    rule = _RULES.get(change.collection)
    if rule is None or change.operation not in _WRITES:
        return Decision(skipped="unpublished")
    try:
        return rule(change, known)
    except (EjsonError, RecursionError):
        return Decision(skipped=UNREADABLE)


def message_of(change: Change) -> str:
    """The id of the message that `change` is about; empty when it is about something else."""
    if change.collection == MESSAGES:
        return identifier(change.id) or ""
    if change.collection == TRASH and (change.document or {}).get("__collection__") == "message":
        return identifier((change.document or {}).get("_id")) or ""
    return ""


def breaks_continuity(change: Change) -> bool:
    """Whether documents went without a change of their own, so that clients must fetch again."""
    return change.operation in _BREAKS
