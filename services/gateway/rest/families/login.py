"""Signing in and out."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.account import LoginExpired, LoginRefused, LoginResult
from hubbub.errors import HubbubError, NotAllowed, Unauthenticated
from services.gateway.rest.answers import Answer, InvalidParams, PlainRefusal, login_refused
from services.gateway.rest.call import Call
from services.gateway.rest.requests import Parameters
from services.gateway.rest.router import Routes

routes = Routes()


class NoCredentials(HubbubError):
    """Nothing in the body says who wants to sign in."""

    status = 401


def credentials(body: Parameters, code: str | None = None) -> dict[str, Any]:
    """The login parameters in a REST body, in the form that DDP has for them.

    `user`, `username` and `email` are looked at in this order. A one-time `code` may stand in
    the body or be given.

    Raises: NoCredentials: nobody is named; InvalidParams: a value of a wrong type.
    """
    resume = body.text("resume")
    if resume:
        return {"resume": resume}
    found: dict[str, Any] = {"user": _user(body), "password": _password(body)}
    code = body.text("code") or code
    return {"totp": {"code": code, "login": found}} if code else found


def _user(body: Parameters) -> str | dict[str, str]:
    user = body.raw("user")
    if isinstance(user, dict):
        inner = Parameters(user)
        for key in ("username", "email", "id"):
            value = inner.text(key)
            if value:
                return {key: value}
    elif user:
        return body.required_text("user")
    for key in ("username", "email"):
        value = body.text(key)
        if value:
            return {key: value}
    raise NoCredentials


def _password(body: Parameters) -> str | dict[str, str]:
    hashed = body.text("hashed")
    if hashed:
        return {"digest": hashed, "algorithm": "sha-256"}
    password = body.raw("password")
    if isinstance(password, dict):
        inner = Parameters(password)
        digest = inner.text("digest") or inner.text("hashed")
        if not digest:
            raise InvalidParams("must have required property 'digest'")
        return {"digest": digest, "algorithm": inner.text("algorithm") or "sha-256"}
    found = body.text("password")
    if not found:
        raise NoCredentials
    return found


@routes.post("login", access="anonymous")
async def login(call: Call) -> Answer | dict[str, Any]:
    """Sign in by name, address or token; a new token each time, except for a token."""
    try:
        parameters = credentials(call.body, call.headers.get("X-2fa-code") or None)
        result = await call.services.account.login(parameters, call.address)
    except (NoCredentials, LoginRefused):
        return login_refused()
    except (LoginExpired, Unauthenticated, NotAllowed) as error:
        return login_refused(error)
    return await _signed_in(call, result)


async def _signed_in(call: Call, result: LoginResult) -> dict[str, Any]:
    me = await call.services.account.me(result.user_id)
    return {
        "status": "success",
        "data": {"userId": result.user_id, "authToken": result.token, "me": me},
    }


@routes.get("logout")
@routes.post("logout")
async def logout(call: Call) -> dict[str, Any]:
    """End the token of this call, everywhere."""
    await end_token(call)
    return {"status": "success", "data": {"message": "You've been logged out!"}}


async def end_token(call: Call) -> None:
    """End the token of this call."""
    await call.services.account.logout(call.user_id, call.identity.hashed_token)
    # Here at once; other gateways hear of it by the event.
    call.door.authentication.forget(call.user_id)


@routes.get("me")
async def me(call: Call) -> dict[str, Any]:
    """The caller."""
    return await call.services.account.me(call.user_id)


@routes.post("users.removeOtherTokens")
async def remove_other_tokens(call: Call) -> None:
    """Sign the caller out everywhere but here."""
    await call.services.account.remove_other_tokens(call.user_id, call.identity.hashed_token)
    call.door.authentication.forget(call.user_id)


def not_twice(call: Call) -> None:
    """Raises: PlainRefusal: the caller has an account already."""
    if call.caller is not None:
        raise PlainRefusal("Logged in users can not register again.")
