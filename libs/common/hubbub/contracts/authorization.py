"""Contract of the authorization service: who may do what."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Changes, Document
from hubbub.ids import RoomId, UserId


class Authorization(Contract, Protocol, name="authorization"):
    """Permissions, roles and access to rooms.

    Answers come from caches that role, permission and membership events invalidate; an entry is
    at most 5 s old for room access and 30 s for permissions even if an event is lost. An
    unreachable service means "unknown", never "denied": callers wait or fail with 503.
    """

    @action(idempotent=True, timeout=2.0)
    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: RoomId | None = None
    ) -> bool:
        """Whether the user's roles, and those held in `room_id`, include `permission`.

        None is the anonymous user, who has the role `anonymous`.
        """
        ...

    @action(idempotent=True, timeout=2.0)
    async def has_all_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        """Whether every one of `permissions` is held."""
        ...

    @action(idempotent=True, timeout=2.0)
    async def has_at_least_one_permission(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        """Whether any of `permissions` is held."""
        ...

    @action(idempotent=True, timeout=2.0)
    async def held_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> list[str]:
        """Those of `permissions` that are held: one call where a rule needs several answers."""
        ...

    @action(idempotent=True, timeout=2.0)
    async def has_any_role(
        self, user_id: UserId, roles: list[str], room_id: RoomId | None = None
    ) -> bool:
        """Whether the user holds any of `roles`, globally or in `room_id`."""
        ...

    @action(idempotent=True, timeout=2.0)
    async def can_access_room_id(self, room_id: RoomId, user_id: UserId | None) -> bool:
        """Whether the user may follow the room. False for an unknown room.

        Public room: `view-c-room` (anonymous: the setting `Accounts_AllowAnonymousRead`).
        Membership and (`view-joined-room` or `view-<type>-room`). Discussion: its parent.
        """
        ...

    @action(idempotent=True, timeout=2.0)
    async def can_read_room(self, room_id: RoomId, user_id: UserId | None) -> bool:
        """`can_access_room_id`, and for a public room that is not joined also `preview-c-room`."""
        ...

    @action(idempotent=True, timeout=2.0)
    async def accessible_rooms(self, room_ids: list[RoomId], user_id: UserId) -> list[RoomId]:
        """Those of `room_ids` that the user may access, order kept."""
        ...

    @action(idempotent=True)
    async def permissions(self, updated_since: datetime | None = None) -> Changes:
        """Permission documents; every one has `roles`."""
        ...

    @action(idempotent=True)
    async def roles(self) -> list[Document]:
        """All role documents."""
        ...

    @action(idempotent=True)
    async def users_in_public_roles(self) -> list[Document]:
        """`{"_id", "username", "roles"}` of the users in roles that have a description."""
        ...
