"""Methods that ask for the second factor."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hubbub.bus import current_call
from hubbub.doors.methods import METHODS, Caller, Services
from hubbub.errors import BadRequest, HubbubError, NotAllowed, NotFound, Unauthenticated
from hubbub.ids import UserId

ANN = UserId("ann")
GENERATE = "personalAccessTokens:generateToken"


class FakeAccount:
    """Wants the code 123456, and remembers what happened in which order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.asks = True

    async def prove_second_factor(
        self,
        user_id: UserId,
        hashed_token: str,
        code: str | None = None,
        method: str | None = None,
    ) -> None:
        self.events.append(("prove", user_id, hashed_token, code, method))
        if self.asks and code != "123456":
            raise NotAllowed("TOTP Required", code="totp-required")

    async def add_personal_token(self, user_id: UserId, name: str, bypass: bool = False) -> str:
        self.events.append(("add", user_id, name, bypass, current_call().origin))
        return "token"


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


async def call(account: FakeAccount, name: str, *params: Any, **caller: Any) -> Any:
    nothing = cast(Any, None)
    services = Services(
        **{field: nothing for field in Services.__dataclass_fields__ if field != "account"},
        account=cast(Any, account),
    )
    who = Caller(**{"user_id": ANN, "hashed_token": "h", "address": "203.0.113.7"} | caller)
    return await METHODS[name].call(services, who, list(params))


async def test_factor_comes_first(account: FakeAccount) -> None:
    """Nothing happens without it; with it, the deed knows where it came from."""
    with pytest.raises(NotAllowed):
        await call(account, GENERATE, {"tokenName": "bot"})
    assert account.events == [("prove", ANN, "h", None, None)]
    account.events.clear()
    assert await call(account, GENERATE, {"tokenName": "bot"}, code="123456") == "token"
    assert account.events == [
        ("prove", ANN, "h", "123456", None),
        ("add", ANN, "bot", False, "203.0.113.7"),
    ]


async def test_codes_are_not_wasted(account: FakeAccount) -> None:
    """On a call that is malformed, or of nobody."""
    for params in ((), ({"tokenName": ""},), ({"tokenName": {"$ne": 1}},)):
        with pytest.raises(BadRequest):
            await call(account, GENERATE, *params, code="123456")
    for caller in ({"user_id": None}, {"hashed_token": None}):
        with pytest.raises(Unauthenticated):
            await call(account, GENERATE, {"tokenName": "bot"}, code="123456", **caller)
    assert account.events == []


async def test_wrapped(account: FakeAccount) -> None:
    """The code of the wrapping is the code of the method inside, and of no other."""
    wrapped: dict[str, Any] = {
        "code": "123456",
        "ddpMethod": GENERATE,
        "params": [{"tokenName": "bot"}],
    }
    assert await call(account, "callWithTwoFactorRequired", wrapped) == "token"
    assert account.events[0] == ("prove", ANN, "h", "123456", "totp")
    for inner, error in (
        ("no/such", NotFound),
        ("callWithTwoFactorRequired", BadRequest),
    ):
        with pytest.raises(error):
            await call(account, "callWithTwoFactorRequired", wrapped | {"ddpMethod": inner})
    broken_ones: list[dict[str, Any]] = [
        {},
        {"code": "1"},
        wrapped | {"params": {}},
        wrapped | {"code": {"$ne": 1}},
    ]
    for broken in broken_ones:
        with pytest.raises(HubbubError):
            await call(account, "callWithTwoFactorRequired", broken)


def test_which_methods_ask() -> None:
    """Whatever makes or removes tokens, or changes the password by itself."""
    sensitive = {name for name, row in METHODS.items() if row.sensitive}
    assert sensitive >= {
        "setUserPassword",
        "personalAccessTokens:generateToken",
        "personalAccessTokens:regenerateToken",
        "personalAccessTokens:removeToken",
    }
