"""Contract of the authorization service: who may do what."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Changes, Document, Frozen, Identifier, Page, Paging, Text
from hubbub.errors import BadRequest, Conflict, NotFound
from hubbub.ids import RoomId, UserId


class RoleNotFound(NotFound):
    default_code = "error-invalid-roleId"


class RoleNameTaken(BadRequest):
    default_code = "error-duplicate-role-names-not-allowed"


class RoleProtected(BadRequest):
    """The role belongs to the product: its name and scope stay, and so does it."""

    default_code = "error-role-protected"


class RoleInUse(Conflict):
    """Somebody holds the role."""

    default_code = "error-role-in-use"


class UnknownPermission(BadRequest):
    default_code = "error-invalid-permission"


class UnknownRole(BadRequest):
    default_code = "error-invalid-role"


MAX_QUESTIONS = 200  # in one call of `judge_rooms`

RoleScope = Literal["Users", "Subscriptions"]
"""Where a role is held: in the whole workspace, or in one room."""


class NewRole(Frozen):
    """A role to be made."""

    name: Text = Field(min_length=1, max_length=120)
    scope: RoleScope = "Users"
    description: Text = Field(default="", max_length=500)
    """What people read. A role with one is public: everybody sees who holds it."""


class RoleChanges(Frozen):
    """What is to change of a role; absent fields stay as they are."""

    name: Text | None = Field(default=None, min_length=1, max_length=120)
    scope: RoleScope | None = None
    description: Text | None = Field(default=None, max_length=500)


class PermissionRoles(Frozen):
    """The roles that are to hold a permission, all of them."""

    id: Identifier = Field(alias="_id")
    roles: list[Identifier] = Field(max_length=500)


class RoomQuestion(Frozen):
    """Whether somebody (None: nobody in particular) may follow a room."""

    room_id: RoomId
    user_id: UserId | None
    what: Literal["access", "read"]
    """As `can_access_room_id` or as `can_read_room` says it."""


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
    async def can_access_room_id(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        """Whether the user may follow the room. False for an unknown room.

        Public room: `view-c-room` (anonymous: the setting `Accounts_AllowAnonymousRead`).
        Membership and (`view-joined-room` or `view-<type>-room`). Discussion: its parent.

        Args:
            now: room, membership and team are read for this answer. For whoever is shown
                something on the strength of it, since who was removed sees nothing from then on;
                and for what lasts as long as no event ends it: an event that went by before the
                answer will not do so again.
        """
        ...

    @action(idempotent=True, timeout=2.0)
    async def can_read_room(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        """`can_access_room_id`, and for a public room that is not joined also `preview-c-room`."""
        ...

    @action(idempotent=True, timeout=2.0)
    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool | None]:
        """The answers to at most `MAX_QUESTIONS`, for doors to which many come at once, by what
        is stored now. None: by a defect this one has no answer.

        Raises: BadRequest: too many at once.
        """
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
    async def roles_changed(self, updated_since: datetime) -> Changes:
        """Role documents that changed, and those that were deleted."""
        ...

    @action(idempotent=True)
    async def find_role(self, role: Identifier) -> Document:
        """A role by id, else by name. Raises: RoleNotFound."""
        ...

    @action()
    async def create_role(self, user_id: UserId, role: NewRole) -> Document:
        """Make a role; its document.

        Raises: NotAllowed: `user_id` lacks `access-permissions`; RoleNameTaken.
        """
        ...

    @action(idempotent=True)
    async def update_role(
        self, user_id: UserId, role_id: Identifier, changes: RoleChanges
    ) -> Document:
        """Change a role; its document.

        Raises: NotAllowed; RoleNotFound; RoleProtected: another name or scope; RoleNameTaken.
        """
        ...

    @action(idempotent=True)
    async def delete_role(self, user_id: UserId, role: Identifier) -> None:
        """Delete a role that nobody holds, named by id or name; permissions lose it.

        Raises: NotAllowed; RoleNotFound; RoleProtected; RoleInUse.
        """
        ...

    @action(idempotent=True)
    async def update_permissions(
        self, user_id: UserId, permissions: list[PermissionRoles]
    ) -> list[Document]:
        """Say which roles hold some permissions; the documents of all permissions.

        Everything is checked first: either all of them change or none.

        Raises: NotAllowed: `user_id` lacks `access-permissions`; UnknownPermission;
        UnknownRole.
        """
        ...

    @action(idempotent=True)
    async def users_in_role(
        self, user_id: UserId, role: Identifier, paging: Paging, room_id: RoomId | None = None
    ) -> Page:
        """Who holds a role, in the workspace or in `room_id`, by username:
        `{"_id", "username", "name", "emails", "avatarETag", "createdAt", "_updatedAt"}`.

        Raises: NotAllowed: `user_id` lacks `access-permissions`, or with `room_id`
        `view-other-user-channels`; RoleNotFound.
        """
        ...

    @action(idempotent=True)
    async def administrators(self) -> list[Document]:
        """`{"_id", "username"}` of whom a service tells what an administrator has to know: the
        active users in the role `admin`, at most 20, by username."""
        ...

    @action(idempotent=True)
    async def users_in_public_roles(self) -> list[Document]:
        """`{"_id", "username", "roles"}` of the users in roles that have a description."""
        ...
