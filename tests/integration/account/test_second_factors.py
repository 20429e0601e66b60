"""Second factors on a real database: enrolled, proven, used up, remembered, given up."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from hubbub.contracts.account import Account, LoginRefused, Registration
from hubbub.contracts.events import SettingsChanged
from hubbub.errors import HubbubError, NotAllowed, Unauthenticated
from hubbub.ids import UserId, hash_token
from services.account import second_factor
from services.account.service import AccountService
from tests.integration.account.conftest import Server

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"


@pytest.fixture
async def ann(account: Account) -> UserId:
    return await account.register(Registration(username="ann", email="a@x.org", password=PASSWORD))


async def signed_in(account: Account, code: str | None = None) -> str:
    """A new token of ann's, hashed."""
    login: dict[str, Any] = {"user": "ann", "password": PASSWORD}
    parameters = login if code is None else {"totp": {"code": code, "login": login}}
    return (await account.login(parameters)).hashed_token


async def code_of(call: Any) -> object:
    with pytest.raises(HubbubError) as refused:
        await call
    return refused.value.code


class App:
    """An app that has ann's secret, on the test's clock."""

    def __init__(self, server: Server, secret: str) -> None:
        self._server = server
        self._secret = second_factor.decoded_secret(secret)

    def code(self, ahead: int = 0) -> str:
        assert self._secret is not None
        return second_factor.code_at(self._secret, int(self._server.clock.time() // 30) + ahead)


async def enrolled(
    server: Server, account: Account, ann: UserId, token: str
) -> tuple[App, list[str]]:
    app = App(server, (await account.begin_totp(ann)).secret)
    codes = await account.confirm_totp(ann, app.code(-1), token)
    return app, codes


async def test_what_is_stored(server: Server, account: Account, ann: UserId) -> None:
    """The secret once it is confirmed, recovery codes only hashed, the step that was used."""
    token = await signed_in(account)
    begun = await account.begin_totp(ann)
    again = await account.begin_totp(ann)  # only the last one counts
    assert begun.secret != again.secret
    assert "enabled" not in str((await account.me(ann))["services"].get("totp", {}).get("secret"))
    wrong = App(server, begun.secret).code()
    assert await code_of(account.confirm_totp(ann, wrong, token)) == "invalid-totp"
    app = App(server, again.secret)
    codes = await account.confirm_totp(ann, app.code(), token)

    stored = (await server.stored(ann))["services"]["totp"]
    assert stored["enabled"] is True
    assert stored["secret"] == again.secret
    assert "tempSecret" not in stored
    assert stored["hashedBackup"] == [second_factor.hashed_recovery_code(one) for one in codes]
    assert (await account.me(ann))["services"]["totp"] == {"enabled": True}
    assert await code_of(signed_in(account, app.code())) == "totp-invalid"  # used just now


async def test_enabling_ends_other_logins(server: Server, account: Account, ann: UserId) -> None:
    """In the same write; the own login and personal tokens stay."""
    first, second = await signed_in(account), await signed_in(account)
    personal = await account.add_personal_token(ann, "bot")
    await enrolled(server, account, ann, second)

    await account.verify_token(ann, second)
    await account.authenticate(ann, personal)
    with pytest.raises(Unauthenticated):
        await account.verify_token(ann, first)


async def test_raced_codes(server: Server, account: Account, ann: UserId) -> None:
    """The same code twenty times at once on two replicas: it opens once."""
    app, recovery = await enrolled(server, account, ann, await signed_in(account))
    replicas = [await server.replica(), await server.replica()]
    for code in (app.code(), recovery[0]):
        attempts = [
            replicas[number % 2].login(
                {"totp": {"code": code, "login": {"user": "ann", "password": PASSWORD}}}
            )
            for number in range(4)
        ]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in results) == 1


async def test_five_tries(server: Server, account: Account, ann: UserId) -> None:
    """Then nothing is looked at for a while, whoever asks; the password stays usable for it."""
    app, _ = await enrolled(server, account, ann, await signed_in(account))
    for number in range(5):
        assert await code_of(signed_in(account, f"{number:06}")) == "totp-invalid"
    assert await code_of(signed_in(account, app.code())) == "totp-max-attempts"
    assert await code_of(account.disable_totp(ann, app.code())) == "totp-max-attempts"
    assert await code_of(account.renew_recovery_codes(ann, app.code())) == "totp-max-attempts"
    server.clock.advance(301)
    await signed_in(account, app.code())
    for number in range(4):  # forgotten by the success in between
        assert await code_of(signed_in(account, f"{number:06}")) == "totp-invalid"


async def test_wrong_password_tells_nothing_of_codes(
    server: Server, account: Account, ann: UserId
) -> None:
    """The factor is asked for behind the password only, and its codes are not used up before."""
    _, recovery = await enrolled(server, account, ann, await signed_in(account))
    login = {"user": "ann", "password": "wrong"}
    for parameters in (login, {"totp": {"code": recovery[0], "login": login}}):
        with pytest.raises(LoginRefused):
            await account.login(parameters)
    assert await account.recovery_codes_left(ann) == 10


async def test_sensitive_calls(server: Server, account: Account, ann: UserId) -> None:
    """Passed by a code, which counts for that token, for at most half an hour."""
    token = await signed_in(account)
    await account.prove_second_factor(ann, token)  # has none
    app, recovery = await enrolled(server, account, ann, token)

    assert await code_of(account.prove_second_factor(ann, token)) == "totp-required"
    assert await code_of(account.prove_second_factor(ann, token, "000000")) == "totp-invalid"
    await account.prove_second_factor(ann, token, app.code())
    await account.prove_second_factor(ann, token)
    other = await signed_in(account, recovery[0])
    assert await code_of(account.prove_second_factor(ann, other)) == "totp-required"
    server.clock.advance(1799)
    await account.prove_second_factor(ann, token)
    server.clock.advance(2)
    assert await code_of(account.prove_second_factor(ann, token)) == "totp-required"
    with pytest.raises(Unauthenticated):
        await account.prove_second_factor(ann, hash_token("nobody's"))


async def test_how_long_is_remembered(
    server: Server, account: Account, service: AccountService, ann: UserId
) -> None:
    """As the workspace says, but never longer than half an hour; 0: not at all."""
    token = await signed_in(account)
    _, recovery = await enrolled(server, account, ann, token)
    setting = "Accounts_TwoFactorAuthentication_RememberFor"
    for value, after, stays in ((86_400, 1801, False), (60, 59, True), (60, 61, False)):
        await server.setting(setting, value)
        await service.on_settings_changed(SettingsChanged(setting_id=setting))
        await account.prove_second_factor(ann, token, recovery.pop())
        server.clock.advance(after)
        if stays:
            await account.prove_second_factor(ann, token)
            server.clock.advance(100)
        assert await code_of(account.prove_second_factor(ann, token)) == "totp-required"
    await server.setting(setting, 0)
    await service.on_settings_changed(SettingsChanged(setting_id=setting))
    await account.prove_second_factor(ann, token, recovery.pop())
    assert await code_of(account.prove_second_factor(ann, token)) == "totp-required"


async def test_tokens_that_are_exempt(server: Server, account: Account, ann: UserId) -> None:
    """Personal ones made so, and no others."""
    token = await signed_in(account)
    exempt = hash_token(await account.add_personal_token(ann, "one", True))
    plain = hash_token(await account.add_personal_token(ann, "two"))
    await enrolled(server, account, ann, token)

    await account.prove_second_factor(ann, exempt)
    assert await code_of(account.prove_second_factor(ann, plain)) == "totp-required"


async def test_password_in_place_of_a_factor(
    server: Server, account: Account, service: AccountService, ann: UserId
) -> None:
    """Where the workspace wants it, whoever has no factor shows the password; not otherwise."""
    token = await signed_in(account)
    setting = "Accounts_TwoFactorAuthentication_Enforce_Password_Fallback"
    await server.setting(setting, True)
    await service.on_settings_changed(SettingsChanged(setting_id=setting))

    with pytest.raises(NotAllowed) as asked:
        await account.prove_second_factor(ann, token)
    assert asked.value.details["method"] == "password"
    assert await code_of(account.prove_second_factor(ann, token, "wrong", "password")) == (
        "totp-invalid"
    )
    await account.prove_second_factor(ann, token, PASSWORD, "password")
    await account.prove_second_factor(ann, token)
    other = await signed_in(account)
    await enrolled(server, account, ann, other)
    assert await code_of(account.prove_second_factor(ann, other, PASSWORD, "password")) == (
        "totp-invalid"
    )


async def test_switched_off_by_the_workspace(
    server: Server, account: Account, service: AccountService, ann: UserId
) -> None:
    """Nobody is asked and nobody can enrol; back on, factors hold again."""
    token = await signed_in(account)
    await enrolled(server, account, ann, token)
    setting = "Accounts_TwoFactorAuthentication_Enabled"
    for value in (False, True):
        await server.setting(setting, value)
        await service.on_settings_changed(SettingsChanged(setting_id=setting))
        if value:
            assert await code_of(signed_in(account)) == "totp-required"
        else:
            await signed_in(account)
            assert await code_of(account.begin_totp(ann)) == "error-not-allowed"


async def test_giving_up(server: Server, account: Account, ann: UserId) -> None:
    """Needs the factor; afterwards nothing of it is left, and another one can be had."""
    token = await signed_in(account)
    assert await account.disable_totp(ann, "123456") is False
    app, recovery = await enrolled(server, account, ann, token)
    assert await code_of(account.begin_totp(ann)) == "error-2fa-already-enabled"
    assert await account.disable_totp(ann, "000000") is False
    assert await account.disable_totp(ann, recovery[0]) is True

    assert (await server.stored(ann))["services"]["totp"] == {"enabled": False}
    await signed_in(account)
    assert await code_of(account.renew_recovery_codes(ann, app.code())) == "invalid-totp"
    assert await code_of(account.recovery_codes_left(ann)) == "invalid-totp"
    await account.begin_totp(ann)


async def test_records(server: Server, account: Account, ann: UserId) -> None:
    """On, off and used codes are written down, without any code."""
    app, recovery = await enrolled(server, account, ann, await signed_in(account))
    await signed_in(account, recovery[0])
    codes = await account.renew_recovery_codes(ann, app.code())
    await account.disable_totp(ann, codes[0])

    entries = await server.database["hubbub_audit"].find({"target": ann}).to_list()
    actions = [entry["action"] for entry in entries if entry["action"].startswith("factor.")]
    assert actions == [
        "factor.enabled",
        "factor.recovery-code-used",
        "factor.codes-renewed",
        "factor.recovery-code-used",
        "factor.disabled",
    ]
    assert not any(code in str(entries) for code in (*recovery, *codes))
    assert all(isinstance(entry["ts"], datetime) for entry in entries)


async def test_email_factor(server: Server, account: Account, ann: UserId) -> None:
    """Cannot be switched on without mail, can be switched off, and does not lock anybody out."""
    assert await code_of(account.set_email_factor(ann, True)) == "error-email-not-configured"
    await server.database["users"].update_one(
        {"_id": ann}, {"$set": {"services.email2fa": {"enabled": True}}}
    )
    await signed_in(account)
    await account.set_email_factor(ann, False)
    assert (await account.me(ann))["services"]["email2fa"] == {"enabled": False}
    for name in ("ann", "nobody", "a@x.org"):
        assert await code_of(account.send_email_code(name)) == "error-email-not-configured"
