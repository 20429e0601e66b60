"""`roles.*`: roles, and who holds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.authorization import NewRole, RoleChanges, RoleNotFound
from hubbub.contracts.documents import Document
from hubbub.contracts.members import LastOwnerRemains, RoleUnchanged, RoomRole
from hubbub.contracts.user_roles import AlreadyInRole, NotInRole
from hubbub.ids import RoomId, UserId
from services.gateway.rest.answers import PlainRefusal, Refusal
from services.gateway.rest.asked import Asked, Paged, Required, UserSelector, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.rooms import Since, changed
from services.gateway.rest.paging import paged, parse_paging
from services.gateway.rest.requests import missing, parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import user_of
from services.gateway.rest.steps import in_steps
from services.gateway.rest.validation import filled

routes = Routes()

_NO_SUCH_ROLE = "This role does not exist"


@routes.get("roles.list")
async def list_roles(call: Call) -> dict[str, Any]:
    """All roles."""
    return {"roles": await call.services.authorization.roles()}


@routes.get("roles.sync")
async def sync(call: Call, asked: Since) -> dict[str, Any]:
    """Roles that changed since a date, and those that were deleted."""
    if not asked.updated_since:
        raise missing("updatedSince")
    moment = parse_date(asked.updated_since)
    if moment is None:
        raise Refusal(
            'The "updatedSince" query parameter must be a valid date.',
            code="error-updatedSince-param-invalid",
        )
    found = await call.services.authorization.roles_changed(moment)
    return {"roles": changed(found, moment)}


class InRole(Paged):
    """A role, and a room if only those count who hold it there."""

    role: Word | None = None
    """Id or name."""
    room_id: Word | None = None


@routes.get("roles.getUsersInRole")
async def users_in_role(call: Call, asked: InRole) -> dict[str, Any]:
    """Who holds a role, by username."""
    role = asked.role
    if not role:
        raise Refusal('Query param "role" is required', code="error-param-not-provided")
    paging = parse_paging(asked, await call.paging_rules())
    room_id = RoomId(asked.room_id) if asked.room_id else None
    page = await in_steps(
        lambda part: call.services.authorization.users_in_role(call.user_id, role, part, room_id),
        paging,
    )
    return paged("users", page, paging)


@routes.get("roles.getUsersInPublicRoles")
async def users_in_public_roles(call: Call) -> dict[str, Any]:
    """Users in roles that have a description."""
    return {"users": await call.services.authorization.users_in_public_roles()}


class Assignment(UserSelector):
    """A role, a user, and a room if the role is one in a room."""

    role_id: Word | None = None
    role_name: Word | None = None
    room_id: Word | None = None
    scope: Word | None = None
    """The room, as older clients call it."""

    @property
    def role(self) -> str:
        """Id or name of the role. Raises: Refusal."""
        if not self.role_id and not self.role_name:
            raise Refusal("The role properties are invalid.", code="error-invalid-role-properties")
        return self.role_id or self.role_name or ""

    @property
    def room(self) -> str | None:
        """The room, if there is one."""
        return self.room_id or self.scope or None


@routes.post("roles.addUserToRole")
async def add_user_to_role(call: Call, asked: Assignment) -> dict[str, Any]:
    """Give a user a role, in the workspace or in a room."""
    role, user = asked.role, await user_of(call, asked)
    with _unknown_role("error-role-not-found"):
        return {"role": await _assign(call, asked, role, UserId(user["_id"]), given=True)}


@routes.post("roles.removeUserFromRole")
async def remove_user_from_role(call: Call, asked: Assignment) -> dict[str, Any]:
    """Take a role from a user, in the workspace or in a room."""
    role, user = asked.role, await user_of(call, asked)
    with _unknown_role("error-invalid-roleId"):
        return {"role": await _assign(call, asked, role, UserId(user["_id"]), given=False)}


async def _assign(
    call: Call, asked: Assignment, role: str, user_id: UserId, *, given: bool
) -> Document:
    """Give or take `role`; its document."""
    if asked.room:
        found = await call.services.authorization.find_role(role)
        if found.get("scope") == "Subscriptions":
            await _assign_in_room(call, RoomId(asked.room), found["_id"], user_id, given=given)
            return found
    account = call.services.account
    change = account.give_role if given else account.take_role
    return await change(call.user_id, user_id, role)


async def _assign_in_room(
    call: Call, room_id: RoomId, role: str, user_id: UserId, *, given: bool
) -> None:
    try:
        in_room = RoomRole(role)
    except ValueError:
        raise Refusal("Invalid Role", code="error-invalid-role") from None
    try:
        await call.services.messaging.set_room_role(call.user_id, room_id, user_id, in_room, given)
    except LastOwnerRemains:
        raise
    except RoleUnchanged:
        # Here clients know the general codes, not those of each role.
        raise (
            AlreadyInRole("User already in role")
            if given
            else NotInRole("User is not in this role")
        ) from None
    except UserNotFound:
        raise Refusal("Invalid user", code="error-invalid-user") from None


@contextmanager
def _unknown_role(code: str) -> Iterator[None]:
    try:
        yield
    except RoleNotFound:
        raise Refusal(_NO_SUCH_ROLE, code=code) from None


class RoleToMake(Asked):
    """A new role."""

    name: Required
    scope: Literal["Users", "Subscriptions"] = "Users"
    """Held in the whole workspace, or in single rooms."""
    description: Word | None = None
    """A role with one is shown to everybody beside the names of those who hold it."""


@routes.post("roles.create")
async def create(call: Call, asked: RoleToMake) -> dict[str, Any]:
    """Make a role."""
    wanted = {"name": asked.name, "scope": asked.scope, "description": asked.description}
    role = filled(NewRole, wanted)
    return {"role": await call.services.authorization.create_role(call.user_id, role)}


class RoleToChange(Asked):
    """What is to change of a role; the rest stays."""

    role_id: Required
    name: Word | None = None
    scope: Literal["Users", "Subscriptions"] | None = None
    description: Word | None = None


@routes.post("roles.update")
async def update(call: Call, asked: RoleToChange) -> dict[str, Any]:
    """Change a role's name, scope or description."""
    wanted = {"name": asked.name or None, "scope": asked.scope, "description": asked.description}
    changes = filled(RoleChanges, wanted)
    role = await call.services.authorization.update_role(call.user_id, asked.role_id, changes)
    return {"role": role}


class RoleReference(Asked):
    """A role by id or name."""

    role_id: Word | None = None


@routes.post("roles.delete")
async def delete(call: Call, asked: RoleReference) -> None:
    """Delete a role that nobody holds."""
    if not asked.role_id:
        raise PlainRefusal('The bodyParam "roleId" is required')
    await call.services.authorization.delete_role(call.user_id, asked.role_id)
