"""Who may see and change whom."""

from __future__ import annotations

from typing import Final

from hubbub.contracts.account import UserChanges
from hubbub.contracts.authorization import Authorization
from hubbub.errors import LacksPermission, NotAllowed
from hubbub.ids import UserId

VIEW_EVERYTHING: Final = "view-full-other-user-info"
LIST_USERS: Final = "view-d-room"
CREATE_USER: Final = "create-user"
EDIT_OTHERS: Final = "edit-other-user-info"
EDIT_PASSWORDS: Final = "edit-other-user-password"
SET_ACTIVE: Final = "edit-other-user-active-status"
DELETE_USER: Final = "delete-user"
SIGN_OUT_OTHERS: Final = "logout-other-user"
ASSIGN_ROLES: Final = "assign-roles"
ASSIGN_ADMIN: Final = "assign-admin-role"
PERSONAL_TOKENS: Final = "create-personal-access-tokens"
MAKE_TOKENS: Final = "user-generate-access-token"

_HARMLESS = frozenset({"name", "username", "nickname", "bio", "language", "utc_offset"})
"""Fields of `UserChanges` that everybody may change of the own account."""


class Rights:
    """Asks the authorization service."""

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization

    async def may(self, user_id: UserId, permission: str) -> bool:
        """Whether `user_id` holds `permission`."""
        return await self._authorization.has_permission(user_id, permission)

    async def require(self, user_id: UserId, *permissions: str) -> None:
        """Raises: LacksPermission: one of `permissions` is not held."""
        held = await self._authorization.held_permissions(user_id, list(permissions))
        if not set(permissions) <= set(held):
            raise LacksPermission

    async def held(self, user_id: UserId, *permissions: str) -> set[str]:
        """Those of `permissions` that `user_id` holds."""
        return set(await self._authorization.held_permissions(user_id, list(permissions)))

    async def check_creation(self, creator_id: UserId, roles: list[str]) -> None:
        """Raises: LacksPermission: may make nobody; NotAllowed: may not give these roles."""
        await self._check_roles(roles)
        needed = set(_for_roles(set(roles) - {"user"}))
        held = await self.held(creator_id, CREATE_USER, *needed)
        if CREATE_USER not in held:
            raise LacksPermission
        if not needed <= held:
            raise NotAllowed("Assigning this role is not allowed", code="error-action-not-allowed")

    async def check_change(self, actor_id: UserId, user_id: UserId, changes: UserChanges) -> None:
        """Raises: LacksPermission: somebody else's account, or more than what is harmless."""
        touched = {name for name in UserChanges.model_fields if getattr(changes, name) is not None}
        # Nobody changes the own address or password here: that asks for the present password.
        if actor_id == user_id and touched <= _HARMLESS:
            return
        await self._check_roles(changes.roles or [])
        needed = {EDIT_OTHERS}
        needed |= {EDIT_PASSWORDS} if "password" in touched else set()
        needed |= {SET_ACTIVE} if "active" in touched else set()
        if changes.roles is not None:
            needed |= {ASSIGN_ROLES, *_for_roles(set(changes.roles))}
        await self.require(actor_id, *needed)

    async def _check_roles(self, roles: list[str]) -> None:
        """Raises: NotAllowed: one of `roles` is no role of the whole workspace."""
        if set(roles) <= {"user", "admin"}:
            return
        known = {role["_id"]: role.get("scope") for role in await self._authorization.roles()}
        if any(known.get(role) != "Users" for role in roles):
            raise NotAllowed("Assigning this role is not allowed", code="error-action-not-allowed")


def _for_roles(roles: set[str]) -> list[str]:
    """What it takes to give `roles`."""
    needed = [ASSIGN_ROLES] if roles else []
    return [*needed, ASSIGN_ADMIN] if "admin" in roles else needed
