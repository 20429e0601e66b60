"""`permissions.*`: which role holds what."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.contracts.authorization import PermissionRoles
from services.gateway.rest.asked import Asked, Required
from services.gateway.rest.call import Call
from services.gateway.rest.families.rooms import Since, changed, since
from services.gateway.rest.router import Routes
from services.gateway.rest.validation import filled

routes = Routes()


@routes.get("permissions.listAll")
async def list_all(call: Call, asked: Since) -> dict[str, Any]:
    """Permissions with the roles that hold them, or what changed in them."""
    moment = since(asked, named="updatedSince", code="error-roomId-param-invalid")
    return changed(await call.services.authorization.permissions(moment), moment)


@routes.get("permissions.list", "permissions")
async def list_permissions(call: Call) -> dict[str, Any]:
    """Permissions, as older clients ask for them."""
    return {"permissions": (await call.services.authorization.permissions()).update}


class Held(Asked):
    """All the roles that are to hold one permission."""

    id_: Required = Field(alias="_id")
    roles: list[str] = Field(max_length=500)


class PermissionUpdate(Asked):
    """Which roles are to hold which permissions; the others stay as they are."""

    permissions: list[Held] = Field(min_length=1, max_length=500)


@routes.post("permissions.update")
async def update(call: Call, asked: PermissionUpdate) -> dict[str, Any]:
    """Say which roles hold some permissions: all of them change or none."""
    wanted = [
        filled(PermissionRoles, {"id": one.id_, "roles": one.roles}) for one in asked.permissions
    ]
    return {
        "permissions": await call.services.authorization.update_permissions(call.user_id, wanted)
    }
