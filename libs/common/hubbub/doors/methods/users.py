"""Accounts, statuses, and the lists that clients load at start."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.account import Registration
from hubbub.contracts.documents import Document, Text
from hubbub.contracts.presence import Status, UnknownStatus
from hubbub.doors.methods.listing import listed
from hubbub.doors.parameters import (
    NewAccount,
    Since,
    Username,
)
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.errors import BadRequest, NotAllowed


@method("registerUser", anonymous=True)
async def register_user(call: Call, account: NewAccount) -> str:
    """Make an account; its id."""
    password = account.password or account.password_by_name
    if password is None:
        raise BadRequest("Match failed", code=400)
    return await call.services.account.register(
        Registration(
            username=account.username,
            name=account.name,
            email=account.email,
            password=password,
            reason=account.reason,
            secret=account.secret,
        ),
        call.caller.address,
    )


@method("createUser", anonymous=True)
async def create_user(call: Call) -> Nothing:
    """Not offered: accounts are made by `registerUser`."""
    raise NotAllowed("Signups forbidden", code=403)


@method("setUsername")
async def set_username(call: Call, username: Username) -> str:
    """Choose a username."""
    return await call.services.account.set_username(call.user_id, username)


@method("setUserStatus")
async def set_user_status(
    call: Call, status: Text | None = None, text: Text | None = None
) -> Nothing:
    """Choose a status, a status text, or both."""
    chosen = status_named(status) if status else None
    await call.services.presence.set_status(call.user_id, chosen, text)
    return NOTHING


@method("UserPresence:setDefaultStatus")
async def set_default_status(call: Call, status: Text) -> Nothing:
    """Choose a status."""
    await call.services.presence.set_status(call.user_id, status_named(status))
    return NOTHING


def status_named(name: str) -> Status:
    """The status that `name` names. Raises: UnknownStatus."""
    try:
        return Status(name)
    except ValueError:
        raise UnknownStatus(f"{name[:40]} is not a valid status") from None


@method("permissions/get", parallel_safe=True, anonymous=True)
async def permissions_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """Permissions with the roles that hold them."""
    return listed(await call.services.authorization.permissions(updated_since), updated_since)


@method("public-settings/get", parallel_safe=True, anonymous=True)
async def public_settings_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """Settings that everybody may see."""
    return listed(await call.services.messaging.public_settings(updated_since), updated_since)


@method("getUserRoles", parallel_safe=True)
async def get_user_roles(call: Call) -> list[Document]:
    """Users in roles that have a description."""
    return await call.services.authorization.users_in_public_roles()
