"""Login and tokens on a real database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hubbub.contracts.account import (
    MAX_RESUMED,
    Account,
    LoginExpired,
    LoginRefused,
    Registration,
    StoredToken,
)
from hubbub.errors import BadRequest, NotAllowed, Unauthenticated
from hubbub.ids import UserId, hash_token
from services.account.domain import sha256_hex
from services.account.service import AccountService
from services.account.settings import AccountSettings
from tests.integration.account.conftest import Server

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"
DIGEST = {"digest": sha256_hex(PASSWORD), "algorithm": "sha-256"}


@pytest.fixture
async def bob(account: Account) -> UserId:
    return await account.register(
        Registration(username="Bob", name="Bob", email="Bob@x.org", password=PASSWORD)
    )


@pytest.mark.parametrize(
    "user",
    [
        {"username": "Bob"},
        {"username": "bob"},
        {"email": "Bob@x.org"},
        {"email": "bob@X.ORG"},
        "BOB",
        "bob@x.org",
    ],
    ids=str,
)
@pytest.mark.parametrize("password", [PASSWORD, DIGEST], ids=["plain", "digest"])
async def test_variants(
    account: Account, bob: UserId, user: dict[str, str] | str, password: Any
) -> None:
    """By name and address without regard to case, plain or hashed."""
    result = await account.login({"user": user, "password": password}, "203.0.113.7")

    assert result.user_id == bob
    assert (await account.login({"resume": result.token})).token == result.token
    assert (await account.authenticate(bob, result.token)).username == "Bob"


async def test_many_resume_at_once(server: Server, account: Account, bob: UserId) -> None:
    """A broken document and tokens that nobody has take nobody with them."""
    await server.database["users"].insert_one(
        {
            "_id": "broken",
            "active": True,
            "services": {
                "resume": {"loginTokens": {"hashedToken": hash_token("bad"), "when": "never"}}
            },
        }
    )
    tokens = [
        (await account.login({"user": "bob", "password": PASSWORD}, "203.0.113.7")).token
        for _ in range(3)
    ]
    alone = [await account.login({"resume": token}) for token in tokens]

    assert await account.resume([*tokens, "unknown", "bad", tokens[0]]) == [
        *alone,
        None,
        None,
        alone[0],
    ]
    await account.logout(bob, hash_token(tokens[1]))
    assert await account.resume(tokens) == [alone[0], None, alone[2]]
    with pytest.raises(BadRequest):
        await account.resume(["x"] * (MAX_RESUMED + 1))


async def test_many_tokens_are_verified_at_once(
    server: Server, account: Account, bob: UserId
) -> None:
    """Each as alone."""
    ann = await account.register(
        Registration(username="Ann", name="Ann", email="Ann@x.org", password=PASSWORD)
    )
    hashed = [
        (await account.login({"user": name, "password": PASSWORD}, "203.0.113.7")).hashed_token
        for name in ("bob", "bob", "ann")
    ]
    await account.logout(bob, hashed[1])
    asked = [
        StoredToken(user_id=user_id, hashed_token=token)
        for user_id in (bob, ann, UserId("nobody"))
        for token in hashed
    ]
    expected = [True, *[False] * 4, True, *[False] * 3]
    assert await account.verify_tokens(asked) == expected
    await server.database["users"].update_one({"_id": ann}, {"$set": {"active": False}})
    expected[5] = False
    assert await account.verify_tokens(asked) == expected
    with pytest.raises(BadRequest):
        await account.verify_tokens([asked[0]] * (MAX_RESUMED + 1))


async def test_exact_name_wins_over_similar_ones(server: Server) -> None:
    """Data of another server may hold twins; who is not exact about them is nobody."""
    users = server.database["users"]
    await users.insert_many(
        [{"_id": name, "username": name, "active": True} for name in ("Twin", "twin")]
    )
    service = await server.replica()
    for name in ("Twin", "twin"):
        await service._own_profile.set_password(UserId(name), PASSWORD, "")

    for name in ("Twin", "twin"):
        assert (await service.login({"user": name, "password": PASSWORD})).user_id == name
    with pytest.raises(LoginRefused):
        await service.login({"user": "TWIN", "password": PASSWORD})


async def test_documents_of_the_load_tester(server: Server, service: AccountService) -> None:
    """Dates as text and a ready-made hash."""
    import bcrypt

    stored = bcrypt.hashpw(sha256_hex("performance").encode(), bcrypt.gensalt(10)).decode()
    await server.database["users"].insert_one(
        {
            "_id": "loadtest1",
            "createdAt": "2022-01-01T00:00:00.000Z",
            "username": "loadtest1",
            "emails": [{"address": "loadtest1@loadtest.com", "verified": False}],
            "type": "user",
            "status": "offline",
            "active": True,
            "roles": ["user"],
            "name": "loadtest1",
            "lastLogin": "2022-01-01T00:00:00.000Z",
            "services": {"password": {"bcrypt": stored}},
            "_updatedAt": "2022-01-01T00:00:00.000Z",
        }
    )
    result = await service.login({"user": {"username": "loadtest1"}, "password": "performance"})
    resumed = await service.login({"resume": result.token})
    me = await service.me(UserId("loadtest1"))
    await service.last_logins.flush()

    assert resumed.user_id == "loadtest1"
    assert me["username"] == "loadtest1"
    user = await server.stored("loadtest1")
    assert user["lastLogin"].timestamp() == pytest.approx(server.clock.time(), abs=0.01)


async def test_tokens_are_stored_only_hashed(server: Server, account: Account, bob: UserId) -> None:
    """Neither the token nor the password is anywhere in the database."""
    result = await account.login({"user": "Bob", "password": PASSWORD}, "203.0.113.7")
    personal = await account.add_personal_token(bob, "robot")
    with pytest.raises(LoginRefused):
        await account.login({"user": "hunter2-typed-as-name", "password": "wrong"}, "203.0.113.7")

    everything = ""
    for name in await server.database.list_collection_names():
        everything += repr(await server.database[name].find({}).to_list())
    for secret in (result.token, personal, PASSWORD, sha256_hex(PASSWORD), "hunter2-typed-as-name"):
        assert secret not in everything
    assert hash_token(result.token) in everything


async def test_last_login_at_most_once_a_minute(
    server: Server, service: AccountService, bob: UserId
) -> None:
    """Several logins in a minute write it once."""
    token = (await service.login({"user": "Bob", "password": PASSWORD})).token
    first = (await server.stored(bob))["lastLogin"]
    server.clock.advance(59)
    await service.login({"user": "Bob", "password": PASSWORD})
    await service.login({"resume": token})
    await service.last_logins.flush()
    assert (await server.stored(bob))["lastLogin"] == first
    server.clock.advance(2)
    await service.login({"resume": token})
    await service.last_logins.flush()

    assert (await server.stored(bob))["lastLogin"] - first == timedelta(seconds=61)


async def test_failures_hold_across_replicas_and_grow(server: Server) -> None:
    """Ten wrong passwords spread over two replicas; the second refusal lasts twice as long."""
    one, two = await server.replica(), await server.replica()
    bob = await one.register(Registration(username="bob", email="bob@x.org", password=PASSWORD), "")

    async def use_up() -> None:
        for number in range(10):
            with pytest.raises(LoginRefused):
                await (one, two)[number % 2].login({"user": "bob", "password": "wrong"})

    async def is_blocked() -> bool:
        try:
            await two.login({"user": "bob", "password": PASSWORD})
        except NotAllowed as error:
            return error.code == "error-login-blocked-for-user"
        return False

    await use_up()
    assert await is_blocked()
    server.clock.advance(299)
    assert await is_blocked()
    server.clock.advance(2)
    await use_up()
    server.clock.advance(301)
    assert await is_blocked()
    server.clock.advance(300)
    assert not await is_blocked()
    assert (await one.me(bob))["username"] == "bob"


async def test_exempt_networks(server: Server) -> None:
    """A gateway that hides many people is never refused."""
    service = await server.replica(address_failures=3, exempt_networks=["10.0.0.0/8"])
    for number in range(5):
        with pytest.raises(LoginRefused):
            await service.login({"user": f"u{number}", "password": "wrong"}, "10.1.2.3")
    for number in range(3):
        with pytest.raises(LoginRefused):
            await service.login({"user": f"v{number}", "password": "wrong"}, "203.0.113.7")

    with pytest.raises(NotAllowed) as blocked:
        await service.login({"user": "w", "password": "wrong"}, "203.0.113.7")
    assert blocked.value.code == "error-login-blocked-for-ip"


async def test_oldest_token_goes_beyond_the_limit(server: Server) -> None:
    """Personal tokens do not count and stay."""
    service = await server.replica(token_limit=3)
    bob = await service.register(Registration(username="bob", email="b@x.org", password=PASSWORD))
    personal = await service.add_personal_token(bob, "robot")
    tokens = []
    for _ in range(5):
        tokens.append((await service.login({"user": "bob", "password": PASSWORD})).token)
        server.clock.advance(1)

    good = []
    for token in tokens:
        try:
            await service.authenticate(bob, token)
        except Unauthenticated:
            continue
        good.append(token)
    assert good == tokens[2:]
    assert (await service.login({"resume": personal})).personal


async def test_use_prolongs_no_token(server: Server, service: AccountService) -> None:
    """A stolen one does not live for as long as somebody uses it."""
    bob = await service.register(Registration(username="bob", email="b@x.org", password=PASSWORD))
    token = (await service.login({"user": "bob", "password": PASSWORD})).token
    for _ in range(89):
        server.clock.advance(86400)
        assert (await service.login({"resume": token})).token == token
        await service.authenticate(bob, token)
    server.clock.advance(86400)

    with pytest.raises(LoginExpired):
        await service.login({"resume": token})
    with pytest.raises(Unauthenticated):
        await service.authenticate(bob, token)


async def test_expired_tokens(server: Server, service: AccountService) -> None:
    """Refused at once when their time is over, removed by the next clean-up; others stay."""
    bob = await service.register(Registration(username="bob", email="b@x.org", password=PASSWORD))
    personal = await service.add_personal_token(bob, "robot")
    old = (await service.login({"user": "bob", "password": PASSWORD})).token
    server.clock.advance(89 * 86400)
    new = (await service.login({"user": "bob", "password": PASSWORD})).token
    server.clock.advance(86400)

    with pytest.raises(LoginExpired) as expired:
        await service.login({"resume": old})
    assert expired.value.reason == "Your session has expired. Please log in again."
    with pytest.raises(Unauthenticated):
        await service.authenticate(bob, old)
    assert await service.remove_expired_tokens() == 1
    assert await service.remove_expired_tokens() == 0
    with pytest.raises(LoginExpired) as unknown:
        await service.login({"resume": old})
    assert unknown.value.reason.startswith("You've been logged out")
    await service.authenticate(bob, new)
    await service.authenticate(bob, personal)


async def test_revocation(account: Account, bob: UserId) -> None:
    """Logout, logout elsewhere, exchange, password change, sign-out, deactivation."""

    async def signed_in() -> str:
        return (await account.login({"user": "Bob", "password": PASSWORD})).token

    async def works(token: str) -> bool:
        try:
            await account.authenticate(bob, token)
        except Unauthenticated:
            return False
        return True

    personal = await account.add_personal_token(bob, "robot")
    one, two = await signed_in(), await signed_in()
    await account.logout(bob, hash_token(one))
    await account.logout(bob, hash_token(personal))
    await account.logout(bob, "unknown")
    assert [await works(token) for token in (one, two, personal)] == [False, True, True]

    three = await signed_in()
    await account.remove_other_tokens(bob, hash_token(three))
    assert [await works(token) for token in (two, three, personal)] == [False, True, True]

    four = await account.new_token(bob, hash_token(three))
    assert four.type == "resume"
    assert [await works(token) for token in (three, four.token)] == [False, True]
    with pytest.raises(Unauthenticated):
        await account.new_token(bob, hash_token(three))

    five = await signed_in()
    await account.set_password(bob, "another horse", hash_token(five))
    assert [await works(token) for token in (four.token, five)] == [False, True]
    with pytest.raises(LoginRefused):
        await signed_in()
    await account.set_password(bob, PASSWORD, hash_token(five))

    await account.sign_out(bob, bob)
    assert [await works(token) for token in (five, personal)] == [False, True]

    six = await signed_in()
    await account.set_active(UserId("root"), await _another_administrator(account), True)
    await account.set_active(UserId("root"), bob, False)
    assert [await works(token) for token in (six, personal)] == [False, False]
    with pytest.raises(NotAllowed) as inactive:
        await signed_in()
    assert inactive.value.code == "error-user-is-not-activated"


async def _another_administrator(account: Account) -> UserId:
    made = await account.create_user(
        UserId("root"),
        {"name": "A", "email": "a@x.org", "username": "ann", "password": PASSWORD}
        | {"roles": ["admin"]},
    )
    return UserId(made["_id"])


async def test_tokens_belong_to_their_user(account: Account, bob: UserId) -> None:
    """A token with another user's id is no token."""
    ann = await account.register(Registration(username="ann", email="ann@x.org", password=PASSWORD))
    token = (await account.login({"user": "Bob", "password": PASSWORD})).token

    for user_id in (ann, UserId("nobody")):
        with pytest.raises(Unauthenticated):
            await account.authenticate(user_id, token)
    identity = await account.verify_token(bob, hash_token(token))
    assert (identity.user_id, identity.roles) == (bob, ["admin", "user"])


async def test_personal_tokens(account: Account, bob: UserId) -> None:
    """Made, listed without the secret, renewed, removed."""
    first = await account.add_personal_token(bob, "robot", True)
    with pytest.raises(BadRequest) as twice:
        await account.add_personal_token(bob, "robot")
    assert twice.value.code == "error-token-already-exists"
    listed = await account.personal_tokens(bob)
    assert [(token.name, token.last_token_part, token.bypass_two_factor) for token in listed] == [
        ("robot", first[-6:], True)
    ]

    second = await account.renew_personal_token(bob, "robot")
    with pytest.raises(Unauthenticated):
        await account.authenticate(bob, first)
    await account.authenticate(bob, second)
    await account.remove_personal_token(bob, "robot")
    for call in (account.remove_personal_token, account.renew_personal_token):
        with pytest.raises(BadRequest) as missing:
            await call(bob, "robot")
        assert missing.value.code == "error-token-does-not-exists"


async def test_token_without_a_password(account: Account, bob: UserId) -> None:
    """Made for somebody by somebody who may."""
    result = await account.create_token(bob, bob)

    assert (await account.login({"resume": result.token})).user_id == bob


async def test_bot_cannot_sign_in(account: Account, service: AccountService) -> None:
    """It has no password, and none can be guessed."""
    for password in ("", "rocket.cat", "None"):
        with pytest.raises((LoginRefused, BadRequest)):
            await account.login({"user": "rocket.cat", "password": password})


async def test_second_factor_is_used_up_in_the_database(
    server: Server, account: Account, bob: UserId
) -> None:
    """A code that was used by one replica is refused by every other."""
    from services.account import second_factor

    await server.database["users"].update_one(
        {"_id": bob},
        {
            "$set": {
                "services.totp": {"enabled": True, "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}
            }
        },
    )
    step = int(server.clock.time() // 30)
    code = second_factor.code_at(b"12345678901234567890", step)
    login = {"totp": {"code": code, "login": {"user": "Bob", "password": PASSWORD}}}
    other = await server.replica()
    assert (await account.login(login)).user_id == bob
    with pytest.raises(NotAllowed) as again:
        await other.login(login)

    assert again.value.code == "totp-invalid"


def test_defaults_are_the_documented_ones() -> None:
    """The figures that the documentation promises."""
    settings = AccountSettings()

    assert (settings.user_failures, settings.address_failures) == (10, 50)
    assert (settings.failure_window, settings.token_limit) == (300, 50)
