"""Which settings of a room can be changed, by whom, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hubbub.contracts.rooms import InvalidRoomName
from hubbub.errors import BadRequest
from services.messaging.domain import names, plain
from services.messaging.domain.rules import Rules

MAX_TITLE: Final = 250  # characters of a discussion's name

AVATAR: Final = "roomAvatar"
"""The setting that holds a picture. It is drawn by another service, so `changes` passes it over."""

_TEXTS: Final = {
    "roomTopic": ("topic", "room_changed_topic"),
    "roomAnnouncement": ("announcement", "room_changed_announcement"),
    "roomDescription": ("description", "room_changed_description"),
}
_SWITCHES: Final = {
    "readOnly": ("ro", "room-set-read-only", "room-removed-read-only"),
    "reactWhenReadOnly": (
        "reactWhenReadOnly",
        "room-allowed-reacting",
        "room-disallowed-reacting",
    ),
    "archived": ("archived", "room-archived", "room-unarchived"),
    "default": ("default", None, None),
    "encrypted": ("encrypted", None, None),
}
_OF_DIRECT_ROOMS: Final = frozenset({*_TEXTS, "encrypted"})
_RIGHTS: Final = {
    "readOnly": "set-readonly",
    "reactWhenReadOnly": "set-react-when-readonly",
    "default": "view-room-administration",
}


@dataclass(frozen=True, slots=True)
class RoomChange:
    """One difference between a room and what is wanted."""

    fields: Mapping[str, Any]
    """Fields of the room to set; None removes one."""
    message: tuple[str, str] | None
    """Type and text of the system message about it."""
    membership_fields: Mapping[str, Any]
    """Fields that every membership of the room copies."""


def rights_for(settings: Mapping[str, Any]) -> frozenset[str]:
    """The permissions that changing these keys needs, all of them."""
    needed = {"edit-room"} if settings.keys() - {"archived"} else set()
    needed |= {_RIGHTS[key] for key in settings if key in _RIGHTS}
    if "archived" in settings:
        needed.add("archive-room" if settings["archived"] else "unarchive-room")
    return frozenset(needed)


def fit_direct_rooms(settings: Mapping[str, Any]) -> bool:
    """Whether these keys can be changed in a direct room: by whoever is in it."""
    return settings.keys() <= _OF_DIRECT_ROOMS


def changes(
    settings: Mapping[str, Any], room: Mapping[str, Any], username: str, rules: Rules
) -> list[RoomChange]:
    """What `settings` change of `room`, in their order; what is so already is left out.

    Raises:
        BadRequest: `error-invalid-settings`; InvalidRoomName.
    """
    found: list[RoomChange] = []
    for key, value in settings.items():
        if key == AVATAR:
            continue
        change = _change(key, value, room, username, rules)
        if change is not None:
            found.append(change)
    return found


def _change(
    key: str, value: Any, room: Mapping[str, Any], username: str, rules: Rules
) -> RoomChange | None:
    if key in _TEXTS:
        field, kind = _TEXTS[key]
        text = _text(key, value)
        if text == (room.get(field) or ""):
            return None
        return RoomChange({field: text}, (kind, text), {})
    if key in _SWITCHES:
        field, on, off = _SWITCHES[key]
        if not isinstance(value, bool):
            raise _invalid(key)
        if value == (room.get(field) is True):
            return None
        kind_of = on if value else off
        message = None if kind_of is None else (kind_of, username)
        copied = {"archived": value} if key == "archived" else {}
        return RoomChange({field: value}, message, copied)
    match key:
        case "roomName":
            return _renamed(_text(key, value), room, rules)
        case "roomType":
            return _retyped(value, room)
        case "systemMessages":
            hidden = isinstance(value, list) and all(isinstance(item, str) for item in value)
            if not isinstance(value, bool) and not hidden:
                raise _invalid(key)
            return None if value == room.get("sysMes") else RoomChange({"sysMes": value}, None, {})
        case "joinCode":
            code = _text(key, value)
            return RoomChange({"joinCode": code or None, "joinCodeRequired": bool(code)}, None, {})
        case "roomCustomFields":
            if not isinstance(value, dict):
                raise _invalid(key)
            plain.check_custom_fields(value)
            return RoomChange({"customFields": value}, None, {})
        case _:
            raise _invalid(key)


def _renamed(name: str, room: Mapping[str, Any], rules: Rules) -> RoomChange | None:
    if room.get("prid"):
        return _retitled(name.strip(), room)
    wanted = names.slug(name) if rules.special_names else name
    checked = names.checked_name(wanted, rules.name_pattern)
    display = name.strip() if rules.special_names else checked
    if checked == room.get("name") and display == room.get("fname"):
        return None
    fields = {"name": checked, "fname": display}
    return RoomChange(fields, ("r", display), fields)


def _retitled(name: str, room: Mapping[str, Any]) -> RoomChange | None:
    """A discussion is known by its display name alone."""
    if not 0 < len(name) <= MAX_TITLE:
        raise InvalidRoomName(f"{name[:MAX_TITLE]} is not a valid room name")
    if name == room.get("fname"):
        return None
    return RoomChange({"fname": name}, ("r", name), {"fname": name})


def _retyped(kind: Any, room: Mapping[str, Any]) -> RoomChange | None:
    if kind not in ("c", "p") or room.get("t") not in ("c", "p"):
        raise _invalid("roomType")
    if kind == room.get("t"):
        return None
    text = "Channel" if kind == "c" else "Private Group"
    # A private room cannot be one that everybody joins.
    fields = {"t": kind} if kind == "c" else {"t": kind, "default": False}
    return RoomChange(fields, ("room_changed_privacy", text), {"t": kind})


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 10_000:
        raise _invalid(key)
    plain.check_storable(value)
    return value


def _invalid(key: str) -> BadRequest:
    return BadRequest(f"Invalid settings: {key[:64]}", code="error-invalid-settings")
