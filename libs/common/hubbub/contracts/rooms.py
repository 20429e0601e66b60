"""The part of the messaging contract about rooms and memberships."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Changes, Document, Frozen, Page, Paging, Text
from hubbub.errors import BadRequest, NotAllowed, NotFound
from hubbub.ids import RoomId, UserId


class RoomType(StrEnum):
    """One letter, as Rocket.Chat stores it."""

    CHANNEL = "c"
    PRIVATE_GROUP = "p"
    DIRECT = "d"


class RoomNotFound(NotFound):
    default_code = "error-room-not-found"


class DuplicateRoomName(BadRequest):
    default_code = "error-duplicate-channel-name"


class InvalidRoomName(BadRequest):
    default_code = "error-invalid-room-name"


class NotInRoom(BadRequest):
    default_code = "error-user-not-in-room"


class LastOwner(NotAllowed):
    default_code = "error-you-are-last-owner"


class NewRoom(Frozen):
    """A channel or private group to be made."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    type: Literal["c", "p"]
    name: Text
    members: list[Text] = Field(default=[], max_length=1000)
    """Usernames; unknown ones are skipped."""
    read_only: bool = False
    custom_fields: dict[str, Any] | None = None
    topic: Text | None = None
    description: Text | None = None
    announcement: Text | None = None
    broadcast: bool = False
    exclude_self: bool = False
    repeatable: bool = False
    """The door's client may send the call again after a reconnect without knowing whether it was
    carried out: the same call within a minute then gets the room that the first one made."""


class Membership(Frozen):
    """A user's place in a room, as fan-out needs it."""

    room_id: RoomId
    room_type: str
    room_name: str | None = None
    """Absent for direct rooms."""


class RoomActions(Contract, Protocol):
    """Making, joining, leaving and listing rooms. `user_id` is who acts."""

    @action(timeout=10.0)
    async def create_room(self, user_id: UserId, room: NewRoom) -> Document:
        """Make a channel or private group and return the room document.

        Where `room.repeatable`, a repeat by the same user within a minute returns the room of the
        first call as long as nothing happened in it.
        Raises: DuplicateRoomName; InvalidRoomName; NotAllowed: no `create-c` or `create-p`.
        """
        ...

    @action(idempotent=True, timeout=10.0)
    async def create_direct(
        self, user_id: UserId, usernames: list[str], exclude_self: bool = False
    ) -> Document:
        """The direct room of the caller and `usernames`, made if need be.

        With `exclude_self` it is one of others alone, which needs `view-room-administration`.
        The room document with `rid` and `t` beside `_id`. Raises: UserNotFound; NotAllowed;
        BadRequest: too many members.
        """
        ...

    @action(idempotent=True)
    async def join_room(
        self, user_id: UserId, room_id: RoomId, join_code: str | None = None
    ) -> Document:
        """Become a member of a public room; the room. Already one: no effect.

        Raises: InvalidRoom; NotAllowed; BadRequest: `error-code-required`,
        `error-code-invalid`.
        """
        ...

    @action(idempotent=True, timeout=10.0)
    async def join_default_rooms(self, user_id: UserId) -> None:
        """Make a new user a member of every room that new users join. Repeatable.

        Raises: Unauthenticated: no such user.
        """
        ...

    @action(idempotent=True)
    async def leave_room(self, user_id: UserId, room_id: RoomId) -> None:
        """Raises: InvalidRoom; NotInRoom; LastOwner; NotAllowed."""
        ...

    @action(idempotent=True, timeout=10.0)
    async def add_users(self, user_id: UserId, room_id: RoomId, usernames: list[str]) -> Document:
        """Make others members; the room. Members stay, unknown names raise UserNotFound."""
        ...

    @action(idempotent=True)
    async def remove_user(self, user_id: UserId, room_id: RoomId, username: str) -> Document:
        """End somebody's membership; the room.

        Returns only after the end is committed by a majority. Raises: NotAllowed; NotInRoom;
        LastOwner; UserNotFound.
        """
        ...

    @action(idempotent=True)
    async def read_room(self, user_id: UserId, room_id: RoomId, read_threads: bool = False) -> None:
        """Everything in the room has been seen. Without a membership: no effect."""
        ...

    @action(idempotent=True)
    async def set_room_open(self, user_id: UserId, room_id: RoomId, is_open: bool) -> bool:
        """Show a room in the user's list, or hide it until something is said there.

        Whether there is such a membership.
        """
        ...

    @action(idempotent=True)
    async def set_favorite(self, user_id: UserId, room_id: RoomId, favorite: bool) -> bool:
        """Whether there is such a membership."""
        ...

    @action(idempotent=True, timeout=30.0)
    async def erase_room(self, user_id: UserId, room_id: RoomId) -> None:
        """Delete a room with its memberships and messages.

        The room is gone when it returns; of what was in it, a lot may take longer.

        Raises: InvalidRoom: none, or none that the caller may see; NotAllowed: no `delete-c`,
        `delete-p` or `delete-d`, or the room `GENERAL`.
        """
        ...

    @action(idempotent=True)
    async def save_room_settings(
        self, user_id: UserId, room_id: RoomId, settings: dict[str, Any]
    ) -> Document:
        """Change a room, all keys or none; the room after it.

        Keys: `roomName`, `roomTopic`, `roomAnnouncement`, `roomDescription`, `roomType`,
        `readOnly`, `reactWhenReadOnly`, `systemMessages`, `default`, `joinCode`,
        `roomCustomFields`, `archived`, `encrypted` (a flag, nothing is encrypted). One system
        message per change that has one. The texts and `encrypted` of a direct room can be
        changed by whoever is in it.

        Raises: InvalidRoom: none, or none that the caller may see or change; NotAllowed;
        DuplicateRoomName; InvalidRoomName; BadRequest: `error-invalid-settings`: an unknown key
        or a value of a wrong type.
        """
        ...

    @action(idempotent=True)
    async def room_id_of(self, user_id: UserId, name_or_id: str) -> RoomId:
        """By id, then room name, then username (the direct room with it).

        Raises: NotAllowed: missing or not accessible.
        """
        ...

    @action(idempotent=True)
    async def room_name_of(self, user_id: UserId, room_id: RoomId) -> str:
        """The room's name; of a direct room the other's username. Raises: NotAllowed."""
        ...

    @action(idempotent=True)
    async def get_room(
        self,
        user_id: UserId | None,
        room_id: str | None = None,
        name: str | None = None,
        types: list[RoomType] | None = None,
    ) -> Document:
        """A room by id or name among `types` (all). Raises: RoomNotFound: none, or not visible."""
        ...

    @action(idempotent=True)
    async def rooms_of(
        self, user_id: UserId | None, updated_since: datetime | None = None
    ) -> Changes:
        """The rooms of the user's memberships (of those changed since)."""
        ...

    @action(idempotent=True)
    async def subscriptions_of(
        self, user_id: UserId | None, updated_since: datetime | None = None
    ) -> Changes:
        """The user's memberships as clients know them ("subscriptions")."""
        ...

    @action(idempotent=True)
    async def subscription_of(self, user_id: UserId, room_id: RoomId) -> Document | None:
        """The user's membership in one room, or None."""
        ...

    @action(idempotent=True)
    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """All rooms the user is a member of: what a streamer needs to route to them."""
        ...

    @action(idempotent=True)
    async def list_rooms(
        self,
        user_id: UserId,
        room_type: Literal["c", "p"],
        paging: Paging,
        joined_only: bool = False,
        name: str | None = None,
        name_part: str | None = None,
    ) -> Page:
        """Rooms of one type that the user may see, by name.

        Args:
            name: only the room of exactly this name.
            name_part: only rooms whose name holds this text, literally, in any case.
        """
        ...

    @action(idempotent=True)
    async def members(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        online_only: bool = False,
        statuses: list[str] | None = None,
    ) -> Page:
        """`{"_id", "username", "name", "status", …}` per member, by username.

        Args:
            name_filter: only those whose username or name holds this text, literally.
            statuses: only those with one of these statuses.

        Raises: RoomNotFound; NotAllowed.
        """
        ...

    @action(idempotent=True)
    async def room_roles(self, user_id: UserId, room_id: RoomId) -> list[Document]:
        """`{"_id", "rid", "u", "roles"}` of the memberships that hold roles."""
        ...

    @action(idempotent=True)
    async def find_users_and_rooms(
        self,
        user_id: UserId,
        text: Text,
        users: bool = True,
        rooms: bool = True,
        except_usernames: list[str] | None = None,
        room_id: str | None = None,
    ) -> dict[str, list[Document]]:
        """Up to five users and five rooms whose name starts with or holds `text`, literally.

        Users who are members of `room_id`, if the caller may see that room, come first; of them
        some are found even by an empty text, which finds nothing else.
        """
        ...
