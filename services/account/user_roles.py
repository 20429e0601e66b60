"""Roles of the whole workspace: who gives and takes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Document
from hubbub.contracts.user_roles import AdministratorRequired, AlreadyInRole, NotInRole
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from services.account.audit import Audit
from services.account.store.user_roles import LastAdministrator, MongoUserRoleStore

ADMIN = "admin"
ACCESS_PERMISSIONS = "access-permissions"
ASSIGN_ADMIN = "assign-admin-role"


class RoleKeeper:
    """Gives and takes roles, by the rules."""

    def __init__(
        self,
        store: MongoUserRoleStore,
        authorization: Authorization,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._authorization = authorization
        self._audit = audit
        self._now = now

    async def give(self, actor_id: UserId, user_id: UserId, role: str) -> Document:
        """See the contract."""
        found = await self._permitted(actor_id, role)
        if not await self._store.give(user_id, found["_id"], self._now()):
            await self._check_exists(user_id)
            raise AlreadyInRole("User already in role")
        await self._audit.note("role.given", actor=actor_id, target=user_id, role=found["_id"])
        return found

    async def take(self, actor_id: UserId, user_id: UserId, role: str) -> Document:
        """See the contract."""
        found = await self._permitted(actor_id, role)
        try:
            if found["_id"] == ADMIN:
                taken = await self._store.take_from_administrator(user_id, self._now())
            else:
                taken = await self._store.take(user_id, found["_id"], self._now())
        except LastAdministrator:
            raise AdministratorRequired("You need to have at least one admin") from None
        if not taken:
            await self._check_exists(user_id)
            raise NotInRole("User is not in this role")
        await self._audit.note("role.taken", actor=actor_id, target=user_id, role=found["_id"])
        return found

    async def _permitted(self, actor_id: UserId, role: str) -> Document:
        """The role, if the actor may decide about it. Raises: NotAllowed; RoleNotFound."""
        held = await self._authorization.held_permissions(
            actor_id, [ACCESS_PERMISSIONS, ASSIGN_ADMIN]
        )
        if ACCESS_PERMISSIONS not in held:
            raise NotAllowed("Accessing permissions is not allowed")
        found = await self._authorization.find_role(role)
        if found["_id"] == ADMIN and ASSIGN_ADMIN not in held:
            raise NotAllowed("Assigning admin is not allowed", code="error-action-not-allowed")
        return found

    async def _check_exists(self, user_id: UserId) -> None:
        """Raises: UserNotFound."""
        if not await self._store.exists(user_id):
            raise UserNotFound("Invalid user")


class UserRoles:
    """The doors to the keeper."""

    _role_keeper: RoleKeeper

    async def give_role(self, actor_id: UserId, user_id: UserId, role: str) -> Document:
        """See the contract."""
        return await self._role_keeper.give(actor_id, user_id, role)

    async def take_role(self, actor_id: UserId, user_id: UserId, role: str) -> Document:
        """See the contract."""
        return await self._role_keeper.take(actor_id, user_id, role)
