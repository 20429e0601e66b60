"""Changing roles and permissions, and listing who holds a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from hubbub.audit import Auditor
from hubbub.clock import Clock
from hubbub.contracts.authorization import (
    NewRole,
    PermissionRoles,
    RoleChanges,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    RoleProtected,
    UnknownPermission,
    UnknownRole,
)
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.errors import LacksPermission, NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.authorization.domain import renames, role_names
from services.authorization.store import MongoRoleStore
from services.authorization.store.roles import DuplicateName

ACCESS_PERMISSIONS = "access-permissions"
OTHER_CHANNELS = "view-other-user-channels"

Held = Callable[[UserId, str], Awaitable[bool]]
"""Whether a user holds a permission."""


class Editor:
    """Roles and permissions for administrators."""

    def __init__(self, store: MongoRoleStore, holds: Held, audit: Auditor, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._holds = holds
        self._clock = clock

    async def find(self, role: str) -> Document:
        """A role by id, else by name. Raises: RoleNotFound."""
        found = await self._store.find(role)
        if found is None:
            raise RoleNotFound("This role does not exist")
        return found

    async def create(self, user_id: UserId, role: NewRole) -> Document:
        """See the contract."""
        await self._check(user_id)
        document: dict[str, Any] = {
            "_id": random_id(),
            "name": _name(role.name),
            "scope": role.scope,
            "description": role.description.strip(),
            "protected": False,
            "mandatory2fa": False,
            "_updatedAt": self._now(),
        }
        # A name must not be another role's id either: clients name a role by both.
        if await self._store.find(document["name"]) or not await self._store.insert(document):
            raise _taken()
        await self._audit.tell(
            "role.created", actor=user_id, target=document["_id"], name=document["name"]
        )
        return document

    async def update(self, user_id: UserId, role_id: str, changes: RoleChanges) -> Document:
        """See the contract."""
        await self._check(user_id)
        role = await self._store.find(role_id)
        if role is None or role["_id"] != role_id:
            raise RoleNotFound("This role does not exist")
        name = None if changes.name is None else _name(changes.name)
        if role.get("protected") and renames(role, name, changes.scope):
            raise RoleProtected("Role is protected")
        if name is not None:
            other = await self._store.find(name)
            if other is not None and other["_id"] != role_id:
                raise _taken()
        description = None if changes.description is None else changes.description.strip()
        wanted = {"name": name, "scope": changes.scope, "description": description}
        fields: dict[str, Any] = {
            field: value
            for field, value in wanted.items()
            if value is not None and value != role.get(field)
        }
        if not fields:
            return role
        try:
            changed = await self._store.update(role_id, {**fields, "_updatedAt": self._now()})
        except DuplicateName:
            raise _taken() from None
        if changed is None:
            raise RoleNotFound("This role does not exist")
        await self._audit.tell("role.changed", actor=user_id, target=role_id, **fields)
        return changed

    async def delete(self, user_id: UserId, role: str) -> None:
        """See the contract."""
        await self._check(user_id)
        found = await self.find(role)
        if found.get("protected"):
            raise RoleProtected("Cannot delete a protected role")
        if await self._store.is_held(found["_id"]):
            raise RoleInUse("Cannot delete role because it's in use")
        await self._store.delete(found)
        await self._audit.tell("role.deleted", actor=user_id, target=found["_id"])

    async def removed_since(self, moment: datetime) -> list[Document]:
        """`{"_id", "_deletedAt"}` of the roles deleted since."""
        return await self._store.removed_since(moment)

    async def set_permissions(
        self, user_id: UserId, permissions: list[PermissionRoles]
    ) -> list[Document]:
        """See the contract."""
        if not await self._holds(user_id, ACCESS_PERMISSIONS):
            raise LacksPermission
        present = {str(one["_id"]): one for one in await self._store.permissions()}
        if any(one.id not in present for one in permissions):
            raise UnknownPermission("Invalid permission")
        roles = await self._store.known_roles()
        if any(not roles.issuperset(one.roles) for one in permissions):
            raise UnknownRole("Invalid role")
        changes = {
            one.id: list(dict.fromkeys(one.roles))
            for one in permissions
            if frozenset(one.roles) != role_names(present[one.id].get("roles"))
        }
        if changes:
            await self._store.set_permissions(changes, self._now())
            for permission, held_by in changes.items():
                await self._audit.tell(
                    "permission.changed",
                    actor=user_id,
                    target=permission,
                    old=sorted(role_names(present[permission].get("roles"))),
                    new=sorted(held_by),
                )
        return await self._store.permissions()

    async def holders(
        self, user_id: UserId, role: str, paging: Paging, room_id: RoomId | None
    ) -> Page:
        """See the contract."""
        if not await self._holds(user_id, ACCESS_PERMISSIONS):
            raise LacksPermission
        if room_id is not None and not await self._holds(user_id, OTHER_CHANNELS):
            raise NotAllowed("Not allowed")
        found = await self.find(role)
        users, total = await self._store.holders(
            found["_id"], room_id, in_rooms=found.get("scope") == "Subscriptions", paging=paging
        )
        return Page(items=users, total=total)

    async def _check(self, user_id: UserId) -> None:
        """Raises: NotAllowed."""
        if not await self._holds(user_id, ACCESS_PERMISSIONS):
            raise NotAllowed(
                "Accessing permissions is not allowed", code="error-action-not-allowed"
            )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC)


def _name(text: str) -> str:
    """Raises: RoleNameTaken: nothing is left of it; the empty name is no role's."""
    name = text.strip()
    if not name:
        raise _taken()
    return name


def _taken() -> RoleNameTaken:
    return RoleNameTaken("Role name already exists")
