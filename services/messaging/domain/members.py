"""What a member may be made in a room, and how a membership keeps it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from hubbub.contracts.members import LastOwnerRemains, RoleUnchanged, RoomRole
from hubbub.contracts.rooms import NotInRoom
from hubbub.errors import BadRequest
from services.messaging.domain import foreign, plain
from services.messaging.domain.sending import Person

OWNER: Final = RoomRole.OWNER.value

RANKS: Final = (RoomRole.OWNER.value, RoomRole.MODERATOR.value)
"""Roles whose holders come first in a list of members, in this order."""

_ARTICLES: Final = {RoomRole.OWNER: "an", RoomRole.MODERATOR: "a", RoomRole.LEADER: "a"}

_CHOICES: Final = frozenset(("default", "all", "mentions", "nothing"))
_ORIGINS: Final = {
    # setting → the field that says that the member, and not a preference, chose it
    "desktopNotifications": "desktopPrefOrigin",
    "mobilePushNotifications": "mobilePrefOrigin",
    "emailNotifications": "emailPrefOrigin",
}
_SWITCHES: Final = frozenset(
    ("disableNotifications", "hideUnreadStatus", "hideMentionStatus", "muteGroupMentions")
)
_SOUND: Final = "audioNotificationValue"
_MAX_SOUND: Final = 64  # characters
_TRUE: Final = (True, 1, "1", "true", "True")
_FALSE: Final = (False, 0, "0", "false", "False")


def role_right(role: RoomRole) -> str:
    """The permission that giving and taking `role` needs in the room."""
    return f"set-{role.value}"


def check_role(
    membership: Mapping[str, Any] | None, role: RoomRole, other_owners: int, *, given: bool
) -> None:
    """Whether `role` can be given to, or taken from, a member.

    Args:
        other_owners: owners of the room beside this member.

    Raises: NotInRoom, RoleUnchanged, LastOwnerRemains.
    """
    if membership is None:
        raise NotInRoom("User is not in this room")
    holds = role.value in foreign.names(membership.get("roles"))
    noun = f"{_ARTICLES[role]} {role.value}"
    if given and holds:
        raise RoleUnchanged(f"User is already {noun}", code=f"error-user-already-{role.value}")
    if not given and not holds:
        raise RoleUnchanged(f"User is not {noun}", code=f"error-user-not-{role.value}")
    if role is RoomRole.OWNER and not given and other_owners == 0:
        raise LastOwnerRemains(
            "This is the last owner. Please set a new owner before removing this one."
        )


def roles_after(membership: Mapping[str, Any], role: RoomRole, *, given: bool) -> list[str]:
    """The roles of a membership with `role` given or taken."""
    others = [name for name in foreign.names(membership.get("roles")) if name != role.value]
    return [*others, role.value] if given else others


def silenced(room: Mapping[str, Any], username: str, *, muted: bool) -> dict[str, Any] | None:
    """The lists of a room that say who may not speak, after a change; None: there is none.

    In a read-only room, where nobody may, a second list holds those who may all the same.
    """
    silent, free = foreign.names(room.get("muted")), foreign.names(room.get("unmuted"))
    silent_after = _with(silent, username) if muted else _without(silent, username)
    free_after = _without(free, username)
    if not muted and room.get("ro") is True:
        free_after = _with(free, username)
    if (silent, free) == (silent_after, free_after):
        return None
    return {"muted": silent_after, "unmuted": free_after}


def direct_names(user_id: str, people: Collection[Person]) -> tuple[str, str]:
    """What `user_id`'s list calls a direct room of `people`: by usernames, by names."""
    others = [one for one in people if one.user_id != user_id] or list(people)
    others.sort(key=lambda one: one.username)
    return (
        ", ".join(one.username for one in others),
        ", ".join(one.name or one.username for one in others),
    )


def notification_fields(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a membership that `wanted` sets; None removes one.

    Raises: BadRequest: `error-invalid-settings`: an unknown key or value.
    """
    fields: dict[str, Any] = {}
    for key, value in wanted.items():
        if key in _ORIGINS:
            chosen = _choice(key, value)
            fields[key] = chosen
            fields[_ORIGINS[key]] = None if chosen is None else "subscription"
        elif key == "unreadAlert":
            fields[key] = _choice(key, value)
        elif key in _SWITCHES:
            fields[key] = _switch(key, value)
        elif key == _SOUND:
            fields[key] = _sound(value)
        else:
            raise _invalid(key)
    return fields


def _choice(key: str, value: Any) -> str | None:
    if not isinstance(value, str) or value not in _CHOICES:
        raise _invalid(key)
    return None if value == "default" else value


def _switch(key: str, value: Any) -> bool:
    if isinstance(value, bool | int | str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
    raise _invalid(key)


def _sound(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > _MAX_SOUND:
        raise _invalid(_SOUND)
    plain.check_storable(value)
    return value if value and value != "default" else None


def _invalid(key: str) -> BadRequest:
    return BadRequest(f"Invalid settings field: {key[:64]}", code="error-invalid-settings")


def _with(names: list[str], name: str) -> list[str]:
    return names if name in names else [*names, name]


def _without(names: list[str], name: str) -> list[str]:
    return [one for one in names if one != name]
