"""Making, changing and ending accounts: one's own, and others' for who may."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from hubbub.contracts.account import FieldTaken, ProfileChanges, Registration, UserChanges
from hubbub.contracts.presence import Status
from hubbub.ids import UserId
from services.gateway.rest.answers import InvalidParams, PlainRefusal
from services.gateway.rest.asked import Asked, Flag, Required, UserSelector, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.statuses import status_of
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import user_of
from services.gateway.rest.validation import filled

routes = Routes()

CustomFields = dict[str, Any]
Short = Annotated[str, Field(max_length=120)]

_SET_ACTIVE: Final = "edit-other-user-active-status"


# -- making -------------------------------------------------------------------------------------


class Register(Asked):
    """A new account for oneself."""

    username: Required
    name: Word = ""
    email: Required
    password: Required = Field(alias="pass", repr=False)
    secret_url: Word | None = Field(default=None, alias="secretURL", repr=False)
    """Where accounts are only made behind a secret address: its last part."""
    reason: Word | None = None
    """For the administrators who approve new users."""
    custom_fields: CustomFields | None = None


class NewUser(Asked):
    """A new account for somebody."""

    name: Required
    email: Required
    username: Required
    password: Word | None = Field(default=None, repr=False)
    active: Flag | None = None
    roles: Annotated[list[str], Field(max_length=50)] | None = None
    verified: Flag | None = None
    join_default_channels: Flag | None = None
    require_password_change: Flag | None = None
    set_random_password: Flag | None = None
    send_welcome_email: Flag | None = None
    """No mail is sent here."""
    bio: Word | None = None
    nickname: Word | None = None
    status_text: Word | None = None
    custom_fields: CustomFields | None = None


@routes.post("users.register", access="optional", calls=1)
async def register(call: Call, asked: Register) -> dict[str, Any]:
    """Make an account for oneself."""
    if call.caller is not None:
        raise PlainRefusal("Logged in users can not register again.")
    registration = Registration(
        username=asked.username,
        name=asked.name,
        email=asked.email,
        password=asked.password,
        reason=asked.reason,
        secret=asked.secret_url,
        custom_fields=asked.custom_fields or {},
    )
    account = call.services.account
    try:
        user_id = await account.register(registration, call.address)
    except FieldTaken:
        raise PlainRefusal("Username is already in use") from None
    return {"user": await account.user_info(user_id, user_id=user_id)}


@routes.post("users.create", permission="create-user")
async def create(call: Call, asked: NewUser) -> dict[str, Any]:
    """Make an account for somebody."""
    wanted = asked.model_dump(by_alias=True, exclude_none=True, exclude={"send_welcome_email"})
    return {"user": await call.services.account.create_user(call.user_id, wanted)}


class Forgotten(Asked):
    """Whose password was forgotten."""

    email: Word | None = None


@routes.post("users.forgotPassword", access="anonymous")
async def forgot_password(call: Call, asked: Forgotten) -> None:
    """Nothing happens: no mail is sent here. The answer is the same whoever has the address."""
    if not asked.email:
        raise PlainRefusal("The 'email' param is required")
    await call.services.account.ask_for_password(asked.email)


@routes.get("pw.getPolicy", access="anonymous")
async def password_policy(call: Call) -> dict[str, Any]:
    """What a new password has to fulfil."""
    policy = await call.services.account.password_policy()
    return {
        "enabled": True,
        "policy": [
            ["get-password-policy-minLength", {"minLength": policy.shortest}],
            ["get-password-policy-maxLength", {"maxLength": policy.longest}],
        ],
    }


# -- changing -----------------------------------------------------------------------------------


class UserData(Asked):
    """What changes of an account; what is absent stays."""

    name: Word | None = None
    username: Word | None = None
    email: Word | None = None
    password: Word | None = Field(default=None, repr=False)
    verified: Flag | None = None
    active: Flag | None = None
    roles: Annotated[list[str], Field(max_length=50)] | None = None
    nickname: Short | None = None
    bio: Annotated[str, Field(max_length=260)] | None = None
    status_text: Short | None = None
    custom_fields: CustomFields | None = None
    require_password_change: Flag | None = None
    language: Annotated[str, Field(max_length=16)] | None = None
    utc_offset: Annotated[float, Field(ge=-14, le=14)] | None = None


class Update(Asked):
    """Whose account changes, and what of it."""

    user_id: Required
    data: UserData
    confirm_relinquish: Flag = False
    """Rooms whose only owner is deactivated get another one."""


class OwnData(Asked):
    """What changes of one's own account; what is absent stays."""

    name: Word | None = None
    username: Word | None = None
    email: Word | None = None
    new_password: Word | None = Field(default=None, repr=False)
    current_password: Word | None = Field(default=None, repr=False)
    """The present password, or its SHA-256 in hex: asked for with a new address or password."""
    nickname: Short | None = None
    bio: Annotated[str, Field(max_length=260)] | None = None
    status_text: Short | None = None
    status_type: Word | None = None


class UpdateOwn(Asked):
    """What changes of one's own account."""

    data: OwnData
    custom_fields: CustomFields | None = None


@routes.post("users.update", second_factor=True)
async def update(call: Call, asked: Update) -> dict[str, Any]:
    """Change an account: the harmless part of one's own, or anybody's with rights."""
    user_id = UserId(asked.user_id)
    changes = filled(UserChanges, asked.data.model_dump(by_alias=True, exclude={"status_text"}))
    user = await call.services.account.update_user(
        call.user_id, user_id, changes, asked.confirm_relinquish
    )
    if asked.data.status_text is not None:
        await call.services.presence.set_status(user_id, None, asked.data.status_text)
        user = {**user, "statusText": asked.data.status_text}
    call.door.authentication.forget(user_id)
    return {"user": user}


@routes.post("users.updateOwnBasicInfo")
async def update_own(call: Call, asked: UpdateOwn) -> dict[str, Any]:
    """Change the own account. A new address or password asks for the present password."""
    data = asked.data
    status = status_of(data.status_type) if data.status_type else None
    changes = filled(
        ProfileChanges,
        {
            **data.model_dump(by_alias=True, exclude={"status_text", "status_type"}),
            "customFields": asked.custom_fields,
        },
    )
    user = await call.services.account.update_profile(
        call.user_id, changes, call.identity.hashed_token
    )
    call.door.authentication.forget(call.user_id)
    if status is not None or data.status_text is not None:
        await call.services.presence.set_status(call.user_id, status, data.status_text)
        user = {**user, **_status(status, data.status_text)}
    return {"user": user}


def _status(status: Status | None, text: str | None) -> dict[str, str]:
    shown = {} if status is None else {"status": status.value}
    return shown if text is None else {**shown, "statusText": text}


# -- ending -------------------------------------------------------------------------------------


class SetActive(Asked):
    """Whose account is switched on or off."""

    user_id: Required
    active_status: Flag
    confirm_relinquish: Flag = False
    """Rooms whose only owner this is get another one; without, the call is refused."""


class Delete(UserSelector):
    """Whose account goes."""

    confirm_relinquish: Flag = False
    """Rooms whose only owner this is get another one, or go when nobody else is in them."""


class DeleteOwn(Asked):
    """The own account goes."""

    password: Word | None = Field(default=None, repr=False)
    """The password, or its SHA-256 in hex."""
    confirm_relinquish: Flag = False


@routes.post("users.setActiveStatus", permission=_SET_ACTIVE)
async def set_active_status(call: Call, asked: SetActive) -> dict[str, Any]:
    """Activate or deactivate an account."""
    user = await user_of(call, UserSelector(user_id=asked.user_id))
    user_id = UserId(user["_id"])
    await call.services.account.set_active(
        call.user_id, user_id, asked.active_status, asked.confirm_relinquish
    )
    call.door.authentication.forget(user_id)
    return {"user": {"_id": user_id, "active": asked.active_status}}


@routes.post("users.delete", permission="delete-user")
async def delete(call: Call, asked: Delete) -> None:
    """Remove an account and what it holds in rooms."""
    user_id = UserId((await user_of(call, asked))["_id"])
    await call.services.account.delete_user(call.user_id, user_id, asked.confirm_relinquish)
    call.door.authentication.forget(user_id)


@routes.post("users.deleteOwnAccount")
async def delete_own(call: Call, asked: DeleteOwn) -> None:
    """Remove the own account."""
    if not asked.password:
        raise PlainRefusal('Body parameter "password" is required.')
    await call.services.account.delete_own_account(
        call.user_id, asked.password, asked.confirm_relinquish
    )
    call.door.authentication.forget(call.user_id)


# -- preferences --------------------------------------------------------------------------------


class Preferences(Asked):
    """Whose preferences change, and which."""

    user_id: Word | None = None
    data: dict[str, Any]
    """Preference → value; unknown ones are refused."""


@routes.get("users.getPreferences")
async def get_preferences(call: Call) -> dict[str, Any]:
    """The caller's preferences."""
    return {"preferences": await call.services.account.preferences(call.user_id)}


@routes.post("users.setPreferences")
async def set_preferences(call: Call, asked: Preferences) -> dict[str, Any]:
    """Change preferences: one's own, or anybody's with rights."""
    data = {key: value for key, value in asked.data.items() if value is not None}
    if not data:
        raise InvalidParams("must NOT have fewer than 1 properties")
    user_id = UserId(asked.user_id or call.user_id)
    preferences = await call.services.account.set_preferences(call.user_id, user_id, data)
    return {"user": {"_id": user_id, "settings": {"preferences": preferences}}}
