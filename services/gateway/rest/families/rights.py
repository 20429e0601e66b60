"""Permissions and roles."""

from __future__ import annotations

from typing import Any

from services.gateway.rest.call import Call
from services.gateway.rest.families.rooms import changed, since
from services.gateway.rest.router import Routes

routes = Routes()


@routes.get("permissions.listAll")
async def list_all(call: Call) -> dict[str, Any]:
    """Permissions with the roles that hold them, or what changed in them."""
    moment = since(call, named="updatedSince", code="error-roomId-param-invalid")
    return changed(await call.services.authorization.permissions(moment), moment)


@routes.get("permissions.list", "permissions")
async def list_permissions(call: Call) -> dict[str, Any]:
    """Permissions, as older clients ask for them."""
    return {"permissions": (await call.services.authorization.permissions()).update}


@routes.get("roles.list")
async def list_roles(call: Call) -> dict[str, Any]:
    """All roles."""
    return {"roles": await call.services.authorization.roles()}


@routes.get("roles.getUsersInPublicRoles")
async def users_in_public_roles(call: Call) -> dict[str, Any]:
    """Users in roles that have a description."""
    return {"users": await call.services.authorization.users_in_public_roles()}
