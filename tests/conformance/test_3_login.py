"""Conformance: login and tokens. Tests are named after the checklist's numbers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import bcrypt
import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance


def digest(password: str) -> dict[str, str]:
    return {"digest": hashlib.sha256(password.encode()).hexdigest(), "algorithm": "sha-256"}


async def test_030_every_way_to_log_in(anonymous: Anonymous, ana: User) -> None:
    """By token, digest, plain text; by name, address, id; with a text as user."""
    address = f"{ana.username}@example.org"
    for parameters in (
        {"resume": ana.token},
        {"user": {"username": ana.username}, "password": digest(ana.password)},
        {"user": {"email": address}, "password": digest(ana.password)},
        {"user": {"id": ana.id}, "password": digest(ana.password)},
        {"user": {"username": ana.username.upper()}, "password": digest(ana.password)},
        {"user": {"username": ana.username}, "password": ana.password},
        {"user": ana.username, "password": digest(ana.password)},
        {"user": address, "password": digest(ana.password)},
    ):
        client = await anonymous()
        assert (await client.call("login", parameters))["id"] == ana.id, parameters


async def test_030_a_second_login_as_somebody_else(sign_in: SignIn, ana: User, bo: User) -> None:
    """The former user's subscriptions end, and so does what the client has of that account."""
    client = await sign_in(ana)
    subscription = await client.subscribe("stream-notify-user", f"{ana.id}/message", False)
    await client.login(bo.username, bo.password)

    await client.wait(msg="nosub", id=subscription)
    await client.wait(msg="removed", collection="users", id=ana.id)
    await client.wait(msg="added", collection="users", id=bo.id)
    await client.subscribe("stream-notify-user", f"{bo.id}/message", False)


async def test_031_the_result_is_complete(anonymous: Anonymous, ana: User) -> None:
    """A missing expiry ends one client's login; a resumed token comes back as it was."""
    client = await anonymous()
    result = await client.call("login", {"resume": ana.token})

    assert set(result) == {"id", "token", "tokenExpires", "type"}
    assert result["token"] == ana.token
    assert isinstance(result["tokenExpires"]["$date"], int)
    assert result["type"] == "resume"


async def test_032_rest_takes_the_same_token(rest: Rest, sign_in: SignIn, ana: User) -> None:
    """One kind of token for both doors."""
    client = await sign_in(ana)
    same = User(ana.id, ana.username, ana.password, client.token)

    assert (await rest.get("me", same))["_id"] == ana.id


async def test_033_accounts_that_a_tool_wrote(anonymous: Anonymous, database: Database) -> None:
    """The official load tester puts its users straight into the database, with ready hashes."""
    name = f"rocketchat.internal.admin.{random_id(6).lower()}"
    hashed = bcrypt.hashpw(digest("performance")["digest"].encode(), bcrypt.gensalt(10))
    assert hashed.startswith(b"$2b$10$")
    now = datetime.now(UTC).isoformat()
    await database["users"].insert_one(
        {
            "_id": f"{name}-id",
            "createdAt": now,
            "services": {
                "password": {"bcrypt": hashed.decode()},
                "email2fa": {"enabled": False},
                "resume": {"loginTokens": []},
            },
            "username": name,
            "emails": [{"address": f"{name}@example.org", "verified": False}],
            "type": "user",
            "status": "offline",
            "active": True,
            "_updatedAt": now,
            "roles": ["user"],
            "name": name,
            "lastLogin": now,
            "statusConnection": "offline",
            "utcOffset": 0,
            "__rooms": ["GENERAL"],
        }
    )
    client = await anonymous()
    with pytest.raises(CallFailed) as caught:
        await client.login(name, "another")

    assert caught.value.code == 403
    result = await client.login(name, "performance")
    assert result["id"] == f"{name}-id"
    again = await anonymous()
    assert (await again.call("login", {"resume": result["token"]}))["id"] == f"{name}-id"
    assert isinstance(await again.call("subscriptions/get"), list)


async def test_034_wrong_user_and_wrong_password_look_alike(
    anonymous: Anonymous, ana: User
) -> None:
    """The answer does not tell which of the two it was."""
    errors = []
    for name in (ana.username, "nobody-at-all"):
        client = await anonymous()
        with pytest.raises(CallFailed) as caught:
            await client.login(name, "wrong password")
        errors.append(caught.value.error)

    assert errors[0] == errors[1]
    assert errors[0]["error"] == 403
    assert errors[0]["reason"] == "User not found or incorrect password"


async def test_035_an_unknown_token(anonymous: Anonymous) -> None:
    """The text that makes one client forget its token."""
    client = await anonymous()
    with pytest.raises(CallFailed) as caught:
        await client.call("login", {"resume": "x" * 43})

    assert caught.value.code == 403
    reason = "You've been logged out by the server. Please log in again."
    assert caught.value.error["reason"] == reason


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        pytest.param({}, "Unrecognized options for login request", id="nothing"),
        pytest.param({"ldap": True}, "Unrecognized options for login request", id="other way"),
        pytest.param({"resume": {"$ne": None}}, "Match failed", id="operator as token"),
        pytest.param(
            {"user": {"username": {"$gt": ""}}, "password": "x"}, "Match failed", id="operator"
        ),
        pytest.param({"user": {"username": "a"}, "password": 7}, "Match failed", id="number"),
    ],
)
async def test_035_malformed_logins(
    anonymous: Anonymous, parameters: dict[str, Any], reason: str
) -> None:
    """Refused as malformed, never looked up."""
    client = await anonymous()
    with pytest.raises(CallFailed) as caught:
        await client.call("login", parameters)

    assert (caught.value.code, caught.value.error["reason"]) == (400, reason)
    await client.settle()


async def test_036_the_own_document_comes_before_the_result(sign_in: SignIn, ana: User) -> None:
    """And holds nothing but what the client may keep."""
    client = await sign_in(ana)

    document = client.find(msg="added", collection="users")
    assert document is not None
    assert document["id"] == ana.id
    assert set(document["fields"]) <= {"username", "name", "emails"}
    result = client.find(msg="result")
    assert result is not None
    assert client.frames.index(document) < client.frames.index(result)


async def test_037_logout_keeps_the_socket(
    rest: Rest, sign_in: SignIn, anonymous: Anonymous, ana: User
) -> None:
    """The token is gone, the subscriptions end, the socket goes on."""
    client = await sign_in(ana)
    subscription = await client.subscribe("stream-notify-user", f"{ana.id}/message", False)
    token = client.token
    assert await client.call("logout") is None

    assert await client.wait(msg="nosub", id=subscription) == {"msg": "nosub", "id": subscription}
    await client.settle()
    other = await anonymous()
    with pytest.raises(CallFailed):
        await other.call("login", {"resume": token})
    with pytest.raises(CallFailed) as caught:
        await client.call("getUserRoles")
    assert caught.value.code == "error-invalid-user"


async def test_038_only_the_revoked_session_ends(rest: Rest, sign_in: SignIn, ana: User) -> None:
    """Its socket is told and closed; the user's other one is not."""
    first, second = await sign_in(ana), await sign_in(ana)
    await first.subscribe("stream-notify-user", f"{ana.id}/force_logout", False)
    await rest.post("logout", User(ana.id, ana.username, ana.password, first.token))

    assert await first.closed() == 1008
    assert first.events("notify-user", f"{ana.id}/force_logout")
    await second.settle()
    assert await second.call("license:isEnterprise") is False


async def test_039_guessing_is_stopped(
    anonymous: Anonymous, database: Database, ana: User, bo: User
) -> None:
    """The eleventh attempt is refused whatever it says; when the time is over the right one
    works. Nobody else notices."""
    codes: list[Any] = []
    client = await anonymous()
    for _ in range(10):
        with pytest.raises(CallFailed) as caught:
            await client.login(ana.username, "a guess")
        codes.append(caught.value.code)
    with pytest.raises(CallFailed) as caught:
        await client.login(ana.username, ana.password)

    assert codes == [403] * 10
    assert caught.value.code == "error-login-blocked-for-user"
    assert caught.value.error["reason"] == "Login has been temporarily blocked For User"
    other = await anonymous()
    await other.login(bo.username, bo.password)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    blocks = database["hubbub_login_failures"]
    moved = await blocks.update_many(
        {"_id": {"$regex": "^user:"}, "blockedUntil": {"$gt": datetime.now(UTC)}},
        {"$set": {"blockedUntil": long_ago}},
    )
    assert moved.modified_count == 1
    assert (await client.login(ana.username, ana.password))["id"] == ana.id


async def test_072_accounts_are_not_made_this_way(anonymous: Anonymous) -> None:
    """The old method of account frameworks has its own refusal."""
    client = await anonymous()
    with pytest.raises(CallFailed) as caught:
        await client.call("createUser", {"username": "x", "email": "x@example.org"})

    assert (caught.value.code, caught.value.error["reason"]) == (403, "Signups forbidden")


async def test_072_nobody_signed_in(anonymous: Anonymous) -> None:
    """A method that needs a user names itself."""
    client = await anonymous()
    with pytest.raises(CallFailed) as caught:
        await client.call("sendMessage", {"rid": "GENERAL", "msg": "x"})

    assert caught.value.error["error"] == "error-invalid-user"
    assert caught.value.error["reason"] == "Invalid user"
    assert caught.value.error["details"] == {"method": "sendMessage"}
