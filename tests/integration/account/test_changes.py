"""Changing and ending accounts, tokens that end later, stronger hashes: on a real database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from hubbub.contracts.account import (
    Account,
    ProfileChanges,
    Registration,
    UserChanges,
)
from hubbub.contracts.events import SettingsChanged
from hubbub.contracts.members import Departure, LastOwnerLeaves
from hubbub.errors import HubbubError, LacksPermission, Unauthenticated
from hubbub.ids import UserId, hash_token
from services.account.hashing import Scheme
from services.account.service import AccountService
from tests.integration.account.conftest import Server

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"
ROOT = UserId("root")


async def registered(account: Account, chosen: str, **fields: Any) -> UserId:
    usual = {"username": chosen, "email": f"{chosen}@x.org", "password": PASSWORD}
    return await account.register(Registration(**usual | fields))


@pytest.fixture
async def ann(account: Account) -> UserId:
    return await registered(account, "ann")


@pytest.fixture
async def bob(account: Account, ann: UserId) -> UserId:
    """An ordinary user: ann was the first."""
    return await registered(account, "bob")


async def code_of(call: Any) -> object:
    with pytest.raises(HubbubError) as refused:
        await call
    return refused.value.code


async def signed_in(account: Account, name: str, password: str = PASSWORD) -> str:
    return (await account.login({"user": name, "password": password})).hashed_token


# -- others' accounts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "new@x.org"},
        {"password": "another horse"},
        {"verified": True},
        {"active": False},
        {"roles": ["user", "admin"]},
        {"custom_fields": {"a": 1}},
        {"require_password_change": False},
    ],
    ids=str,
)
async def test_what_asks_for_rights(
    server: Server, account: Account, bob: UserId, changes: dict[str, Any]
) -> None:
    """Of the own account too; and nothing has changed then."""
    before = await server.stored(bob)
    with pytest.raises(LacksPermission):
        await account.update_user(bob, bob, UserChanges(**changes))
    assert await server.stored(bob) == before
    await account.update_user(ROOT, bob, UserChanges(**changes))
    assert await server.stored(bob) != before


async def test_whose_account(account: Account, ann: UserId, bob: UserId) -> None:
    """The harmless part is free for its owner, and for nobody else."""
    harmless = UserChanges(name="B", nickname="b", bio="x", language="de", utc_offset=-3.5)
    changed = await account.update_user(bob, bob, harmless)
    assert (changed["name"], changed["nickname"], changed["bio"]) == ("B", "b", "x")
    for call in (
        account.update_user(bob, ann, harmless),
        account.update_user(bob, UserId("nobody"), harmless),
        account.set_active(bob, ann, False),
        account.set_active(bob, bob, True),
        account.delete_user(bob, ann),
        account.delete_user(bob, UserId("nobody")),
        account.sign_out(bob, ann),
    ):
        assert await code_of(call) == "error-unauthorized"


async def test_roles_of_the_workspace(account: Account, bob: UserId) -> None:
    """Made ones too; those of rooms and unknown ones are none."""
    changed = await account.update_user(ROOT, bob, UserChanges(roles=["user", "nurse"]))
    assert changed["roles"] == ["user", "nurse"]
    for roles in (["owner"], ["emperor"]):
        assert await code_of(account.update_user(ROOT, bob, UserChanges(roles=roles))) == (
            "error-action-not-allowed"
        )


# -- ending accounts ----------------------------------------------------------------------------


async def test_rooms_stand_in_the_way(server: Server, account: Account, bob: UserId) -> None:
    """Nothing happens without a confirmation; with one, rooms first and the account then."""
    server.messaging.departures[bob] = Departure(should_change_owner=["town"])
    token = await signed_in(account, "bob")
    for call in (
        account.delete_user(ROOT, bob),
        account.set_active(ROOT, bob, False),
        account.update_user(ROOT, bob, UserChanges(name="New", active=False)),
    ):
        with pytest.raises(LastOwnerLeaves):
            await call
    assert server.messaging.relinquished == []
    assert (await server.stored(bob))["name"] == "bob"
    await account.verify_token(bob, token)

    await account.set_active(ROOT, bob, False, True)
    with pytest.raises(Unauthenticated):
        await account.verify_token(bob, token)
    await account.delete_user(ROOT, bob, True)
    await account.delete_user(ROOT, bob, True)  # finishes what an earlier attempt began
    assert server.messaging.relinquished == [
        (bob, "deactivated"),
        (bob, "deleted"),
        (bob, "deleted"),
    ]
    assert await server.database["users"].find_one({"_id": bob}) is None


async def test_refusals_come_before_rooms(server: Server, account: Account, ann: UserId) -> None:
    """The last administrator and the bot keep what they have."""
    for call in (
        account.delete_user(ROOT, ann, True),
        account.set_active(ROOT, ann, False, True),
        account.delete_user(ROOT, UserId("rocket.cat"), True),
    ):
        assert await code_of(call) == "error-action-not-allowed"
    assert server.messaging.relinquished == []


async def test_last_two_administrators_raced(server: Server, account: Account) -> None:
    """Both ended at once, on two replicas: one of them stays."""
    one, two = await registered(account, "one"), await registered(account, "two")
    await account.update_user(ROOT, two, UserChanges(roles=["admin", "user"]))
    replicas = [await server.replica(), await server.replica()]
    await asyncio.gather(
        replicas[0].delete_user(ROOT, one, True),
        replicas[1].set_active(ROOT, two, False, True),
        return_exceptions=True,
    )
    users = server.database["users"]
    assert await users.count_documents({"roles": "admin", "active": True}) == 1


async def test_own_account(
    server: Server, account: Account, service: AccountService, bob: UserId
) -> None:
    """Where the setting allows it, with the password."""
    setting = "Accounts_AllowDeleteOwnAccount"
    assert await code_of(account.delete_own_account(bob, PASSWORD)) == "error-not-allowed"
    await server.setting(setting, True)
    await service.on_settings_changed(SettingsChanged(setting_id=setting))
    assert await code_of(account.delete_own_account(bob, "wrong")) == "error-invalid-password"
    await account.delete_own_account(bob, PASSWORD)
    assert await code_of(account.me(bob)) == "error-invalid-user"


# -- the own profile ----------------------------------------------------------------------------


async def test_profile(server: Server, account: Account, bob: UserId) -> None:
    """The present password for address and password; the own token stays, others end."""
    token, other = await signed_in(account, "bob"), await signed_in(account, "bob")
    changed = await account.update_profile(
        bob, ProfileChanges(name="B", email="BOB@x.org", custom_fields={"team": "red"}), token
    )
    assert (changed["name"], changed["customFields"]) == ("B", {"team": "red"})
    assert changed["emails"] == [{"address": "bob@x.org", "verified": False}]  # the same one
    new = ProfileChanges(new_password="another horse")
    assert await code_of(account.update_profile(bob, new, token)) == "totp-required"
    wrong = new.model_copy(update={"current_password": "wrong"})
    assert await code_of(account.update_profile(bob, wrong, token)) == "totp-invalid"
    short = ProfileChanges(name="C", new_password="short", current_password=PASSWORD)
    assert await code_of(account.update_profile(bob, short, token)) == (
        "error-password-policy-not-met"
    )
    assert (await server.stored(bob))["name"] == "B"
    await account.update_profile(bob, new.model_copy(update={"current_password": PASSWORD}), token)
    await account.verify_token(bob, token)
    with pytest.raises(Unauthenticated):
        await account.verify_token(bob, other)
    await signed_in(account, "bob", "another horse")


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("Accounts_AllowUserProfileChange", {"bio": "x"}),
        ("Accounts_AllowRealNameChange", {"name": "New"}),
        ("Accounts_AllowUsernameChange", {"username": "new"}),
        ("Accounts_AllowEmailChange", {"email": "new@x.org", "current_password": PASSWORD}),
        (
            "Accounts_AllowPasswordChange",
            {"new_password": "another horse", "current_password": PASSWORD},
        ),
    ],
)
async def test_settings_decide(
    server: Server, bob: UserId, setting: str, changes: dict[str, Any]
) -> None:
    """What the workspace does not let people change stays."""
    await server.setting(setting, False)
    strict = await server.replica()
    before = await server.stored(bob)
    call = strict.update_profile(bob, ProfileChanges(**changes), "")
    assert await code_of(call) == "error-not-allowed"
    assert await server.stored(bob) == before


async def test_password_guesses_count(account: Account, bob: UserId) -> None:
    """Whoever has a session cannot try passwords without end."""
    changes = ProfileChanges(email="new@x.org", current_password="wrong")
    for _ in range(10):
        assert await code_of(account.update_profile(bob, changes, "")) == "totp-invalid"
    assert await code_of(account.update_profile(bob, changes, "")) == (
        "error-login-blocked-for-user"
    )


async def test_preferences_of_the_workspace(server: Server, account: Account, bob: UserId) -> None:
    """Hold for whoever chose nothing."""
    await server.setting("Accounts_Default_User_Preferences_idleTimeLimit", 60)
    replica = await server.replica()
    assert (await replica.preferences(bob))["idleTimeLimit"] == 60
    assert (await replica.me(bob))["settings"]["preferences"]["idleTimeLimit"] == 60
    await account.set_preferences(bob, bob, {"idleTimeLimit": 10})
    assert (await replica.preferences(bob))["idleTimeLimit"] == 10
    assert await code_of(account.set_preferences(bob, ROOT, {"useEmojis": True})) == (
        "error-action-not-allowed"
    )
    await account.set_preferences(ROOT, bob, {"highlights": ["deploy"]})
    wrong: list[dict[str, Any]] = [
        {"highlights": "deploy"},
        {"highlights": ["x"] * 51},
        {"idleTimeLimit": True},
        {"sidebarSectionsOrder": [{"a": 1}]},
        {"services": {}},
        {"a.b": 1},
    ]
    for bad in wrong:
        assert await code_of(account.set_preferences(bob, bob, bad)) == "invalid-params", bad


# -- names --------------------------------------------------------------------------------------


async def test_names_that_look_the_same(server: Server) -> None:
    """Refused where the workspace allows more letters, also when chosen at the same moment."""
    await server.setting("UTF8_User_Names_Validation", r"[\w.\-]+")
    service = await server.replica()
    await service.register(Registration(username="ана", email="1@x.org", password=PASSWORD))
    await service.register(Registration(username="bob", email="2@x.org", password=PASSWORD))
    for name in ("aha", "AHA", "воb", "вов", "ｂｏｂ"):
        assert not await service.is_username_free(name), name
        with pytest.raises(HubbubError):
            await service.register(Registration(username=name, email="3@x.org", password=PASSWORD))
    assert await service.is_username_free("анна")
    results = await asyncio.gather(
        *(
            service.register(
                Registration(username=name, email=f"{number}@y.org", password=PASSWORD)
            )
            for number, name in enumerate(("оля", "ОЛЯ", "олЯ", "Оля"))
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in results) == 1


async def test_suggestions(account: Account, ann: UserId) -> None:
    """From the name, free, and another one when that is taken."""
    await registered(account, "eve.long")
    eve = await registered(account, "x1", name="Eve Long", username=None, email="e@x.org")
    assert await account.suggest_username(eve) == "eve"
    await account.set_username(eve, "eve")
    assert await account.suggest_username(eve) == "elong"
    assert await code_of(account.suggest_username(UserId("no"))) == "error-invalid-user"


async def test_registration_behind_a_secret(server: Server) -> None:
    """Only who knows it; an empty one opens nothing."""
    form, secret = "Accounts_RegistrationForm", "Accounts_RegistrationForm_SecretURL"
    await server.setting(form, "Secret URL")
    closed = await server.replica()
    ann = Registration(username="ann", email="a@x.org", password=PASSWORD)
    assert not await closed.is_registration_secret("")
    for given in (None, "", "guess"):
        call = closed.register(ann.model_copy(update={"secret": given}))
        assert await code_of(call) == "error-user-registration-disabled"
    await server.setting(secret, "sesame")
    service = await server.replica()
    assert await service.is_registration_secret("sesame")
    assert not await service.is_registration_secret("guess")
    assert await code_of(service.register(ann)) == "error-user-registration-disabled"
    await service.register(ann.model_copy(update={"secret": "sesame"}))
    await server.setting(form, "Disabled")
    disabled = await server.replica()
    assert not await disabled.is_registration_secret("sesame")


# -- tokens -------------------------------------------------------------------------------------


async def test_tokens_end_later(server: Server, account: Account, bob: UserId) -> None:
    """All but the new one, at their time wherever they are shown, and then they are removed."""
    own, other = await signed_in(account, "bob"), await signed_in(account, "bob")
    personal = await account.add_personal_token(bob, "bot")
    new = await account.logout_other_clients(bob, own)
    again = await account.logout_other_clients(bob, other)
    service = await server.replica()
    assert await service.remove_ended_tokens() == 0
    for token in (own, other, new.hashed_token):
        await account.verify_token(bob, token)
    server.clock.advance(10.5)
    for token in (own, other, new.hashed_token):
        with pytest.raises(Unauthenticated):
            await account.verify_token(bob, token)
    await account.verify_token(bob, again.hashed_token)
    await account.authenticate(bob, personal)
    assert await service.remove_ended_tokens() == 1
    stored = (await server.stored(bob))["services"]["resume"]["loginTokens"]
    assert {token["hashedToken"] for token in stored} == {
        again.hashed_token,
        hash_token(personal),
    }
    with pytest.raises(Unauthenticated):
        await account.logout_other_clients(bob, own)


async def test_tokens_for_others(
    server: Server, account: Account, ann: UserId, bob: UserId
) -> None:
    """By a permission, or by the server's secret where it has one; never for the deactivated."""
    for secret in (None, "", "s3cret"):
        assert await code_of(account.create_token(bob, ann, secret)) == "error-not-authorized"
    await account.create_token(ROOT, bob)
    guarded = await server.replica(token_secret=SecretStr("s3cret"))
    for secret in (None, "", "guess"):
        assert await code_of(guarded.create_token(ROOT, bob, secret)) == "error-not-authorized"
    result = await guarded.create_token(bob, ann, "s3cret")
    await account.verify_token(ann, result.hashed_token)
    await account.set_active(ROOT, bob, False)
    assert await code_of(account.create_token(ROOT, bob)) == "error-user-is-not-activated"


async def test_renewed_tokens_keep_their_right(account: Account, bob: UserId) -> None:
    """To skip the second factor, unless told otherwise."""
    await account.add_personal_token(bob, "bot", True)
    await account.renew_personal_token(bob, "bot")
    assert (await account.personal_tokens(bob))[0].bypass_two_factor is True
    await account.renew_personal_token(bob, "bot", False)
    assert (await account.personal_tokens(bob))[0].bypass_two_factor is False


# -- hashes -------------------------------------------------------------------------------------


async def test_stronger_hashes_at_login(server: Server, account: Account, bob: UserId) -> None:
    """Replaced with the same password, in the place of their kind; never made weaker again."""
    token = await signed_in(account, "bob")
    server.scheme = Scheme("argon2id")
    strong = await server.replica()
    await strong.login({"user": "bob", "password": PASSWORD})
    password = (await server.stored(bob))["services"]["password"]
    assert list(password) == ["argon2"]
    await strong.login({"user": "bob", "password": PASSWORD})
    assert (await server.stored(bob))["services"]["password"] == password
    await account.login({"user": "bob", "password": PASSWORD})  # a replica with bcrypt
    assert (await server.stored(bob))["services"]["password"] == password
    await account.verify_token(bob, token)
    assert await code_of(account.login({"user": "bob", "password": "wrong"})) == 403
    assert (await account.me(bob))["services"]["password"] == {"exists": True}

    await account.set_password(bob, "another horse", token)  # as new ones are there
    assert list((await server.stored(bob))["services"]["password"]) == ["bcrypt"]
    await account.login({"user": "bob", "password": "another horse"})
    carl = await strong.register(Registration(username="carl", email="c@x.org", password=PASSWORD))
    assert list((await server.stored(carl))["services"]["password"]) == ["argon2"]
    await account.login({"user": "carl", "password": PASSWORD})


async def test_commonest_passwords(server: Server, account: Account, bob: UserId) -> None:
    """Refused wherever one is chosen, unless the server is told otherwise."""
    common = "iloveyou1"
    for call in (
        account.register(Registration(username="e", email="e@x.org", password=common)),
        account.create_user(
            ROOT, {"name": "E", "email": "e@x.org", "username": "e", "password": common}
        ),
        account.set_password(bob, common, ""),
        account.update_user(ROOT, bob, UserChanges(password=common)),
        account.update_profile(
            bob, ProfileChanges(new_password=common, current_password=PASSWORD), ""
        ),
    ):
        assert await code_of(call) == "error-password-policy-not-met"
    lax = await server.replica(refuse_common_passwords=False)
    await lax.set_password(bob, common, "")
