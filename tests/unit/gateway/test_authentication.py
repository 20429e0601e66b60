"""Remembered tokens."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.clock import FakeClock
from hubbub.contracts.account import Account, Identity
from hubbub.contracts.events import UserChanged
from hubbub.contracts.messaging import Messaging
from hubbub.errors import Unauthenticated, Unavailable
from hubbub.ids import UserId
from services.gateway.rest.authentication import Authentication
from services.gateway.rest.workspace import Workspace


class _Account:
    """Knows tokens `t-<user>`; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def authenticate(self, user_id: UserId, token: str) -> Identity:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        if token != f"t-{user_id}":
            raise Unauthenticated("Invalid user")
        return Identity(user_id=user_id, username=user_id, hashed_token="h")


@pytest.fixture
def account() -> Any:
    return _Account()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def made(account: Any, clock: FakeClock, size: int = 10) -> Authentication:
    proxy: Account = account
    return Authentication(proxy, ttl=5.0, size=size, clock=clock)


def headers(user: str) -> dict[str, str]:
    return {"X-Auth-Token": f"t-{user}", "X-User-Id": user}


async def test_belief_ends(account: Any, clock: FakeClock) -> None:
    """Five seconds after the question, whatever happens."""
    authentication = made(account, clock)
    await authentication.identify(headers("a"))
    clock.advance(4.9)
    await authentication.identify(headers("a"))
    assert account.asked == 1

    clock.advance(0.2)
    await authentication.identify(headers("a"))
    assert account.asked == 2


async def test_an_event_ends_it_for_its_user_only(account: Any, clock: FakeClock) -> None:
    """Others stay known."""
    authentication = made(account, clock)
    for user in ("a", "b"):
        await authentication.identify(headers(user))
    await authentication.on_user_changed(UserChanged(user_id=UserId("a")))
    for user in ("a", "b"):
        await authentication.identify(headers(user))

    assert account.asked == 3


async def test_refusals_and_absences_are_not_remembered(account: Any, clock: FakeClock) -> None:
    """A token that becomes good is good at once; an absent service is no refusal."""
    authentication = made(account, clock)
    with pytest.raises(Unauthenticated):
        await authentication.identify({"X-Auth-Token": "x", "X-User-Id": "a"})
    account.away = True
    with pytest.raises(Unavailable):
        await authentication.identify(headers("a"))
    account.away = False

    assert await authentication.identify(headers("a")) is not None


async def test_memory_is_bounded(account: Any, clock: FakeClock) -> None:
    """The oldest go first, from both indexes."""
    authentication = made(account, clock, size=2)
    for user in ("a", "b", "c"):
        await authentication.identify(headers(user))

    assert len(authentication._known) == len(authentication._keys_of) == 2
    await authentication.identify(headers("c"))
    assert account.asked == 3
    authentication.forget_all()
    await authentication.identify(headers("c"))
    assert account.asked == 4


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"X-Auth-Token": "", "X-User-Id": ""},
        {"X-Auth-Token": "undefined", "X-User-Id": "undefined"},
        {"X-Auth-Token": "null"},
    ],
)
async def test_no_token(account: Any, clock: FakeClock, sent: dict[str, str]) -> None:
    """What clients send before they have one is none; nobody is asked."""
    assert await made(account, clock).identify(sent) is None
    assert account.asked == 0


@pytest.mark.parametrize(
    "sent",
    [
        {"X-Auth-Token": "x"},
        {"X-User-Id": "x"},
        {"X-Auth-Token": "a\u00e9", "X-User-Id": "a"},
        {"X-Auth-Token": "a\x01", "X-User-Id": "a"},
        {"X-Auth-Token": "a" * 2000, "X-User-Id": "a"},
    ],
)
async def test_half_and_strange_tokens(
    account: Any, clock: FakeClock, sent: dict[str, str]
) -> None:
    """Refused without asking anybody."""
    with pytest.raises(Unauthenticated):
        await made(account, clock).identify(sent)
    assert account.asked == 0


class _Messaging:
    """Knows one setting."""

    def __init__(self) -> None:
        self.asked = 0
        self.value: Any = 7
        self.away = False

    async def setting_values(self, setting_ids: list[str]) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return {"API_Default_Count": self.value}


async def test_settings_are_remembered_and_survive_an_absence(clock: FakeClock) -> None:
    """Asked once in thirty seconds; the last known value holds while nobody answers."""
    messaging: Any = _Messaging()
    proxy: Messaging = messaging
    workspace = Workspace(proxy, clock=clock)

    assert (await workspace.paging_rules()).default_count == 7
    assert (await workspace.paging_rules()).default_count == 7
    assert messaging.asked == 1
    messaging.away = True
    clock.advance(31.0)
    assert (await workspace.paging_rules()).default_count == 7
    messaging.away, messaging.value = False, 9
    clock.advance(3.0)
    assert (await workspace.paging_rules()).default_count == 9


async def test_settings_of_a_wrong_type_are_not_used(clock: FakeClock) -> None:
    """A text, a negative number or nothing where a count is expected: the usual count."""
    messaging: Any = _Messaging()
    for value in ("x", -1, 0, None, True):
        messaging.value = value
        workspace = Workspace(messaging, clock=clock)
        assert (await workspace.paging_rules()).default_count == 50
