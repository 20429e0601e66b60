"""Roles that somebody was given or lost, in the workspace or in one room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hubbub.contracts.event_log import LOGGED
from services.stream_hub.domain.event import StreamEvent, frame


def names(value: object) -> list[str]:
    """The roles in a list of them, whatever else it holds."""
    return [role for role in value if type(role) is str] if isinstance(value, list) else []


def told(
    before: Sequence[str] | None,
    now: Sequence[str],
    user: Mapping[str, Any],
    *,
    room_id: str | None = None,
) -> Iterator[StreamEvent]:
    """What everybody is told of roles given and taken.

    Args:
        before: None when nobody knows; then the roles that are held are told as changed.
        room_id: where they count, if not everywhere.
    """
    if before is None:
        changes = [("changed", role) for role in now]
    else:
        changes = [("added", role) for role in now if role not in before]
        changes += [("removed", role) for role in before if role not in now]
    for kind, role in changes:
        change: dict[str, Any] = {"type": kind, "_id": role, "u": user}
        if room_id is not None:
            change["scope"] = room_id
        yield frame(LOGGED, "notify-logged", "roles-change", [change])
