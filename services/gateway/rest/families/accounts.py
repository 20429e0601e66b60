"""Changing accounts: one's own, and others' for who may."""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.account import LoginRefused, UserChanges
from hubbub.contracts.documents import Document
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from services.gateway.rest.answers import InvalidParams, Refusal
from services.gateway.rest.call import Call
from services.gateway.rest.families.departure import check_last_owner
from services.gateway.rest.families.statuses import status_of
from services.gateway.rest.requests import Parameters, missing
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import user_of
from services.gateway.rest.validation import filled

routes = Routes()

_OWN: Final = frozenset({"name", "username", "nickname", "bio", "language", "utcOffset"})
"""What everybody may change of oneself without a password."""

_NEEDED: Final = {
    "password": "edit-other-user-password",
    "active": "edit-other-user-active-status",
    "roles": "assign-roles",
}
"""Keys that need a permission of their own, beside `edit-other-user-info`."""


def _data(call: Call) -> dict[str, Any]:
    data = call.body.mapping("data")
    if data is None:
        raise missing("data")
    return {key: value for key, value in data.items() if value is not None}


@routes.post("users.update")
async def update(call: Call) -> dict[str, Any]:
    """Change an account: the harmless part of one's own, or anybody's with rights."""
    user_id, data = UserId(call.body.required_text("userId")), _data(call)
    # Nobody changes the own address or password here: that asks for the present password.
    if user_id != call.user_id or not data.keys() <= _OWN:
        await call.require("edit-other-user-info")
        await _check_rights(call, data)
    active = Parameters(data).optional_flag("active")
    user = await call.services.account.update_user(user_id, filled(UserChanges, data))
    if active is not None and active != user.get("active"):
        await _set_active(call, user_id, active=active)
        user = {**user, "active": active}
    call.door.authentication.forget(user_id)
    return {"user": user}


async def _check_rights(call: Call, data: dict[str, Any]) -> None:
    for key, permission in _NEEDED.items():
        if key in data:
            await call.require(permission)
    roles = data.get("roles")
    if isinstance(roles, list) and "admin" in roles:
        await call.require("assign-admin-role")


async def _set_active(call: Call, user_id: UserId, *, active: bool) -> None:
    if not active and not call.body.flag("confirmRelinquish"):
        await check_last_owner(call.services, user_id)
    await call.services.account.set_active(user_id, active)
    call.door.authentication.forget(user_id)


@routes.post("users.setActiveStatus", permission="edit-other-user-active-status")
async def set_active_status(call: Call) -> dict[str, Any]:
    """Activate or deactivate an account."""
    user_id = call.body.required_text("userId")
    active = call.body.optional_flag("activeStatus")
    if active is None:
        raise missing("activeStatus")
    user = await user_of(call, Parameters({"userId": user_id}))
    await _set_active(call, UserId(user["_id"]), active=active)
    return {"user": {"_id": user["_id"], "active": active}}


@routes.post("users.updateOwnBasicInfo")
async def update_own(call: Call) -> dict[str, Any]:
    """Change the own account. A new address or password asks for the present password."""
    data = Parameters(_data(call))
    changes = {key: data.raw(key) for key in ("name", "username", "nickname", "bio")}
    changes["customFields"] = call.body.mapping("customFields")
    account = call.services.account
    email, new_password = data.text("email"), data.text("newPassword")
    status_type, status_text = data.text("statusType"), data.text("statusText")
    status = status_of(status_type) if status_type else None
    wanted = filled(UserChanges, {**changes, "email": email})
    if email and await _is_own_address(call, email):
        wanted = wanted.model_copy(update={"email": None})
    if wanted.email or new_password:
        await _check_password(call, data.text("currentPassword"))
    user: Document = await account.update_user(call.user_id, wanted)
    if new_password:
        await account.set_password(call.user_id, new_password, call.identity.hashed_token)
    if status is not None or status_text is not None:
        await call.services.presence.set_status(call.user_id, status, status_text)
    call.door.authentication.forget(call.user_id)
    return {"user": user}


async def _is_own_address(call: Call, email: str) -> bool:
    me = await call.services.account.me(call.user_id)
    return email.casefold() in {
        str(entry.get("address", "")).casefold() for entry in me.get("emails", [])
    }


async def _check_password(call: Call, password: str | None) -> None:
    details = {"method": "password", "codeGenerated": False, "availableMethods": ["password"]}
    if not password:
        raise Refusal("TOTP Required", code="totp-required", details=details)
    try:
        await call.services.account.check_password(call.user_id, password)
    except LoginRefused:
        raise Refusal("TOTP Invalid", code="totp-invalid", details=details) from None


@routes.post("users.setPreferences")
async def set_preferences(call: Call) -> dict[str, Any]:
    """Change preferences: one's own, or anybody's with rights."""
    user_id, data = call.body.text("userId") or call.user_id, _data(call)
    if not data:
        raise InvalidParams("must NOT have fewer than 1 properties")
    if user_id != call.user_id and not await call.may("edit-other-user-info"):
        raise NotAllowed("Editing user is not allowed", code="error-action-not-allowed")
    preferences = await call.services.account.set_preferences(UserId(user_id), data)
    return {"user": {"_id": user_id, "settings": {"preferences": preferences}}}


@routes.get("users.checkUsernameAvailability")
async def check_username(call: Call) -> dict[str, Any]:
    """Whether a username may be chosen."""
    username = call.query.required_text("username")
    return {"result": await call.services.account.is_username_free(username)}
