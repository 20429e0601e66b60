"""Signing in and out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from hubbub.contracts.account import LoginExpired, LoginRefused, LoginResult
from hubbub.errors import HubbubError, NotAllowed, Unauthenticated
from services.gateway.rest.answers import Answer, InvalidParams, login_refused
from services.gateway.rest.asked import Asked, Word
from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes
from services.gateway.rest.validation import filled

routes = Routes()


class NoCredentials(HubbubError):
    """Nothing in the body says who wants to sign in."""

    status = 401


def _one(value: Any, info: ValidationInfo) -> Any:
    """Forms give a list where a name stands twice; the last one counts."""
    is_textual = bool(info.context and info.context.get("textual"))
    return value[-1] if isinstance(value, list) and is_textual and value else value


TextOrObject = Annotated[str | dict[str, Any] | None, BeforeValidator(_one)]


Ignorable = Annotated[Any, BeforeValidator(_one), WithJsonSchema({"type": "string"})]


class SignIn(Asked):
    """Who wants to sign in: by `resume`, or by one of the names and a password."""

    resume: Word | None = None
    """A token of an earlier sign-in, or a personal access token."""
    user: TextOrObject = None
    """A username, an address, or an object with `username`, `email` or `id`."""
    username: Ignorable = None
    email: Ignorable = None
    """Whatever stands there is only looked at when nothing comes before it."""
    password: TextOrObject = None
    """The password, or its SHA-256: `{"digest", "algorithm": "sha-256"}`."""
    hashed: Word | None = None
    """The SHA-256 of the password in hex."""
    code: Word | None = None
    """A second factor."""


class _Named(Asked):
    username: Word | None = None
    email: Word | None = None
    id: Word | None = None


class _Digest(Asked):
    digest: Word | None = None
    hashed: Word | None = None
    algorithm: Word | None = None


def credentials(asked: SignIn, code: str | None = None) -> dict[str, Any]:
    """The login parameters in a REST body, in the form that DDP has for them.

    `user`, `username` and `email` are looked at in this order. A one-time `code` may stand in
    the body or be given.

    Raises: NoCredentials: nobody is named; InvalidParams: a value of a wrong type.
    """
    if asked.resume:
        return {"resume": asked.resume}
    found: dict[str, Any] = {"user": _user(asked), "password": _password(asked)}
    code = asked.code or code
    return {"totp": {"code": code, "login": found}} if code else found


def _user(asked: SignIn) -> str | dict[str, str]:
    user = asked.user
    if isinstance(user, dict):
        named = filled(_Named, user)
        for key in ("username", "email", "id"):
            if value := getattr(named, key):
                return {key: value}
    elif user:
        return user
    for key in ("username", "email"):
        value = getattr(asked, key)
        if value and not isinstance(value, str):
            raise InvalidParams("must be string")
        if value:
            return {key: value}
    raise NoCredentials


def _password(asked: SignIn) -> str | dict[str, str]:
    if asked.hashed:
        return {"digest": asked.hashed, "algorithm": "sha-256"}
    password = asked.password
    if isinstance(password, dict):
        inner = filled(_Digest, password)
        digest = inner.digest or inner.hashed
        if not digest:
            raise InvalidParams("must have required property 'digest'")
        return {"digest": digest, "algorithm": inner.algorithm or "sha-256"}
    if not password:
        raise NoCredentials
    return password


@routes.post("login", access="anonymous")
async def login(call: Call, asked: SignIn) -> Answer | dict[str, Any]:
    """Sign in by name, address or token; a new token each time, except for a token."""
    try:
        parameters = credentials(asked, call.headers.get("X-2fa-code") or None)
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
