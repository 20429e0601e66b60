"""Conformance: second factors, personal tokens and profiles over DDP."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Anonymous, NewUser, SignIn
from tests.conformance.ddp import CallFailed, Ddp
from tests.conformance.factor import App, code_for, enrolled
from tests.conformance.rest import PASSWORD, Rest, User

pytestmark = pytest.mark.conformance


async def code_of(call: Any) -> Any:
    with pytest.raises(CallFailed) as refused:
        await call
    return refused.value.code


def by_password(user: User, password: str = PASSWORD) -> dict[str, Any]:
    digest = hashlib.sha256(password.encode()).hexdigest()
    return {
        "user": {"username": user.username},
        "password": {"digest": digest, "algorithm": "sha-256"},
    }


async def sign_in_with(client: Ddp, user: User, code: str) -> dict[str, Any]:
    login = {"totp": {"code": code, "login": by_password(user)}}
    result: dict[str, Any] = await client.call("login", login)
    return result


async def test_040_totp(anonymous: Anonymous, sign_in: SignIn, new_user: NewUser) -> None:
    """Enrolled, asked for, each code once, the window, and the end of it by a code."""
    user = await new_user()
    client = await sign_in(user)
    begun = await client.call("2fa:enable")
    assert re.match(rf"otpauth://totp/[^:]+:{user.username}\?secret=", begun["url"])
    assert await code_of(client.call("2fa:validateTempToken", "000000")) == "invalid-totp"
    assert await code_of(client.call("2fa:checkCodesRemaining")) == "invalid-totp"
    secret = begun["secret"]
    confirmed = await client.call("2fa:validateTempToken", code_for(secret, steps_ahead=-1))
    app = App(secret, confirmed["codes"])
    assert len(set(app.recovery)) == 10
    assert await code_of(client.call("2fa:enable")) == "error-2fa-already-enabled"
    assert await client.call("2fa:checkCodesRemaining") == {"remaining": 10}

    stranger = await anonymous()
    with pytest.raises(CallFailed) as refused:
        await stranger.call("login", by_password(user))
    assert refused.value.error == {
        "isClientSafe": True,
        "error": "totp-required",
        "reason": "TOTP Required",
        "message": "TOTP Required [totp-required]",
        "errorType": "Meteor.Error",
        "details": {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]},
    }
    old = code_for(secret, steps_ahead=-1)  # used for the enrolment
    assert await code_of(sign_in_with(stranger, user, old)) == "totp-invalid"
    far = code_for(secret, steps_ahead=3)
    assert await code_of(sign_in_with(stranger, user, far)) == "totp-invalid"
    first = app.code()
    result = await sign_in_with(stranger, user, first)
    assert result["id"] == user.id
    other = await anonymous()
    assert await code_of(sign_in_with(other, user, first)) == "totp-invalid"
    await other.call("login", {"resume": result["token"]})  # a token was made behind it

    assert await client.call("2fa:disable", "000000") is False
    assert await client.call("2fa:disable", app.code()) is True
    assert await client.call("2fa:disable", app.recovery[0]) is False
    third = await anonymous()
    await third.call("login", by_password(user))


async def test_040_enabling_ends_other_sessions(
    rest: Rest, sign_in: SignIn, new_user: NewUser
) -> None:
    """Whoever was signed in before may not have known the second factor; personal tokens stay."""
    user = await new_user()
    personal = (await rest.post("users.generatePersonalAccessToken", user, tokenName="p"))["token"]
    client, other = await sign_in(user), await sign_in(user)
    await enrolled(client)

    assert await other.closed(within=10.0) == 1008
    assert (await rest.ask("GET", "/api/v1/me", user=user)).status == 401
    await client.call("2fa:checkCodesRemaining")
    await rest.get("me", User(user.id, user.username, "", personal))


async def test_040_recovery_codes(anonymous: Anonymous, sign_in: SignIn, new_user: NewUser) -> None:
    """Each works once; new ones replace all of them, for a code."""
    user = await new_user()
    client = await sign_in(user)
    app = await enrolled(client)
    stranger = await anonymous()
    await sign_in_with(stranger, user, app.recovery[0])
    assert await code_of(sign_in_with(stranger, user, app.recovery[0])) == "totp-invalid"
    assert await client.call("2fa:checkCodesRemaining") == {"remaining": 9}
    assert await code_of(client.call("2fa:regenerateCodes", "000000")) == "invalid-totp"
    codes = (await client.call("2fa:regenerateCodes", app.code()))["codes"]
    assert len(codes) == 10
    assert await code_of(sign_in_with(stranger, user, app.recovery[1])) == "totp-invalid"
    await sign_in_with(stranger, user, codes[0])


async def test_040_guessing_codes(anonymous: Anonymous, sign_in: SignIn, new_user: NewUser) -> None:
    """Five wrong ones, then no further one is even looked at."""
    user = await new_user()
    app = await enrolled(await sign_in(user))
    stranger = await anonymous()
    for number in range(5):
        assert await code_of(sign_in_with(stranger, user, f"{number:06}")) == "totp-invalid"
    assert await code_of(sign_in_with(stranger, user, app.code())) == "totp-max-attempts"
    assert await code_of(sign_in_with(stranger, user, app.recovery[0])) == "totp-max-attempts"


async def test_sensitive_methods(sign_in: SignIn, new_user: NewUser) -> None:
    """Refused without the factor; `callWithTwoFactorRequired` brings it along."""
    user = await new_user()
    client = await sign_in(user)
    await client.call("personalAccessTokens:generateToken", {"tokenName": "before"})
    app = await enrolled(client)
    generate = "personalAccessTokens:generateToken"
    assert await code_of(client.call(generate, {"tokenName": "bot"})) == "totp-required"
    wrapped = {
        "code": "000000",
        "method": "totp",
        "ddpMethod": generate,
        "params": [{"tokenName": "bot"}],
    }
    assert await code_of(client.call("callWithTwoFactorRequired", wrapped)) == "totp-invalid"
    made = await client.call("callWithTwoFactorRequired", wrapped | {"code": app.code()})
    assert len(made) == 43
    await client.call("personalAccessTokens:removeToken", {"tokenName": "bot"})  # remembered
    unknown = wrapped | {"ddpMethod": "no/such", "code": "1"}
    assert await code_of(client.call("callWithTwoFactorRequired", unknown)) == 404


async def test_personal_tokens(rest: Rest, sign_in: SignIn, new_user: NewUser) -> None:
    """Made, replaced with the same right to skip the factor, removed."""
    user = await new_user()
    client = await sign_in(user)
    first = await client.call(
        "personalAccessTokens:generateToken", {"tokenName": "bot", "bypassTwoFactor": True}
    )
    second = await client.call("personalAccessTokens:regenerateToken", {"tokenName": "bot"})
    assert first != second
    (listed,) = (await rest.get("users.getPersonalAccessTokens", user))["tokens"]
    assert (listed["bypassTwoFactor"], listed["lastTokenPart"]) == (True, second[-6:])
    assert await client.call("personalAccessTokens:removeToken", {"tokenName": "bot"}) is None
    gone = client.call("personalAccessTokens:removeToken", {"tokenName": "bot"})
    assert await code_of(gone) == "error-token-does-not-exists"


async def test_profile(anonymous: Anonymous, sign_in: SignIn, new_user: NewUser) -> None:
    """Changed as REST does it; the present password for what matters."""
    user = await new_user()
    client = await sign_in(user)
    assert await client.call("saveUserProfile", {"realname": "New", "bio": "b"}, {}) is True
    await client.wait(msg="changed", collection="users", id=user.id)
    address = {"email": f"{random_id(8).lower()}@example.org"}
    assert await code_of(client.call("saveUserProfile", address, {})) == "totp-required"
    typed = hashlib.sha256(PASSWORD.encode()).hexdigest()
    assert await client.call("saveUserProfile", address | {"typedPassword": typed}, {}) is True

    assert await client.call("saveUserPreferences", {"useEmojis": False}) is True
    assert await code_of(client.call("saveUserPreferences", {"$where": 1})) == "invalid-params"
    assert await client.call("userSetUtcOffset", -3.5) is None
    assert await code_of(client.call("userSetUtcOffset", 99)) == 400
    suggested = await client.call("getUsernameSuggestion")
    assert isinstance(suggested, str)
    stranger = await anonymous()
    assert await stranger.call("sendConfirmationEmail", "nobody@example.org") is True
    assert await stranger.call("checkRegistrationSecretURL", "guess") is False
    assert await code_of(stranger.call("saveUserPreferences", {})) == "error-invalid-user"


async def test_own_password(
    rest: Rest, anonymous: Anonymous, sign_in: SignIn, new_user: NewUser
) -> None:
    """Every other login ends within two seconds; this socket stays."""
    user = await new_user()
    client, other = await sign_in(user), await sign_in(user)
    assert await code_of(client.call("setUserPassword", "short")) == (
        "error-password-policy-not-met"
    )
    assert await client.call("setUserPassword", "another long one") is True

    assert await other.closed(within=10.0) == 1008
    assert (await rest.ask("GET", "/api/v1/me", user=user)).status == 401
    await client.call("getUsernameSuggestion")
    stranger = await anonymous()
    assert await code_of(stranger.call("login", by_password(user))) == 403
    await stranger.call("login", by_password(user, "another long one"))
