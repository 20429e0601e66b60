"""Domain events: told by the stream-hub to services that keep caches. At most once each."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hubbub.contracts.base import Event
from hubbub.contracts.documents import JsonValue
from hubbub.ids import RoomId, UserId, random_id


class CacheEvent(Event):
    """A change in the database, told to those who keep a copy of what changed."""

    committed: int | None = None
    """When it was committed, milliseconds since 1970 of the database's clock; for measuring."""


class MembershipChanged(CacheEvent, name="membership.changed"):
    """A membership began, ended, or its roles changed."""

    user_id: UserId
    room_id: RoomId
    change: Literal["began", "ended", "roles"]


class RoomChanged(CacheEvent, name="room.changed"):
    """A room's type, name, access rules or existence changed (not its last message)."""

    room_id: RoomId
    deleted: bool = False


class UserChanged(CacheEvent, name="user.changed"):
    """A user's name, roles, active flag, tokens or existence changed (not the presence)."""

    user_id: UserId
    deleted: bool = False


class UserIdentityChanged(Event, name="user.identity-changed"):
    """Who a user is to others changed: the name, the username, whether the account is active,
    whether there is one at all.

    Rare, and told to durable listeners: copies of names follow it.
    """

    user_id: UserId
    deleted: bool = False


class FilesOrphaned(Event, name="files.orphaned"):
    """Uploaded files whose message is gone: whoever keeps them may delete them.

    Told by messaging, at least once each, to a durable listener. An id may be unknown.
    """

    file_ids: list[str]


class RolesChanged(CacheEvent, name="roles.changed"):
    """A role document changed."""


class PermissionsChanged(CacheEvent, name="permissions.changed"):
    """A permission document changed."""


class SettingsChanged(CacheEvent, name="settings.changed"):
    """A setting changed."""

    setting_id: str


class Audited(Event, name="audit.happened"):
    """Somebody did something that an administrator may have to account for later.

    Any service tells it, with `bus.publish`, after the deed; the account service listens durably
    and writes it down. Who asked from where travels with the request. Never secrets: whoever
    tells of a secret setting says that it changed, not what it is.
    """

    id: str = Field(default_factory=random_id)
    """Told twice, written once."""
    at: datetime
    actor: UserId | None
    """Who did it; None: nobody who is signed in, or the server itself."""
    action: str = Field(pattern=r"^[a-z]+(\.[a-z-]+)+$")
    """What: `setting.changed`, `role.given`, `room.deleted`, …"""
    target: str
    """To what or whom: an id."""
    result: Literal["ok", "refused"] = "ok"
    details: dict[str, JsonValue] = Field(default={})
    """What else is worth knowing, such as `old` and `new`."""
