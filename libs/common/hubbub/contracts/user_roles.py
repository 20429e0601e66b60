"""The part of the account contract about roles of the whole workspace."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Identifier
from hubbub.errors import BadRequest
from hubbub.ids import UserId


class AlreadyInRole(BadRequest):
    default_code = "error-user-already-in-role"


class NotInRole(BadRequest):
    default_code = "error-user-not-in-role"


class AdministratorRequired(BadRequest):
    """The last active administrator stays one."""

    default_code = "error-admin-required"


class UserRoleActions(Contract, Protocol):
    """Who holds which role. `user_id` is whose roles they are."""

    @action(idempotent=True)
    async def give_role(self, actor_id: UserId, user_id: UserId, role: Identifier) -> Document:
        """Give a user a role of the whole workspace, named by id or name; the role's document.

        Raises: NotAllowed: `actor_id` lacks `access-permissions`, or for the role `admin`
        `assign-admin-role`; RoleNotFound; UserNotFound; AlreadyInRole.
        """
        ...

    @action(idempotent=True)
    async def take_role(self, actor_id: UserId, user_id: UserId, role: Identifier) -> Document:
        """Take a role away; the role's document.

        Raises: as `give_role`; NotInRole; AdministratorRequired.
        """
        ...
