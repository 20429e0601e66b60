"""Accounts: profile, preferences, password, tokens, second factor."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from hubbub.contracts.account import ProfileChanges, UserChanges
from hubbub.contracts.documents import Text
from hubbub.contracts.presence import Status
from hubbub.doors.methods.users import status_named
from hubbub.doors.parameters import Parameter
from hubbub.doors.table import METHODS, NOTHING, Call, Nothing, method
from hubbub.errors import BadRequest, NotFound

Code = Annotated[Text, Field(min_length=1, max_length=64)]
TokenText = Annotated[Text, Field(min_length=1, max_length=128)]
Offset = Annotated[float, Field(ge=-14, le=14)]


class Profile(Parameter):
    """What a client's profile page sends."""

    name: Text | None = Field(default=None, alias="realname")
    username: Text | None = None
    email: Text | None = None
    new_password: Text | None = Field(default=None, alias="newPassword", repr=False)
    typed_password: Text | None = Field(default=None, alias="typedPassword", repr=False)
    """The present password, or its SHA-256 in hex."""
    nickname: Text | None = Field(default=None, max_length=120)
    bio: Text | None = Field(default=None, max_length=260)
    status_text: Text | None = Field(default=None, alias="statusText", max_length=120)
    status_type: Text | None = Field(default=None, alias="statusType")


class NewToken(Parameter):
    name: TokenText = Field(alias="tokenName")
    bypass: bool = Field(default=False, alias="bypassTwoFactor")


class TokenName(Parameter):
    name: TokenText = Field(alias="tokenName")


class Wrapped(Parameter):
    """A call of a method with a second factor beside it."""

    code: Code
    code_method: Text = Field(default="totp", alias="method")
    name: Text = Field(alias="ddpMethod")
    params: list[Any] = Field(default=[])


# -- profile ------------------------------------------------------------------------------------


@method("saveUserProfile")
async def save_user_profile(
    call: Call, profile: Profile, custom_fields: dict[str, Any] | None = None
) -> bool:
    """Change the own account; a new address or password asks for the present password."""
    status = status_named(profile.status_type) if profile.status_type else None
    await call.services.account.update_profile(
        call.user_id,
        ProfileChanges(
            name=profile.name,
            username=profile.username,
            email=profile.email,
            new_password=profile.new_password,
            current_password=profile.typed_password,
            nickname=profile.nickname,
            bio=profile.bio,
            custom_fields=custom_fields,
        ),
        call.hashed_token,
    )
    await _tell_status(call, status, profile.status_text)
    return True


async def _tell_status(call: Call, status: Status | None, text: str | None) -> None:
    if status is not None or text is not None:
        await call.services.presence.set_status(call.user_id, status, text)


@method("saveUserPreferences")
async def save_user_preferences(call: Call, preferences: dict[str, Any]) -> bool:
    """Change some of the own preferences."""
    given = {key: value for key, value in preferences.items() if value is not None}
    if given:
        await call.services.account.set_preferences(call.user_id, call.user_id, given)
    return True


@method("userSetUtcOffset")
async def set_utc_offset(call: Call, offset: Offset) -> Nothing:
    """Say how many hours the own clock is ahead of UTC."""
    await call.services.account.update_user(
        call.user_id, call.user_id, UserChanges(utc_offset=offset)
    )
    return NOTHING


@method("setUserPassword", sensitive=True)
async def set_user_password(call: Call, password: Text) -> bool:
    """Change the own password; every other login ends."""
    await call.services.account.set_password(call.user_id, password, call.hashed_token)
    return True


@method("getUsernameSuggestion", parallel_safe=True)
async def get_username_suggestion(call: Call) -> str:
    """A free username for the caller."""
    return await call.services.account.suggest_username(call.user_id)


@method("checkRegistrationSecretURL", parallel_safe=True, anonymous=True)
async def check_registration_secret(call: Call, secret: Text) -> bool:
    """Whether accounts are made behind this secret address."""
    return await call.services.account.is_registration_secret(secret)


@method("sendConfirmationEmail", parallel_safe=True, anonymous=True)
async def send_confirmation_email(call: Call, email: Text) -> bool:
    """Always true, whoever has the address: no mail is sent here."""
    return True


@method("getPasswordPolicy", parallel_safe=True, anonymous=True)
async def get_password_policy(call: Call) -> dict[str, Any]:
    """What a new password has to fulfil."""
    policy = await call.services.account.password_policy()
    return {
        "enabled": True,
        "policy": [
            ["get-password-policy-minLength", {"minLength": policy.shortest}],
            ["get-password-policy-maxLength", {"maxLength": policy.longest}],
        ],
    }


# -- personal access tokens ---------------------------------------------------------------------


@method("personalAccessTokens:generateToken", sensitive=True)
async def generate_personal_token(call: Call, token: NewToken) -> str:
    """Make a personal access token; its text is told this once."""
    return await call.services.account.add_personal_token(call.user_id, token.name, token.bypass)


@method("personalAccessTokens:regenerateToken", sensitive=True)
async def regenerate_personal_token(call: Call, token: TokenName) -> str:
    """Replace a personal access token; its text is told this once."""
    return await call.services.account.renew_personal_token(call.user_id, token.name)


@method("personalAccessTokens:removeToken", sensitive=True)
async def remove_personal_token(call: Call, token: TokenName) -> Nothing:
    """Forget a personal access token."""
    await call.services.account.remove_personal_token(call.user_id, token.name)
    return NOTHING


# -- second factor ------------------------------------------------------------------------------


@method("2fa:enable")
async def enable_two_factor(call: Call) -> dict[str, str]:
    """Begin with one-time passwords: the secret, which `2fa:validateTempToken` confirms."""
    begun = await call.services.account.begin_totp(call.user_id)
    return {"secret": begun.secret, "url": begun.url}


@method("2fa:validateTempToken")
async def validate_temporary_token(call: Call, code: Code) -> dict[str, list[str]]:
    """Switch one-time passwords on; every other login ends. The recovery codes."""
    codes = await call.services.account.confirm_totp(call.user_id, code, call.hashed_token)
    return {"codes": codes}


@method("2fa:disable")
async def disable_two_factor(call: Call, code: Code) -> bool:
    """Switch one-time passwords off; false when the code is wrong."""
    return await call.services.account.disable_totp(call.user_id, code)


@method("2fa:regenerateCodes")
async def regenerate_codes(call: Call, code: Code) -> dict[str, list[str]]:
    """New recovery codes; the old ones are void."""
    return {"codes": await call.services.account.renew_recovery_codes(call.user_id, code)}


@method("2fa:checkCodesRemaining", parallel_safe=True)
async def check_codes_remaining(call: Call) -> dict[str, int]:
    """How many recovery codes are left."""
    return {"remaining": await call.services.account.recovery_codes_left(call.user_id)}


@method("callWithTwoFactorRequired")
async def call_with_two_factor(call: Call, wrapped: Wrapped) -> Any:
    """Call another method and show the second factor that it asks for."""
    row = METHODS.get(wrapped.name)
    if row is None:
        raise NotFound(f"Method '{wrapped.name[:100]}' not found", code=404)
    if row.name == "callWithTwoFactorRequired":
        raise BadRequest("Match failed", code=400)
    caller = replace(call.caller, code=wrapped.code, code_method=wrapped.code_method)
    return await row.call(call.services, caller, wrapped.params)
