"""Tokens: personal ones, those of others, and the end of all."""

from __future__ import annotations

import hmac
from typing import Any

from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from services.gateway.rest.answers import Forbidden, PlainRefusal
from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import names_a_user, user_of

routes = Routes()


async def _token_name(call: Call) -> str:
    """The name in the body, of a caller who may have such tokens."""
    await _may_have_personal_tokens(call)
    name = call.body.text("tokenName")
    if not name:
        raise PlainRefusal("The 'tokenName' param is required")
    return name


async def _may_have_personal_tokens(call: Call) -> None:
    if not await call.may("create-personal-access-tokens"):
        raise NotAllowed("Not Authorized", code="not-authorized")


@routes.post("users.generatePersonalAccessToken")
async def generate(call: Call) -> dict[str, Any]:
    """Make a personal access token; its text is told this once."""
    name = await _token_name(call)
    bypass = call.body.flag("bypassTwoFactor")
    return {"token": await call.services.account.add_personal_token(call.user_id, name, bypass)}


@routes.post("users.regeneratePersonalAccessToken")
async def regenerate(call: Call) -> dict[str, Any]:
    """Replace a personal access token."""
    name = await _token_name(call)
    bypass = call.body.flag("bypassTwoFactor")
    token = await call.services.account.renew_personal_token(call.user_id, name, bypass)
    call.door.authentication.forget(call.user_id)
    return {"token": token}


@routes.post("users.removePersonalAccessToken")
async def remove(call: Call) -> None:
    """Forget a personal access token."""
    await call.services.account.remove_personal_token(call.user_id, await _token_name(call))
    call.door.authentication.forget(call.user_id)


@routes.get("users.getPersonalAccessTokens")
async def list_tokens(call: Call) -> dict[str, Any]:
    """The caller's personal access tokens, without their texts."""
    await _may_have_personal_tokens(call)
    found = await call.services.account.personal_tokens(call.user_id)
    return {
        "tokens": [
            {
                "name": token.name,
                "createdAt": token.created_at,
                "lastTokenPart": token.last_token_part,
                "bypassTwoFactor": token.bypass_two_factor,
            }
            for token in found
        ]
    }


@routes.post("users.createToken")
async def create(call: Call) -> dict[str, Any]:
    """Sign somebody in without a password: oneself, or anybody for who may."""
    user = await user_of(call, call.body)
    if user["_id"] != call.user_id and not _may_sign_in_others(call):
        raise NotAllowed("Not authorized", code="error-not-authorized")
    result = await call.services.account.create_token(UserId(user["_id"]))
    return {"data": {"userId": result.user_id, "authToken": result.token}}


def _may_sign_in_others(call: Call) -> bool:
    secret = call.door.settings.token_secret.get_secret_value()
    if not secret:
        return "admin" in call.identity.roles
    return hmac.compare_digest((call.body.text("secret") or "").encode(), secret.encode())


@routes.post("users.logoutOtherClients")
async def logout_other_clients(call: Call) -> dict[str, Any]:
    """A new token for the caller; all others are gone."""
    result = await call.services.account.new_token(call.user_id, call.identity.hashed_token)
    await call.services.account.remove_other_tokens(call.user_id, result.hashed_token)
    call.door.authentication.forget(call.user_id)
    return {"token": result.token, "tokenExpires": result.token_expires}


@routes.post("users.logout")
async def logout(call: Call) -> dict[str, Any]:
    """End every sign-in of the caller, or of somebody else for who may."""
    user_id = call.user_id
    if names_a_user(call.body):
        user_id = UserId((await user_of(call, call.body))["_id"])
    if user_id != call.user_id and not await call.may("logout-other-user"):
        raise Forbidden
    await call.services.account.sign_out(user_id)
    call.door.authentication.forget(user_id)
    return {"message": f"User {user_id} has been logged out!"}
