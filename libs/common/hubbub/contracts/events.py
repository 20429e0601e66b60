"""Domain events: told by the stream-hub to services that keep caches. At most once each."""

from __future__ import annotations

from typing import Literal

from hubbub.contracts.base import Event
from hubbub.ids import RoomId, UserId


class MembershipChanged(Event, name="membership.changed"):
    """A membership began, ended, or its roles changed."""

    user_id: UserId
    room_id: RoomId
    change: Literal["began", "ended", "roles"]


class RoomChanged(Event, name="room.changed"):
    """A room's type, name, access rules or existence changed (not its last message)."""

    room_id: RoomId
    deleted: bool = False


class UserChanged(Event, name="user.changed"):
    """A user's name, roles, active flag, tokens or existence changed (not the presence)."""

    user_id: UserId
    deleted: bool = False


class RolesChanged(Event, name="roles.changed"):
    """A role document changed."""


class PermissionsChanged(Event, name="permissions.changed"):
    """A permission document changed."""


class SettingsChanged(Event, name="settings.changed"):
    """A setting changed."""

    setting_id: str
