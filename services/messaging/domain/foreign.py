"""Documents as clients see them, whoever wrote them.

Load testers and importers write straight into the database: dates as ISO text, missing
counters, `sysMes: true`. Readers put such things right; writers never produce them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hubbub.contracts.workspace import (
    INTERNAL_MESSAGE_FIELDS,
    PUBLISHED_ROOM_FIELDS,
    PUBLISHED_SUBSCRIPTION_FIELDS,
)

_DATES: Final = frozenset("ts _updatedAt lm ls lr tlm dlm editedAt pinnedAt _deletedAt".split())
_COUNTERS: Final = ("unread", "userMentions", "groupMentions")


def message_view(document: Mapping[str, Any], viewer_id: str | None = None) -> dict[str, Any]:
    """A message as `viewer_id` sees it: no internal field, of the stars only the own one."""
    view = {key: value for key, value in document.items() if key not in INTERNAL_MESSAGE_FIELDS}
    view = _with_dates(view)
    view.setdefault("msg", "")
    stars = document.get("starred")
    if viewer_id is not None and isinstance(stars, list):
        own = [star for star in stars if isinstance(star, dict) and star.get("_id") == viewer_id]
        if own:
            view["starred"] = own
    return view


def room_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """A room as its members see it."""
    view = {key: value for key, value in document.items() if key in PUBLISHED_ROOM_FIELDS}
    view = _with_dates(view)
    view["msgs"] = number(view.get("msgs"))
    view["usersCount"] = number(view.get("usersCount"))
    last = view.get("lastMessage")
    if isinstance(last, dict):
        view["lastMessage"] = message_view(last)
    elif last is not None:
        del view["lastMessage"]
    return view


def membership_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """A membership as its user sees it. Flags, counters and roles are always there."""
    view = {key: value for key, value in document.items() if key in PUBLISHED_SUBSCRIPTION_FIELDS}
    view = _with_dates(view)
    view["open"] = view.get("open", True) is not False
    view["alert"] = bool(view.get("alert", False))
    for counter in _COUNTERS:
        view[counter] = number(view.get(counter))
    view["roles"] = names(view.get("roles"))
    return view


def hidden_types(setting: Any, room: Mapping[str, Any]) -> list[str]:
    """System types that the workspace or the room hides. `mute_unmute` stands for two."""
    hidden: set[str] = set()
    for source in (setting, room.get("sysMes")):
        if isinstance(source, list):
            hidden |= {name for name in source if isinstance(name, str)}
    if "mute_unmute" in hidden:
        hidden |= {"user-muted", "user-unmuted"}
    return sorted(hidden)


def names(value: Any) -> list[str]:
    """The texts in a list that should hold names; anything else counts as empty."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def number(value: Any) -> int:
    """A counter; what is no number counts as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value)


def moment(value: Any) -> datetime | None:
    """A date, also from ISO text; None for anything else."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return None


def _with_dates(view: dict[str, Any]) -> dict[str, Any]:
    for key in _DATES.intersection(view):
        if isinstance(view[key], str):
            date = moment(view[key])
            if date is None:
                del view[key]
            else:
                view[key] = date
    return view
