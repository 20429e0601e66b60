"""Rules about device tokens. Pure: no clock, no database, no bus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hubbub.contracts.push import Device, DeviceKind
from hubbub.ids import UserId

_SHOWN = ("_id", "appName", "token", "userId", "enabled", "createdAt", "_updatedAt")


def fields_of(
    device: Device, user_id: UserId, hashed_token: str | None, now: datetime
) -> dict[str, Any]:
    """What is stored of a registration, beside its id and when it was first made."""
    fields: dict[str, Any] = {
        "token": {device.kind.value: device.value},
        "appName": device.app_name,
        "userId": user_id,
        "enabled": True,
        "_updatedAt": now,
    }
    if hashed_token is not None:
        fields["authToken"] = hashed_token
    return fields


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the owner sees of a registration; never the login it was made with."""
    return {name: document[name] for name in _SHOWN if name in document}


def may_replace(present: Mapping[str, Any] | None, device: Device, user_id: UserId) -> bool:
    """Whether a registration may be written over `present`, which has the same id.

    The id comes from the app. Its own user may change it, and so may whoever holds the very
    device; anybody else made the id up and gets another one.
    """
    if present is None or present.get("userId") == user_id:
        return True
    token = present.get("token")
    return isinstance(token, Mapping) and token.get(device.kind.value) == device.value


def too_many(documents: Iterable[Mapping[str, Any]], limit: int) -> list[str]:
    """Ids beyond the first `limit` of a user's registrations, newest first."""
    return [str(document["_id"]) for document in documents][limit:]


def ended_with(documents: Iterable[Mapping[str, Any]], valid: frozenset[str]) -> list[str]:
    """Ids of registrations whose login is not among the `valid` ones (hashed) any more."""
    return [
        str(document["_id"])
        for document in documents
        if isinstance(document.get("authToken"), str) and document["authToken"] not in valid
    ]


KINDS = tuple(kind.value for kind in DeviceKind)
"""Names under which a stored token may stand."""
