"""Conformance: accounts, profiles, preferences and tokens over REST, with the exact words."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import NewUser, SignIn
from tests.conformance.factor import enrolled, showing
from tests.conformance.rest import PASSWORD, Answer, Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

FORBIDDEN = {
    "success": False,
    "error": "User does not have the permissions required for this action [error-unauthorized]",
    "errorType": "error-unauthorized",
}


async def post(rest: Rest, endpoint: str, user: User | None = None, **body: Any) -> Answer:
    return await rest.ask("POST", f"/api/v1/{endpoint}", user=user, body=body)


async def refusal(
    rest: Rest, endpoint: str, user: User | None = None, **body: Any
) -> tuple[str, str | None]:
    """The text and code of a call that is refused with 400."""
    answer = await post(rest, endpoint, user, **body)
    assert (answer.status, answer.body["success"]) == (400, False), answer
    return answer.body["error"], answer.body.get("errorType")


def fresh(prefix: str = "new") -> str:
    return f"{prefix}-{random_id(8).lower()}"


def account(chosen: str, **changes: Any) -> dict[str, Any]:
    return {
        "username": chosen,
        "name": chosen.title(),
        "email": f"{chosen}@example.org",
        "password": PASSWORD,
    } | changes


# -- making accounts ----------------------------------------------------------------------------


async def test_register(rest: Rest, ana: User) -> None:
    """Each refusal in its own words; the password is none of the commonest."""
    name = fresh()
    body = {"username": name, "name": "N", "email": f"{name}@example.org", "pass": PASSWORD}

    made = await rest.post("users.register", None, **body)
    assert made["user"]["username"] == name
    assert "services" not in made["user"]
    other = fresh()
    taken = body | {"email": f"{other}@example.org"}
    assert await refusal(rest, "users.register", None, **taken) == (
        "Username is already in use",
        None,
    )
    same_address = body | {"username": other}
    assert (await refusal(rest, "users.register", None, **same_address))[0] == (
        "Email already exists. [403]"
    )
    assert await refusal(rest, "users.register", ana, **body) == (
        "Logged in users can not register again.",
        None,
    )
    new = body | {"username": other, "email": f"{other}@example.org"}
    for change, code in (
        ({"email": "no address"}, "error-invalid-email"),
        ({"pass": "short"}, "error-password-policy-not-met"),
        ({"pass": "Password1"}, "error-password-policy-not-met"),
        ({"pass": hashlib.sha256(b"password1").hexdigest()}, "error-password-policy-not-met"),
        ({"pass": "x" * 129}, "error-password-policy-not-met"),
        ({"username": "a b"}, "username-invalid"),
        ({"username": None}, "invalid-params"),
    ):
        assert (await refusal(rest, "users.register", None, **new | change))[1] == code, change


async def test_create(rest: Rest, admin: User, ana: User) -> None:
    """With everything; what is taken or wrong is named; nobody without the right."""
    name = fresh()
    made = await rest.post(
        "users.create",
        admin,
        **account(name, roles=["user", "bot"], verified=True, bio="hi", customFields={"a": "b"}),
    )

    user = made["user"]
    assert {"_id", "createdAt", "emails", "roles", "active", "type", "_updatedAt"} <= set(user)
    assert (user["roles"], user["emails"][0]["verified"]) == (["user", "bot"], True)
    taken = await post(rest, "users.create", admin, **account(name))
    assert taken.body["error"] == f"{name} is already in use :( [error-field-unavailable]"
    other = fresh()
    for change, text, code in (
        ({"email": "x"}, "Invalid email [error-invalid-email]", "error-invalid-email"),
        (
            {"username": "a b"},
            "a b is not a valid username [error-input-is-not-a-valid-field]",
            "error-input-is-not-a-valid-field",
        ),
        (
            {"roles": ["emperor"]},
            "Assigning this role is not allowed [error-action-not-allowed]",
            "error-action-not-allowed",
        ),
        ({"name": None}, "must have required property 'name' [invalid-params]", "invalid-params"),
    ):
        assert await refusal(rest, "users.create", admin, **account(other, **change)) == (
            text,
            code,
        )
    refused = await post(rest, "users.create", ana, **account(other))
    assert (refused.status, refused.body) == (403, FORBIDDEN)


async def test_names(rest: Rest, ana: User) -> None:
    """Whether a username is free, and one that is."""

    async def is_free(username: str) -> bool:
        answer = await rest.get("users.checkUsernameAvailability", ana, username=username)
        assert set(answer) == {"result", "success"}
        found: bool = answer["result"]
        return found

    assert await is_free(fresh())
    assert not await is_free(ana.username.upper())
    assert not await is_free("here")
    suggested = (await rest.get("users.getUsernameSuggestion", ana))["result"]
    assert await is_free(suggested)


async def test_what_a_server_without_mail_answers(rest: Rest, ana: User) -> None:
    """A forgotten password: the same for every address; a code by mail: refused for everybody."""
    known = await post(rest, "users.forgotPassword", email=f"{ana.username}@example.org")
    unknown = await post(rest, "users.forgotPassword", email="nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body) == (200, {"success": True})
    assert await refusal(rest, "users.forgotPassword") == ("The 'email' param is required", None)
    for name in (ana.username, "nobody"):
        text, code = await refusal(rest, "users.2fa.sendEmailCode", emailOrUsername=name)
        assert code == "error-email-not-configured"
        assert text == "This server has no way to send e-mail [error-email-not-configured]"
    assert (await refusal(rest, "users.2fa.enableEmail", ana))[1] == "error-email-not-configured"
    await rest.post("users.2fa.disableEmail", ana)


async def test_password_policy(rest: Rest) -> None:
    """What a form needs to know beforehand."""
    assert await rest.get("pw.getPolicy") == {
        "enabled": True,
        "policy": [
            ["get-password-policy-minLength", {"minLength": 8}],
            ["get-password-policy-maxLength", {"maxLength": 128}],
        ],
        "success": True,
    }


# -- seeing users -------------------------------------------------------------------------------


async def test_info(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Others see little, oneself and administrators everything; the exact words for nobody."""
    seen = (await rest.get("users.info", ana, username=bo.username))["user"]
    assert seen["canViewAllInfo"] is False
    assert set(seen) <= {
        "_id", "username", "name", "nickname", "type", "active", "status", "statusText",
        "utcOffset", "avatarETag", "bio", "customFields", "canViewAllInfo",
    }  # fmt: skip
    own = (await rest.get("users.info", bo, userId=bo.id, includeUserRooms="true"))["user"]
    assert own["canViewAllInfo"] is True
    assert {"emails", "roles", "createdAt", "lastLogin"} <= set(own)
    assert {"rid", "name", "t"} <= set(own["rooms"][0])
    whole = await rest.get("users.info", admin, userId=bo.id, fields='{"userRooms":1}')
    assert whole["user"]["canViewAllInfo"] is True
    assert whole["user"]["rooms"]
    assert (
        "rooms" not in (await rest.get("users.info", ana, userId=bo.id, includeUserRooms=1))["user"]
    )
    by_address = await rest.get("users.info", admin, email=f"{bo.username}@example.org")
    assert by_address["user"]["_id"] == bo.id
    for query in (
        {"username": "nobody-at-all"},
        {"userId": "nobody"},
        {"email": f"{bo.username}@example.org"},  # others' addresses are nobody's business
        {"importId": "x"},
    ):
        answer = await rest.ask("GET", "/api/v1/users.info", user=ana, query=query)
        assert (answer.status, answer.body) == (
            400,
            {"success": False, "error": "User not found."},
        )
    none = await rest.ask("GET", "/api/v1/users.info", user=ana)
    assert none.body == {"success": False, "error": "Invalid search query."}


async def test_list(rest: Rest, ana: User) -> None:
    """Paged, by username, with what clients read and nothing secret."""
    page = await rest.get("users.list", ana, count=2)

    assert (page["count"], page["offset"]) == (2, 0)
    assert page["total"] >= 2
    first = page["users"][0]
    assert {"_id", "username", "name", "status", "active", "roles", "type"} <= set(first)
    assert first["nameInsensitive"] == first["name"].lower()
    assert "emails" not in first
    refused = await rest.ask(
        "GET", "/api/v1/users.list", user=ana, query={"query": '{"roles":{"$gt":""}}'}
    )
    assert refused.body["errorType"] == "error-invalid-query"


async def test_autocomplete(rest: Rest, ana: User, bo: User) -> None:
    """By part of a name, without the exceptions; the selector is needed."""
    selector = f'{{"term":"{bo.username}","exceptions":[]}}'
    assert [
        item["_id"]
        for item in (await rest.get("users.autocomplete", ana, selector=selector))["items"]
    ] == [bo.id]
    without = f'{{"term":"{bo.username}","exceptions":["{bo.username}"]}}'
    assert (await rest.get("users.autocomplete", ana, selector=without))["items"] == []
    answer = await rest.ask("GET", "/api/v1/users.autocomplete", user=ana)
    assert answer.body == {"success": False, "error": "The 'selector' param is required"}


# -- changing accounts --------------------------------------------------------------------------


async def test_update(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """The harmless part of one's own; everything by an administrator; nothing of others."""
    own = await rest.post("users.update", ana, userId=ana.id, data={"name": "Anna"})
    assert own["user"]["name"] == "Anna"
    for user_id, data in (
        (bo.id, {"name": "x"}),
        (ana.id, {"email": "new@example.org"}),
        (ana.id, {"password": "another long one"}),
        (ana.id, {"roles": ["admin"]}),
        (ana.id, {"verified": True}),
    ):
        refused = await post(rest, "users.update", ana, userId=user_id, data=data)
        assert (refused.status, refused.body) == (403, FORBIDDEN), data
    changed = await rest.post(
        "users.update",
        admin,
        userId=bo.id,
        data={"email": f"x{bo.username}@example.org", "verified": True, "roles": ["user", "bot"]},
    )
    assert changed["user"]["emails"] == [
        {"address": f"x{bo.username}@example.org", "verified": True}
    ]
    assert changed["user"]["roles"] == ["user", "bot"]
    taken = await post(rest, "users.update", admin, userId=bo.id, data={"username": ana.username})
    assert taken.body["errorType"] == "error-field-unavailable"
    await rest.post("users.update", admin, userId=bo.id, data={"password": "another long one"})
    assert (await rest.ask("GET", "/api/v1/me", user=bo)).status == 401
    await rest.login(bo.username, "another long one")
    unknown = await post(rest, "users.update", admin, userId="nobody", data={"name": "x"})
    assert unknown.body["errorType"] == "error-invalid-user"


async def test_own_profile(rest: Rest, ana: User, bo: User) -> None:
    """A new address or password asks for the present one, as it is or as its SHA-256."""
    details = {"method": "password", "codeGenerated": False, "availableMethods": ["password"]}
    address = f"{fresh()}@example.org"

    missing = await post(rest, "users.updateOwnBasicInfo", ana, data={"email": address})
    assert (missing.status, missing.body) == (
        400,
        {
            "success": False,
            "error": "TOTP Required [totp-required]",
            "errorType": "totp-required",
            "details": details,
        },
    )
    wrong = {"email": address, "currentPassword": "wrong"}
    assert await refusal(rest, "users.updateOwnBasicInfo", ana, data=wrong) == (
        "TOTP Invalid [totp-invalid]",
        "totp-invalid",
    )
    hashed = hashlib.sha256(PASSWORD.encode()).hexdigest()
    changed = await rest.post(
        "users.updateOwnBasicInfo",
        ana,
        data={"email": address, "currentPassword": hashed, "bio": "hi", "statusText": "here"},
        customFields={"team": "red"},
    )
    user = changed["user"]
    assert user["emails"] == [{"address": address, "verified": False}]
    assert (user["bio"], user["customFields"], user["statusText"]) == (
        "hi",
        {"team": "red"},
        "here",
    )
    assert "services" not in user

    second = await rest.login(ana.username, PASSWORD)
    data = {"newPassword": "another long one", "currentPassword": PASSWORD}
    await rest.post("users.updateOwnBasicInfo", ana, data=data)
    await rest.get("me", ana)  # the token of the call stays
    assert (await rest.ask("GET", "/api/v1/me", user=second)).status == 401
    taken = await post(rest, "users.updateOwnBasicInfo", ana, data={"username": bo.username})
    assert taken.body["errorType"] == "error-field-unavailable"
    common = {"newPassword": "12345678", "currentPassword": "another long one"}
    refused = await post(rest, "users.updateOwnBasicInfo", ana, data=common)
    assert refused.body["errorType"] == "error-password-policy-not-met"


async def test_preferences(rest: Rest, admin: User, ana: User) -> None:
    """Everything clients branch on is there; unknown ones are refused; others' need a right."""
    before = (await rest.get("users.getPreferences", ana))["preferences"]
    assert before == (await rest.get("me", ana))["settings"]["preferences"]
    assert before["alsoSendThreadToChannel"] == "default"
    assert before["sidebarSectionsOrder"] == before["featuresPreview"] == []
    assert len(before) >= 35

    body = await rest.post("users.setPreferences", ana, data={"useEmojis": False, "language": "de"})
    assert body["user"]["_id"] == ana.id
    stored = body["user"]["settings"]["preferences"]
    assert (stored["useEmojis"], stored["language"]) == (False, "de")
    assert await refusal(rest, "users.setPreferences", ana, data={"$where": 1}) == (
        "must NOT have additional properties [invalid-params]",
        "invalid-params",
    )
    assert (await refusal(rest, "users.setPreferences", ana, data={"useEmojis": "no"}))[1] == (
        "invalid-params"
    )
    others = {"userId": admin.id, "data": {"useEmojis": False}}
    assert await refusal(rest, "users.setPreferences", ana, **others) == (
        "Editing user is not allowed [error-action-not-allowed]",
        "error-action-not-allowed",
    )
    await rest.post("users.setPreferences", admin, userId=ana.id, data={"useEmojis": True})


# -- ending accounts ----------------------------------------------------------------------------


async def test_delete_with_rooms(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Refused while rooms would lose their owner; then they get another one, or go."""
    shared, alone = fresh("shared"), fresh("alone")
    room = (await rest.post("channels.create", ana, name=shared, members=[bo.username]))["channel"]
    await rest.post("groups.create", ana, name=alone)

    ordinary = await post(rest, "users.delete", bo, userId=ana.id)
    assert (ordinary.status, ordinary.body) == (403, FORBIDDEN)
    refused = await post(rest, "users.delete", admin, userId=ana.id)
    assert (refused.status, refused.body) == (
        400,
        {
            "success": False,
            "error": "[user-last-owner]",
            "errorType": "user-last-owner",
            "details": {"shouldChangeOwner": [shared], "shouldBeRemoved": [alone]},
        },
    )
    await rest.get("me", ana)
    await rest.post("users.delete", admin, userId=ana.id, confirmRelinquish=True)

    assert (await rest.ask("GET", "/api/v1/me", user=ana)).status == 401
    roles = (await rest.get("rooms.roles", bo, rid=room["_id"]))["roles"]
    assert [(role["u"]["_id"], role["roles"]) for role in roles] == [(bo.id, ["owner"])]
    for body in ({"userId": "rocket.cat"}, {"username": "rocket.cat"}):
        assert (await refusal(rest, "users.delete", admin, **body))[1] == (
            "error-action-not-allowed"
        )
    assert (await refusal(rest, "users.delete", admin))[1] == "error-user-param-not-provided"


async def test_deactivation(rest: Rest, admin: User, ana: User, bo: User, sign_in: SignIn) -> None:
    """Ends every token and socket at once, personal tokens too; coming back needs a sign-in."""
    token = (await rest.post("users.generatePersonalAccessToken", ana, tokenName="bot"))["token"]
    client = await sign_in(ana)
    ordinary = await post(rest, "users.setActiveStatus", bo, userId=ana.id, activeStatus=False)
    assert (ordinary.status, ordinary.body) == (403, FORBIDDEN)
    done = await rest.post("users.setActiveStatus", admin, userId=ana.id, activeStatus=False)

    assert done["user"] == {"_id": ana.id, "active": False}
    assert await client.closed(within=10.0) == 1008
    bot = User(ana.id, ana.username, "", token)
    for user in (ana, bot):
        assert (await rest.ask("GET", "/api/v1/me", user=user)).status == 401
    login = await post(rest, "login", username=ana.username, password=PASSWORD)
    assert (login.status, login.body["error"]) == (401, "error-user-is-not-activated")
    await rest.post("users.setActiveStatus", admin, userId=ana.id, activeStatus=True)
    await rest.login(ana.username, PASSWORD)
    assert (await rest.ask("GET", "/api/v1/me", user=bot)).status == 401


async def test_delete_own_account(rest: Rest, ana: User) -> None:
    """Only where the workspace allows it."""
    assert await refusal(rest, "users.deleteOwnAccount", ana) == (
        'Body parameter "password" is required.',
        None,
    )
    refused = await refusal(rest, "users.deleteOwnAccount", ana, password=PASSWORD)
    assert refused == ("Not allowed [error-not-allowed]", "error-not-allowed")


# -- tokens -------------------------------------------------------------------------------------


async def test_personal_tokens(rest: Rest, ana: User) -> None:
    """Made, used, listed, replaced and removed, each refusal with its code."""
    made = (await rest.post("users.generatePersonalAccessToken", ana, tokenName="bot"))["token"]
    assert len(made) == 43
    bot = User(ana.id, ana.username, "", made)
    await rest.get("me", bot)
    assert (await refusal(rest, "users.generatePersonalAccessToken", ana, tokenName="bot"))[1] == (
        "error-token-already-exists"
    )
    assert await refusal(rest, "users.generatePersonalAccessToken", ana) == (
        "The 'tokenName' param is required",
        None,
    )
    (listed,) = (await rest.get("users.getPersonalAccessTokens", ana))["tokens"]
    assert set(listed) == {"name", "createdAt", "lastTokenPart", "bypassTwoFactor"}
    assert (listed["name"], listed["lastTokenPart"]) == ("bot", made[-6:])
    renewed = await rest.post("users.regeneratePersonalAccessToken", ana, tokenName="bot")
    assert renewed["token"] != made
    assert (await rest.ask("GET", "/api/v1/me", user=bot)).status == 401
    for endpoint in ("users.regeneratePersonalAccessToken", "users.removePersonalAccessToken"):
        assert (await refusal(rest, endpoint, ana, tokenName="no"))[1] == (
            "error-token-does-not-exists"
        )
    await rest.post("users.removePersonalAccessToken", ana, tokenName="bot")
    assert (await rest.get("users.getPersonalAccessTokens", ana))["tokens"] == []


async def test_tokens_for_others(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """Oneself, or others for who may."""
    own = await rest.post("users.createToken", ana, userId=ana.id)
    assert set(own["data"]) == {"userId", "authToken"}
    assert (await refusal(rest, "users.createToken", ana, userId=bo.id))[1] == (
        "error-not-authorized"
    )
    other = await rest.post("users.createToken", admin, username=bo.username)
    assert other["data"]["userId"] == bo.id
    await rest.get("me", User(bo.id, bo.username, "", other["data"]["authToken"]))


async def test_ending_other_sign_ins(
    rest: Rest, admin: User, ana: User, bo: User, sign_in: SignIn
) -> None:
    """At once, or ten seconds later with a new token; personal tokens stay."""
    second = await rest.login(ana.username, PASSWORD)
    personal = (await rest.post("users.generatePersonalAccessToken", ana, tokenName="p"))["token"]
    await rest.post("users.removeOtherTokens", ana)
    assert (await rest.ask("GET", "/api/v1/me", user=second)).status == 401
    await rest.get("me", User(ana.id, ana.username, "", personal))

    client = await sign_in(ana)
    new = await rest.post("users.logoutOtherClients", ana)
    assert set(new) == {"token", "tokenExpires", "success"}
    assert new["tokenExpires"].endswith("Z")
    fresh_one = User(ana.id, ana.username, "", new["token"])
    await rest.get("me", fresh_one)
    await rest.get("me", ana)  # for ten seconds
    assert await client.closed(within=20.0) == 1008
    assert (await rest.ask("GET", "/api/v1/me", user=ana)).status == 401
    await rest.get("me", fresh_one)

    refused = await post(rest, "users.logout", bo, userId=ana.id)
    assert (refused.status, refused.body) == (403, FORBIDDEN)
    done = await rest.post("users.logout", admin, userId=ana.id)
    assert done["message"] == f"User {ana.id} has been logged out!"
    assert (await rest.ask("GET", "/api/v1/me", user=fresh_one)).status == 401


# -- second factor ------------------------------------------------------------------------------


async def test_sensitive_calls_ask_for_the_factor(
    rest: Rest, new_user: NewUser, sign_in: SignIn
) -> None:
    """Whoever has none is not asked; what was shown counts for that token, not for another."""
    user = await new_user()
    client = await sign_in(user)
    data = {"userId": user.id, "data": {"name": "N"}}
    await rest.post("users.update", user, **data)
    app = await enrolled(client)
    user = User(user.id, user.username, user.password, client.token)

    asked = await post(rest, "users.update", user, **data)
    assert (asked.status, asked.body) == (
        400,
        {
            "success": False,
            "error": "TOTP Required [totp-required]",
            "errorType": "totp-required",
            "details": {
                "method": "totp",
                "codeGenerated": False,
                "availableMethods": ["totp"],
            },
        },
    )
    wrong = await post(rest, "users.update", showing(user, "abcdef"), **data)
    assert (wrong.status, wrong.body["errorType"]) == (400, "totp-invalid")
    assert wrong.body["details"]["method"] == "totp"
    for endpoint, body in (
        ("users.generatePersonalAccessToken", {"tokenName": "bot"}),
        ("users.regeneratePersonalAccessToken", {"tokenName": "bot"}),
        ("users.removePersonalAccessToken", {"tokenName": "bot"}),
        ("users.createToken", {"userId": user.id}),
    ):
        assert (await refusal(rest, endpoint, user, **body))[1] == "totp-required", endpoint

    await rest.post("users.update", showing(user, app.code()), **data)
    await rest.post("users.update", user, **data)
    token = await rest.post(
        "users.generatePersonalAccessToken", user, tokenName="bot", bypassTwoFactor=True
    )
    bot = User(user.id, user.username, "", token["token"])
    await rest.post("users.update", bot, **data)
    other = (await rest.post("users.createToken", user, userId=user.id))["data"]["authToken"]
    another = User(user.id, user.username, "", other)
    assert (await refusal(rest, "users.update", another, **data))[1] == "totp-required"


async def test_login_with_a_factor(rest: Rest, new_user: NewUser, sign_in: SignIn) -> None:
    """Asked for with 401 and what apps need; by body or header; each code once."""
    user = await new_user()
    app = await enrolled(await sign_in(user))
    names: dict[str, Any] = {"username": user.username, "password": user.password}

    asked = await post(rest, "login", **names)
    assert (asked.status, asked.body) == (
        401,
        {
            "success": False,
            "status": "error",
            "error": "totp-required",
            "message": "TOTP Required",
            "details": {
                "method": "totp",
                "codeGenerated": False,
                "availableMethods": ["totp"],
            },
        },
    )
    wrong = await post(rest, "login", **names, code="000000")
    assert (wrong.status, wrong.body["error"]) == (401, "totp-invalid")
    guess = await post(rest, "login", **names | {"password": "wrong"}, code=app.recovery[0])
    assert guess.body["error"] == "Unauthorized"
    code = app.code()
    right = await post(rest, "login", **names, code=code)
    assert right.body["data"]["me"]["services"]["totp"] == {"enabled": True}
    again = await post(rest, "login", **names, code=code)
    assert again.body["error"] == "totp-invalid"
    shown = showing(user, app.code())
    by_header = await rest.ask("POST", "/api/v1/login", user=shown, body=names)
    assert by_header.status == 200


# -- records ------------------------------------------------------------------------------------


async def test_audit_log(rest: Rest, database: Database, admin: User, ana: User) -> None:
    """Sign-ins, tokens and changes of others are written down, with who and from where."""
    await post(rest, "login", username=ana.username, password="wrong")
    await rest.post("users.generatePersonalAccessToken", ana, tokenName="bot")
    await rest.post("users.update", admin, userId=ana.id, data={"roles": ["user", "bot"]})
    await rest.post("users.setActiveStatus", admin, userId=ana.id, activeStatus=False)

    entries = database["hubbub_audit"]

    async def actions() -> set[str]:
        return {entry["action"] async for entry in entries.find({"target": ana.id})}

    wanted = {
        "user.registered",
        "login.ok",
        "login.failed",
        "token.made",
        "user.roles-changed",
        "user.deactivated",
    }
    await eventually(lambda: _includes(actions, wanted))
    made = await entries.find_one({"target": ana.id, "action": "token.made"})
    assert made is not None
    assert made["actor"] == ana.id
    assert made["ip"] == "127.0.0.1"
    assert "aiohttp" in made["ua"]
    assert made["requestId"]
    failed = await entries.find_one({"target": ana.id, "action": "login.failed"})
    assert failed is not None
    assert (failed["result"], failed["ip"]) == ("refused", "127.0.0.1")
    changed = await entries.find_one({"target": ana.id, "action": "user.roles-changed"})
    assert changed is not None
    assert changed["actor"] == admin.id
    assert changed["details"] == {"old": ["user"], "new": ["user", "bot"]}
    texts = [str(entry) async for entry in entries.find({})]
    assert not any(PASSWORD in text or ana.token in text for text in texts)


async def test_what_other_services_do_is_audited(
    rest: Rest, database: Database, admin: User, ana: User
) -> None:
    """Settings and roles: told by whoever changed them, with who and from where."""
    before = (await rest.get("settings/Site_Name", admin))["value"]
    name = fresh("site")
    await rest.post("settings/Site_Name", admin, value=name)
    await rest.post("settings/Site_Name", admin, value=before)
    await rest.post("roles.addUserToRole", admin, roleId="bot", username=ana.username)
    await rest.post("roles.removeUserFromRole", admin, roleId="bot", username=ana.username)
    entries = database["hubbub_audit"]

    async def there() -> bool:
        found = await entries.find_one({"action": "setting.changed", "details.new": name})
        return found is not None

    await eventually(there)
    changed = await entries.find_one({"action": "setting.changed", "details.new": name})
    assert changed is not None
    assert (changed["actor"], changed["target"], changed["ip"]) == (
        admin.id,
        "Site_Name",
        "127.0.0.1",
    )
    roles = await entries.find({"target": ana.id, "details.role": "bot"}).sort("ts", 1).to_list()
    assert [entry["action"] for entry in roles] == ["role.given", "role.taken"]


async def _includes(actions: Any, wanted: set[str]) -> bool:
    return bool(wanted <= await actions())
