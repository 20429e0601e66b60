"""Memberships: who is in which room, and what they see of it. Clients say "subscriptions"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hubbub.contracts.event_log import (
    MembershipBegan,
    MembershipEnded,
    room_audience,
    user_audience,
)
from hubbub.contracts.events import MembershipChanged
from hubbub.contracts.workspace import PUBLISHED_SUBSCRIPTION_FIELDS
from hubbub.ids import RoomId, UserId
from services.stream_hub.domain import roles, rooms
from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import Decision, Known, StreamEvent, control, frame, only

_NEWS = PUBLISHED_SUBSCRIPTION_FIELDS - {"_id", "_updatedAt"}
_ROLES = frozenset({"roles"})


def decide(change: Change, known: Known) -> Decision:
    """A membership that began, changed or ended."""
    if change.operation == "delete":
        found = change.before or known.ended_membership(change.id)
        return _ended(change, found) if found is not None else Decision(skipped="unknown_member")
    document = change.document
    if document is None:
        return Decision(skipped="gone")
    user_id, room_id = _who(document)
    if user_id is None or room_id is None:
        return Decision(skipped="incomplete")
    if change.operation == "insert":
        return _began(document, user_id, room_id, known)
    if not change.touches(_NEWS):
        return Decision(skipped="no_news")
    return _changed(change, document, user_id, room_id)


def _began(document: Mapping[str, Any], user_id: str, room_id: str, known: Known) -> Decision:
    kind, name = _text(document.get("t")), _text(document.get("name"))
    began = MembershipBegan(
        user_id=user_id,
        room_id=room_id,
        room_type=kind,
        room_name=(name or None) if kind != "d" else None,
    )
    audience = user_audience(user_id)
    events = [
        control(audience, began),
        _frame(user_id, "subscriptions-changed", ["inserted", _published(document)]),
    ]
    room = known.room_document(room_id)
    if room is not None:
        events.append(_frame(user_id, "rooms-changed", ["inserted", rooms.published(room)]))
    return Decision(events, [_told(user_id, room_id, "began")])


def _changed(change: Change, document: Mapping[str, Any], user_id: str, room_id: str) -> Decision:
    shown = _frame(user_id, "subscriptions-changed", ["updated", _published(document)])
    decision = Decision([shown])
    if change.touches(_ROLES):
        decision.told.append(_told(user_id, room_id, "roles"))
        before = None if change.before is None else roles.names(change.before.get("roles"))
        now = roles.names(document.get("roles"))
        decision.events += roles.told(before, now, _user(document), room_id=room_id)
    return decision


def _ended(change: Change, document: Mapping[str, Any]) -> Decision:
    user_id, room_id = _who(document)
    if user_id is None or room_id is None:
        return Decision(skipped="incomplete")
    ended = MembershipEnded(user_id=user_id, room_id=room_id)
    removed: dict[str, Any] = {"_id": change.id, "rid": room_id, "u": _user(document, "name")}
    if "t" in document:
        removed["t"] = document["t"]
    return Decision(
        events=[
            control(room_audience(room_id), ended),
            control(user_audience(user_id), ended),
            _frame(user_id, "subscriptions-changed", ["removed", removed]),
        ],
        told=[_told(user_id, room_id, "ended")],
    )


def _frame(user_id: str, name: str, args: list[Any]) -> StreamEvent:
    return frame(user_audience(user_id), "notify-user", f"{user_id}/{name}", args, uid=user_id)


def _told(
    user_id: str, room_id: str, change: Literal["began", "ended", "roles"]
) -> MembershipChanged:
    return MembershipChanged(user_id=UserId(user_id), room_id=RoomId(room_id), change=change)


def _published(document: Mapping[str, Any]) -> dict[str, Any]:
    shown = only(document, PUBLISHED_SUBSCRIPTION_FIELDS)
    if "u" in shown:
        shown["u"] = _user(document)
    return shown


def _user(document: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    user = document.get("u")
    if not isinstance(user, Mapping):
        return {}
    names = [name for name in ("_id", "username", "name") if name not in left_out]
    return {name: user[name] for name in names if name in user}


def _who(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    user = document.get("u")
    user_id = identifier(user.get("_id")) if isinstance(user, Mapping) else None
    return user_id, identifier(document.get("rid"))


def _text(value: object) -> str:
    return value if type(value) is str else ""
