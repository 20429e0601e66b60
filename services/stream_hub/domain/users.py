"""Users: what they see of their own account, and what everybody sees of their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.event_log import LOGGED, AccountChanged, user_audience
from hubbub.contracts.events import UserChanged, UserIdentityChanged
from hubbub.contracts.workspace import BOT_USER_ID, REMOVED_USER, USER_DATA_FIELDS
from hubbub.ids import UserId
from services.stream_hub.domain import roles
from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import Decision, Known, StreamEvent, control, frame

FLAGS = ("totp", "email2fa")
"""Of these services of an account its owner may see whether they are on, and nothing else."""

_FLAG_NAMES = frozenset(f"services.{flag}.enabled" for flag in FLAGS)
_NO_NEWS = frozenset(("_updatedAt", "statusConnection"))
_ACCOUNT = frozenset(("services", "active", "roles"))
_RIGHTS = frozenset(("active", "roles"))
_NAMES = frozenset(("name", "username"))
_IDENTITY = _NAMES | {"active"}
_ROLES = frozenset(("roles",))
_UNLINK = "Unlink"
_AVATAR = frozenset(("avatarETag",))
_PRESENCE = frozenset(
    "status statusText statusDefault statusConnection lastLogin _updatedAt".split()
)


def gives_or_takes_roles(change: Change) -> bool:
    """Whether an account that was there before may hold other roles now."""
    return change.is_update and change.document is not None and change.touches(_ROLES)


def decide(change: Change, known: Known) -> Decision:
    """An account that is new, changed or gone."""
    user_id = identifier(change.id)
    if user_id is None:
        return Decision(skipped="incomplete")
    if change.operation == "delete":
        return _deleted(user_id, known.erasure)
    decision = Decision()
    if change.operation == "insert":
        data = _own_view(change.document or {})
        decision.events.append(
            _user_data(user_id, {"type": "inserted", "id": user_id, "data": data})
        )
        decision.told.append(UserChanged(user_id=UserId(user_id)))
        return decision
    if change.touches(_ACCOUNT):
        changed = AccountChanged(user_id=user_id, rights=change.touches(_RIGHTS))
        decision.events.append(control(user_audience(user_id), changed))
    if not change.is_update or change.touched() - _PRESENCE:
        decision.told.append(UserChanged(user_id=UserId(user_id)))
    if change.touches(_IDENTITY):
        decision.told.append(UserIdentityChanged(user_id=UserId(user_id)))
    diff, unset = _difference(change)
    if diff.keys() | unset.keys() <= _NO_NEWS:
        decision.skipped = "no_news"
    else:
        shown = {"type": "updated", "id": user_id, "diff": diff, "unset": unset}
        decision.events.append(_user_data(user_id, shown))
    decision.events += _seen_by_all(change, user_id)
    if gives_or_takes_roles(change) and change.document is not None:
        decision.events += roles.told(
            known.roles_before(user_id, change.moment),
            roles.names(change.document.get("roles")),
            _reference(user_id, change.document),
        )
    return decision


def _deleted(user_id: str, erasure: str) -> Decision:
    gone: dict[str, Any] = {"userId": user_id, "messageErasureType": erasure}
    if erasure == _UNLINK:
        gone["replaceByUser"] = {
            "_id": BOT_USER_ID,
            "username": BOT_USER_ID,
            "alias": REMOVED_USER,
        }
    return Decision(
        events=[
            control(user_audience(user_id), AccountChanged(user_id=user_id)),
            _user_data(user_id, {"type": "removed", "id": user_id}),
            frame(LOGGED, "notify-logged", "Users:Deleted", [gone]),
        ],
        told=[
            UserChanged(user_id=UserId(user_id), deleted=True),
            UserIdentityChanged(user_id=UserId(user_id), deleted=True),
        ],
    )


def _user_data(user_id: str, data: dict[str, Any]) -> StreamEvent:
    key = f"{user_id}/userData"
    return frame(user_audience(user_id), "notify-user", key, [data], uid=user_id)


def _seen_by_all(change: Change, user_id: str) -> list[StreamEvent]:
    """Name and picture, as everybody who is signed in sees them."""
    user = change.document or {}
    username = user.get("username")
    if type(username) is not str:
        return []
    events = []
    if change.touches(_NAMES):
        named = {"_id": user_id, "name": user.get("name"), "username": username}
        if named["name"] is None:
            del named["name"]
        events.append(frame(LOGGED, "notify-logged", "Users:NameChanged", [named]))
    if change.touches(_AVATAR):
        avatar = {"username": username, "etag": user.get("avatarETag")}
        if avatar["etag"] is None:
            del avatar["etag"]
        events.append(frame(LOGGED, "notify-logged", "updateAvatar", [avatar]))
    return events


def _reference(user_id: str, user: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: user[name] for name in ("username", "name") if type(user.get(name)) is str}
    return {"_id": user_id, **names}


def _own_view(document: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        name: value for name, value in document.items() if name in USER_DATA_FIELDS or name == "_id"
    }
    services = {flag: {"enabled": on} for flag, on in _flags(document).items()}
    return shown | ({"services": services} if services else {})


def _difference(change: Change) -> tuple[dict[str, Any], dict[str, int]]:
    """What the owner is told: new values under dotted names, and names that are gone."""
    document = change.document or {}
    if not change.is_update:
        shown = {name: value for name, value in document.items() if name in USER_DATA_FIELDS}
        for flag, on in _flags(document).items():
            shown[f"services.{flag}.enabled"] = on
        return shown, {}
    diff: dict[str, Any] = {}
    for name in change.changed:
        first = name.partition(".")[0]
        if first in USER_DATA_FIELDS:
            if name in change.values:
                diff[name] = change.values[name]
            elif first in document:
                # An array that only lost its end has no new value: the whole of it is told.
                diff[first] = document[first]
        elif first == "services":
            diff |= _flag_difference(name, document)
    unset = {name: 1 for name in change.removed if name.partition(".")[0] in USER_DATA_FIELDS}
    for name in change.removed:
        unset |= {flag: 1 for flag in _FLAG_NAMES if (flag + ".").startswith(name + ".")}
    return diff, unset


def _flag_difference(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that a change of `name` may have changed, as they are now."""
    flags = _flags(document)
    return {
        f"services.{flag}.enabled": on
        for flag, on in flags.items()
        if f"services.{flag}.enabled.".startswith(name + ".")
    }


def _flags(document: Mapping[str, Any]) -> dict[str, bool]:
    services = document.get("services")
    found = {}
    for flag in FLAGS:
        service = services.get(flag) if isinstance(services, Mapping) else None
        enabled = service.get("enabled") if isinstance(service, Mapping) else None
        if isinstance(enabled, bool):
            found[flag] = enabled
    return found
