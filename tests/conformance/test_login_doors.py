"""Conformance: whoever must not get in does not, whichever door is tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import bcrypt
import pytest

from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, NewUser, Running, SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.factor import App, enrolled
from tests.conformance.rest import PASSWORD, Rest, User

pytestmark = pytest.mark.conformance

Door = Callable[[User, str, str | None], Awaitable[Any]]
"""Tries a password and a code; a token, or what the refusal says."""


@pytest.fixture
def doors(rest: Rest, hubbub: Running, anonymous: Anonymous) -> dict[str, Door]:
    """Every way to sign in with a password."""

    def parameters(user: User, password: str, code: str | None) -> dict[str, Any]:
        digest = hashlib.sha256(password.encode()).hexdigest()
        login = {
            "user": {"username": user.username},
            "password": {"digest": digest, "algorithm": "sha-256"},
        }
        return login if code is None else {"totp": {"code": code, "login": login}}

    async def by_ddp(user: User, password: str, code: str | None) -> Any:
        client = await anonymous()
        try:
            return (await client.call("login", parameters(user, password, code)))["token"]
        except CallFailed as refused:
            return refused.code

    async def by_method_call(user: User, password: str, code: str | None) -> Any:
        call = {
            "msg": "method",
            "id": "1",
            "method": "login",
            "params": [parameters(user, password, code)],
        }
        answer = await rest.post("method.callAnon/login", None, message=json.dumps(call))
        result = json.loads(answer["message"])
        return result["error"]["error"] if "error" in result else result["result"]["token"]

    async def by_rest(user: User, password: str, code: str | None) -> Any:
        body = {"user": user.username, "password": password}
        if code is not None:
            body["code"] = code
        return _outcome(await rest.ask("POST", "/api/v1/login", body=body))

    async def by_form(user: User, password: str, code: str | None) -> Any:
        form = {"user": user.username, "password": password}
        headers = {} if code is None else {"X-2fa-code": code}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{hubbub.url}/api/v1/login", data=form, headers=headers) as answer,
        ):
            body = await answer.json()
            return body["data"]["authToken"] if answer.status == 200 else body["error"]

    def _outcome(answer: Any) -> Any:
        found = answer.body
        return found["data"]["authToken"] if answer.status == 200 else found["error"]

    return {"ddp": by_ddp, "method.call": by_method_call, "rest": by_rest, "form": by_form}


UNKNOWN = (403, "Unauthorized")  # what DDP and REST say to a wrong password


async def test_wrong_password(doors: dict[str, Door], ana: User) -> None:
    """By every door the same as somebody who does not exist; the right one opens each."""
    nobody = User("", "nobody-at-all", "", "")
    for name, door in doors.items():
        assert await door(ana, "wrong", None) in UNKNOWN, name
        assert await door(nobody, PASSWORD, None) in UNKNOWN, name
        assert await door(ana, "", "000000") not in (None, PASSWORD)
        assert len(await door(ana, PASSWORD, None)) == 43, name


async def test_deactivated(doors: dict[str, Door], rest: Rest, admin: User, ana: User) -> None:
    """The right password of an account that was switched off opens no door."""
    await rest.post("users.setActiveStatus", admin, userId=ana.id, activeStatus=False)
    for name, door in doors.items():
        assert await door(ana, PASSWORD, None) == "error-user-is-not-activated", name
        assert await door(ana, "wrong", None) in UNKNOWN, name


async def test_second_factor(doors: dict[str, Door], new_user: NewUser, sign_in: SignIn) -> None:
    """Asked for at every door; a wrong code and a used one open none."""
    user = await new_user()
    app = await enrolled(await sign_in(user))
    used: str | None = None
    for name, door in doors.items():
        assert await door(user, PASSWORD, None) == "totp-required", name
        if name in ("ddp", "rest"):  # five wrong ones would end the test
            assert await door(user, PASSWORD, "000000") == "totp-invalid", name
        assert await door(user, "wrong", app.recovery[0]) in UNKNOWN, name
        if used is not None:
            assert await door(user, PASSWORD, used) == "totp-invalid", name
        used = app.recovery.pop()
        assert len(await door(user, PASSWORD, used)) == 43, name


async def test_factor_of_another_user(
    doors: dict[str, Door], new_user: NewUser, sign_in: SignIn
) -> None:
    """A code of somebody else's app or list is no code."""
    one, two = await new_user(), await new_user()
    apps: list[App] = [await enrolled(await sign_in(user)) for user in (one, two)]
    for name, door in doors.items():
        assert await door(one, PASSWORD, apps[1].recovery[0]) == "totp-invalid", name


async def test_users_of_other_programs(doors: dict[str, Door], database: Database) -> None:
    """Written into the database without the flag that they may sign in: they may not."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    stored = bcrypt.hashpw(digest.encode(), bcrypt.gensalt(10)).decode()
    await database["users"].insert_one(
        {"_id": "half-made", "username": "half-made", "services": {"password": {"bcrypt": stored}}}
    )
    user = User("half-made", "half-made", "", "")
    for name, door in doors.items():
        assert await door(user, PASSWORD, None) == "error-user-is-not-activated", name
        assert await door(user, "wrong", None) in UNKNOWN, name
