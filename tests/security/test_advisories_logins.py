"""Advisories about who somebody is: passwords, tokens, second factors, other login services.

One test for each; the mistake was made in another product, and is tried on this one. Each shows
as well that the same call of the rightful user works.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import pytest

from hubbub.doors.methods import METHODS
from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, NewUser, Running, SignIn
from tests.conformance.ddp import CallFailed, opened
from tests.conformance.factor import enrolled
from tests.conformance.rest import PASSWORD, Rest, User
from tests.conformance.test_login_doors import UNKNOWN, Door
from tests.corpus import operators
from tests.security.attacker import Attacker
from tests.security.calls import MethodCall

pytestmark = pytest.mark.conformance

OPERATORS: Final[tuple[Any, ...]] = (
    {"$ne": None},
    {"$gt": ""},
    {"$regex": "^"},
    {"$in": ["x"]},
    {"$exists": True},
    {"$where": "true"},
    [{"$ne": None}],
    [],
    True,
    0,
)

OTHER_SERVICES: Final[tuple[dict[str, Any], ...]] = (
    {"ldap": True, "ldapOptions": {}},
    {"cas": {"credentialToken": "x"}},
    {"saml": True, "credentialToken": "x"},
    {"oauth": {"credentialToken": "x", "credentialSecret": "y"}},
    {"crowd": True, "crowdPassword": "x"},
    {"iframe": True, "token": "x"},
    {"serviceName": "google", "accessToken": "x", "idToken": "e30.e30.", "expiresIn": 3600},
    {"serviceName": "apple", "identityToken": "eyJhbGciOiJub25lIn0.e30.", "fullName": {}},
    {"identityToken": "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."},
    {"guest": True},
    {"email": "x@example.org", "srp": {"A": "x"}},
)
"""How clients of the original sign in by services that are not offered here."""


async def by_all_doors(
    rest: Rest, anonymous: Anonymous, parameters: dict[str, Any]
) -> dict[str, Any]:
    """What comes of signing in with `parameters`: None, if it was refused."""
    found: dict[str, Any] = {}
    client = await anonymous()
    try:
        found["socket"] = await client.call("login", parameters)
    except CallFailed:
        found["socket"] = None
    envelope = {"msg": "method", "id": "1", "method": "login", "params": [parameters]}
    answer = await rest.post("method.callAnon/login", None, message=json.dumps(envelope))
    found["method.callAnon"] = json.loads(answer["message"]).get("result")
    by_rest = await rest.ask("POST", "/api/v1/login", body=parameters)
    found["REST"] = by_rest.body.get("data") if by_rest.status == 200 else None
    return found


NO_DOOR: Final = {"socket": None, "method.callAnon": None, "REST": None}


async def test_cve_2026_28514_wrong_credentials(
    doors: dict[str, Door],
    rest: Rest,
    anonymous: Anonymous,
    database: Database,
    ana: User,
    bo: User,
) -> None:
    """Neither another password, nor what the database keeps of the password or the token, nor
    somebody else's token opens a door."""
    stored = await database["users"].find_one({"_id": ana.id})
    assert stored is not None
    bcrypt = stored["services"]["password"]["bcrypt"]
    hashed_token = stored["services"]["resume"]["loginTokens"][0]["hashedToken"]
    for name, door in doors.items():
        for wrong in ("wrong", bcrypt, hashlib.sha256(PASSWORD.encode()).hexdigest()):
            assert await door(ana, wrong, None) in UNKNOWN, (name, wrong)
        assert len(await door(ana, PASSWORD, None)) == 43, name
    for digest in (bcrypt, "", PASSWORD):
        login = {
            "user": {"username": ana.username},
            "password": {"digest": digest, "algorithm": "sha-256"},
        }
        assert await by_all_doors(rest, anonymous, login) == NO_DOOR, digest
        await database["hubbub_login_failures"].delete_many({"_id": {"$regex": "^user:"}})
    for token in (hashed_token, ana.token[:-1], ana.token.swapcase(), "", " ", "undefined"):
        assert await by_all_doors(rest, anonymous, {"resume": token}) == NO_DOOR, token
        thief = User(ana.id, ana.username, "", token)
        assert (await rest.ask("GET", "/api/v1/me", user=thief)).status == 401, token
    crossed = User(ana.id, ana.username, "", bo.token)
    assert (await rest.ask("GET", "/api/v1/me", user=crossed)).status == 401
    found = await by_all_doors(rest, anonymous, {"resume": ana.token})
    assert all(found.values()), found
    assert (await rest.get("me", ana))["_id"] == ana.id


async def test_cve_2026_30831_no_door_skips_a_check(
    doors: dict[str, Door],
    hubbub: Running,
    rest: Rest,
    anonymous: Anonymous,
    sign_in: SignIn,
    admin: User,
    new_user: NewUser,
) -> None:
    """Deactivated, or without the second factor: by password, by token, by session."""
    user, guarded = await new_user("gone"), await new_user("guarded")
    client = await sign_in(user)
    await enrolled(await sign_in(guarded))
    for name, door in doors.items():
        assert await door(guarded, PASSWORD, None) == "totp-required", name
        assert len(await door(user, PASSWORD, None)) == 43, name
    await rest.post("users.setActiveStatus", admin, userId=user.id, activeStatus=False)

    for name, door in doors.items():
        assert await door(user, PASSWORD, None) == "error-user-is-not-activated", name
    assert await by_all_doors(rest, anonymous, {"resume": user.token}) == NO_DOOR
    assert (await rest.ask("GET", "/api/v1/me", user=user)).status == 401
    assert await client.closed(within=10.0) == 1008
    async with opened(hubbub.websocket, handshake=False) as again:
        await again.connect(client.session)
        with pytest.raises(CallFailed) as refused:
            await again.call("getUserRoles")
        assert refused.value.code == "error-invalid-user"


async def test_cve_2021_22911_operators_before_a_login(
    hubbub: Running, rest: Rest, anonymous: Anonymous, ana: User
) -> None:
    """In every parameter of every method and endpoint that nobody has to sign in for."""
    methods = [one for one in METHODS.values() if one.anonymous]
    attacker = Attacker(rest._session, hubbub.url, None)
    cases = list(operators.of_methods(methods))
    assert {case.sent["method"] for case in cases} >= {"registerUser", "loadHistory"}
    for case in cases:
        call = MethodCall(case.sent["method"], case.sent["params"], True, True, False)
        said = await attacker.method(call)
        assert said.code is not None or '"result": {}' in said.text or _is_empty(said.text), said
    for endpoint, names in (
        ("users.forgotPassword", ("email",)),
        ("users.2fa.sendEmailCode", ("emailOrUsername",)),
        ("validateInviteToken", ("token",)),
        ("users.register", ("username", "email", "pass", "name", "secretURL")),
        ("login", ("user", "username", "email", "password", "resume", "code")),
    ):
        good = {"username": f"x-{random_id(6)}", "email": "x@example.org", "pass": PASSWORD}
        for name in names:
            for operator in OPERATORS[:6]:
                body = {**(good if endpoint == "users.register" else {}), name: operator}
                answer = await rest.ask("POST", f"/api/v1/{endpoint}", body=body)
                assert answer.status in (400, 401), (endpoint, body, answer)
    assert (await rest.get("me", ana))["_id"] == ana.id


def _is_empty(text: str) -> bool:
    """Dates that are none mean "from the beginning"; what there is for nobody comes back."""
    result = json.loads(text).get("result")
    return result is False or isinstance(result, list) or set(result or {}) <= {"update", "remove"}


async def test_cve_2026_45688_operators_as_credentials(
    rest: Rest, anonymous: Anonymous, ana: User
) -> None:
    """In every field of every way to sign in, offered or not, and in the headers of REST."""
    digest = {"digest": hashlib.sha256(PASSWORD.encode()).hexdigest(), "algorithm": "sha-256"}
    for value in OPERATORS:
        for parameters in (
            {"resume": value},
            {"user": value, "password": digest},
            {"user": {"username": value}, "password": digest},
            {"user": {"email": value}, "password": digest},
            {"user": {"id": value}, "password": digest},
            {"user": {"username": ana.username}, "password": value},
            {"user": {"username": ana.username}, "password": {**digest, "digest": value}},
            {"cas": {"credentialToken": value}},
            {"oauth": {"credentialToken": value, "credentialSecret": value}},
            {"saml": True, "credentialToken": value},
            {"iframe": True, "token": value},
            {"totp": {"code": value, "login": {"resume": value}}},
        ):
            assert await by_all_doors(rest, anonymous, parameters) == NO_DOOR, parameters
    for text in ('{"$ne":null}', "[$ne]", "$ne", "*"):
        thief = User(ana.id, ana.username, "", text)
        assert (await rest.ask("GET", "/api/v1/me", user=thief)).status == 401
        thief = User(text, ana.username, "", ana.token)
        assert (await rest.ask("GET", "/api/v1/me", user=thief)).status == 401
    login = {"user": {"username": ana.username}, "password": digest}
    assert all((await by_all_doors(rest, anonymous, login)).values())


async def test_cve_2022_35248_another_service_skips_no_factor(
    rest: Rest, anonymous: Anonymous, sign_in: SignIn, new_user: NewUser
) -> None:
    """A right password with the name of another service beside it still needs the code."""
    user = await new_user()
    app = await enrolled(await sign_in(user))
    digest = {"digest": hashlib.sha256(PASSWORD.encode()).hexdigest(), "algorithm": "sha-256"}
    password = {"user": {"username": user.username}, "password": digest}
    for service in OTHER_SERVICES[:8]:  # the others are no services beside a password
        for parameters in ({**password, **service}, {**service, "user": user.username}):
            assert await by_all_doors(rest, anonymous, parameters) == NO_DOOR, parameters
    for code in ("", "0", None):
        nested = {"totp": {"code": code, "login": {**password, "ldap": True}}}
        assert await by_all_doors(rest, anonymous, nested) == NO_DOOR
    with_code = {"totp": {"code": app.recovery.pop(), "login": password}}
    client = await anonymous()
    assert (await client.call("login", with_code))["id"] == user.id


async def test_cve_2023_28316_a_new_factor_ends_other_sessions(
    hubbub: Running, rest: Rest, anonymous: Anonymous, sign_in: SignIn, new_user: NewUser
) -> None:
    """Sockets, tokens of REST, and sessions that could be taken up again."""
    user = await new_user()
    mine, stolen = await sign_in(user), await sign_in(user)
    assert (await rest.get("me", user))["_id"] == user.id
    await enrolled(mine)

    assert await stolen.closed(within=10.0) == 1008
    for token in (stolen.token, user.token):
        assert await by_all_doors(rest, anonymous, {"resume": token}) == NO_DOOR
        thief = User(user.id, user.username, "", token)
        assert (await rest.ask("GET", "/api/v1/me", user=thief)).status == 401
    async with opened(hubbub.websocket, handshake=False) as again:
        await again.connect(stolen.session)
        with pytest.raises(CallFailed):
            await again.call("getUserRoles")
    assert await mine.call("2fa:checkCodesRemaining") == {"remaining": 10}


async def test_cve_2026_55666_identity_tokens_are_taken_from_nobody(
    rest: Rest, anonymous: Anonymous, ana: User
) -> None:
    """There is no login by other services: no endpoint of theirs, no configuration, no token
    without signature that is believed."""
    assert (await rest.get("service.configurations"))["configurations"] == []
    assert (await rest.get("settings.oauth"))["services"] == []
    for service in OTHER_SERVICES:
        assert await by_all_doors(rest, anonymous, service) == NO_DOOR, service
    for path in ("_oauth/google", "_saml/authorize/x", "_cas/x", "oauth/token", "oauth/authorize"):
        for method in ("GET", "POST"):
            async with rest._session.request(method, f"{rest.url}/{path}") as answer:
                assert answer.status in (404, 405), path
    found = await by_all_doors(rest, anonymous, {"resume": ana.token})
    assert all(found.values())


async def test_cve_2020_28208_addresses_are_not_told(
    rest: Rest, anonymous: Anonymous, admin: User, ana: User
) -> None:
    """Nobody learns by asking for a password, a code or a confirmation who has an account."""
    taken, free = f"{ana.username}@example.org", f"{random_id(8)}@example.org"
    assert (await rest.get("users.info", admin, userId=ana.id))["user"]["emails"][0][
        "address"
    ] == taken
    for endpoint, name in (
        ("users.forgotPassword", "email"),
        ("users.2fa.sendEmailCode", "emailOrUsername"),
    ):
        answers = [
            await rest.ask("POST", f"/api/v1/{endpoint}", body={name: value})
            for value in (taken, free)
        ]
        assert answers[0].status == answers[1].status, endpoint
        assert answers[0].body == answers[1].body, endpoint
    client = await anonymous()
    confirmed = [await client.call("sendConfirmationEmail", one) for one in (taken, free)]
    assert confirmed[0] == confirmed[1]
    refusals = []
    for username in (ana.username, random_id(8)):
        with pytest.raises(CallFailed) as refused:
            await client.login(username, "wrong")
        refusals.append(refused.value.error)
    assert refusals[0] == refusals[1]
