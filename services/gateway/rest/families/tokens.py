"""Tokens: personal ones, those of others, and the end of all."""

from __future__ import annotations

from typing import Any

from hubbub.ids import UserId
from services.gateway.rest.answers import PlainRefusal
from services.gateway.rest.asked import Asked, Flag, UserSelector, Word
from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import names_a_user, user_of

routes = Routes()


class TokenName(Asked):
    """Which personal access token."""

    token_name: Word | None = None

    @property
    def name(self) -> str:
        """The name. Raises: PlainRefusal."""
        if not self.token_name:
            raise PlainRefusal("The 'tokenName' param is required")
        return self.token_name


class PersonalToken(TokenName):
    """A personal access token, and whether its bearer is asked for a second factor."""

    bypass_two_factor: Flag | None = None


class SignInAs(UserSelector):
    """Whom to sign in."""

    secret: Word | None = None
    """The server's secret, where it has one."""


@routes.post("users.generatePersonalAccessToken", second_factor=True)
async def generate(call: Call, asked: PersonalToken) -> dict[str, Any]:
    """Make a personal access token; its text is told this once."""
    # Whoever may have none is told so before a missing name is.
    await call.services.account.personal_tokens(call.user_id)
    token = await call.services.account.add_personal_token(
        call.user_id, asked.name, asked.bypass_two_factor is True
    )
    return {"token": token}


@routes.post("users.regeneratePersonalAccessToken", second_factor=True)
async def regenerate(call: Call, asked: PersonalToken) -> dict[str, Any]:
    """Replace a personal access token."""
    token = await call.services.account.renew_personal_token(
        call.user_id, asked.name, asked.bypass_two_factor
    )
    call.door.authentication.forget(call.user_id)
    return {"token": token}


@routes.post("users.removePersonalAccessToken", second_factor=True)
async def remove(call: Call, asked: TokenName) -> None:
    """Forget a personal access token."""
    await call.services.account.remove_personal_token(call.user_id, asked.name)
    call.door.authentication.forget(call.user_id)


@routes.get("users.getPersonalAccessTokens")
async def list_tokens(call: Call) -> dict[str, Any]:
    """The caller's personal access tokens, without their texts."""
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


@routes.post("users.createToken", second_factor=True)
async def create(call: Call, asked: SignInAs) -> dict[str, Any]:
    """Sign somebody in without a password: oneself, or anybody for who may."""
    user = await user_of(call, asked)
    result = await call.services.account.create_token(
        call.user_id, UserId(user["_id"]), asked.secret
    )
    return {"data": {"userId": result.user_id, "authToken": result.token}}


@routes.post("users.removeOtherTokens")
async def remove_other_tokens(call: Call) -> None:
    """Sign the caller out everywhere but here."""
    await call.services.account.remove_other_tokens(call.user_id, call.identity.hashed_token)
    call.door.authentication.forget(call.user_id)


@routes.post("users.logoutOtherClients")
async def logout_other_clients(call: Call) -> dict[str, Any]:
    """A new token for the caller; all others end ten seconds later."""
    result = await call.services.account.logout_other_clients(
        call.user_id, call.identity.hashed_token
    )
    call.door.authentication.forget(call.user_id)
    return {"token": result.token, "tokenExpires": result.token_expires}


@routes.post("users.logout")
async def logout(call: Call, asked: UserSelector) -> dict[str, Any]:
    """End every sign-in of the caller, or of somebody else for who may."""
    user_id = call.user_id
    if names_a_user(asked):
        user_id = UserId((await user_of(call, asked))["_id"])
    await call.services.account.sign_out(call.user_id, user_id)
    call.door.authentication.forget(user_id)
    return {"message": f"User {user_id} has been logged out!"}
