"""What follows from changes of accounts."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import UserChanged
from hubbub.ids import UserId
from tests.unit.stream_hub.made import WHEN, decided, frame, shown

USER: dict[str, Any] = {
    "_id": "u1",
    "username": "ann",
    "name": "Ann",
    "status": "online",
    "roles": ["user"],
    "services": {"totp": {"enabled": True, "secret": "CANARY"}, "password": {"bcrypt": "CANARY"}},
}
KEY = "u1/userData"
ACCOUNT = ("user.u1", "control", "", "", b'{"type":"account-changed","user_id":"u1"}')
TOLD = [UserChanged(user_id=UserId("u1"))]


def _data(args: bytes) -> tuple[str, str, str, str, bytes]:
    return ("user.u1", "frame", "notify-user", KEY, frame("notify-user", KEY, args))


def _logged(key: str, args: bytes) -> tuple[str, str, str, str, bytes]:
    header = key
    return ("logged", "frame", "notify-logged", header, frame("notify-logged", key, args))


def test_a_new_account() -> None:
    decision = decided("users", "insert", USER)
    assert shown(decision) == [
        _data(
            b'[{"type":"inserted","id":"u1","data":{"_id":"u1","username":"ann","name":"Ann",'
            b'"status":"online","roles":["user"],"services":{"totp":{"enabled":true}}}}]'
        )
    ]
    assert decision.told == TOLD


def test_dotted_names_stay_dotted() -> None:
    updated = {"settings.preferences.theme": "dark", "_updatedAt": WHEN}
    decision = decided("users", "update", USER, updated=updated, removed=("bio",))
    assert shown(decision) == [
        _data(
            b'[{"type":"updated","id":"u1","diff":{"settings.preferences.theme":"dark",'
            b'"_updatedAt":{"$date":1777636800250}},"unset":{"bio":1}}]'
        )
    ]
    assert decision.told == TOLD


def test_presence_shows_to_its_owner_and_concerns_no_cache() -> None:
    decision = decided("users", "update", USER, updated={"status": "away"}, removed=("statusText",))
    assert shown(decision) == [
        _data(b'[{"type":"updated","id":"u1","diff":{"status":"away"},"unset":{"statusText":1}}]')
    ]
    assert decision.told == []


@pytest.mark.parametrize(
    "updated", [{"_updatedAt": WHEN}, {"lastLogin": WHEN}, {"statusConnection": "away"}]
)
def test_no_news(updated: dict[str, Any]) -> None:
    decision = decided("users", "update", USER, updated=updated)
    assert decision.events == []
    assert decision.told == []


def test_a_new_login_token_is_checked_and_never_shown() -> None:
    updated = {"services.resume.loginTokens": [{"hashedToken": "CANARY"}]}
    decision = decided("users", "update", USER, updated=updated)
    assert shown(decision) == [ACCOUNT]
    assert decision.told == TOLD


def test_of_two_factors_only_whether_they_are_on() -> None:
    now = USER | {"services": {"totp": {"enabled": False, "secret": "CANARY"}}}
    for name in ("services.totp.enabled", "services.totp", "services"):
        decision = decided("users", "update", now, updated={name: {"secret": "CANARY"}})
        assert shown(decision) == [
            ACCOUNT,
            _data(
                b'[{"type":"updated","id":"u1","diff":{"services.totp.enabled":false},"unset":{}}]'
            ),
        ]


def test_removing_two_factors_unsets_the_flag() -> None:
    gone = USER | {"services": {}}
    decision = decided("users", "update", gone, removed=("services.totp",))
    assert b'"unset":{"services.totp.enabled":1}' in decision.events[1].payload


@pytest.mark.parametrize("field", ["active", "roles"])
def test_rights_are_checked_again_ahead_of_the_frame(field: str) -> None:
    decision = decided("users", "update", USER, updated={field: []})
    assert shown(decision) == [
        ACCOUNT,
        _data(b'[{"type":"updated","id":"u1","diff":{"%b":[]},"unset":{}}]' % field.encode()),
    ]
    assert decision.told == TOLD


def test_a_new_name_is_told_to_all() -> None:
    decision = decided("users", "update", USER, updated={"name": "Ann"})
    assert shown(decision)[1:] == [
        _logged("Users:NameChanged", b'[{"_id":"u1","name":"Ann","username":"ann"}]')
    ]


def test_a_new_picture_is_told_to_all() -> None:
    now = USER | {"avatarETag": "e7"}
    decision = decided("users", "update", now, updated={"avatarETag": "e7"})
    assert shown(decision)[1:] == [_logged("updateAvatar", b'[{"username":"ann","etag":"e7"}]')]
    decision = decided("users", "update", USER, removed=("avatarETag",))
    assert shown(decision)[1:] == [_logged("updateAvatar", b'[{"username":"ann"}]')]


def test_an_array_that_lost_its_end_is_told_whole() -> None:
    now = USER | {"emails": [{"address": "a@b.c", "verified": True}]}
    decision = decided("users", "update", now, truncated=("emails",))
    assert shown(decision) == [
        _data(
            b'[{"type":"updated","id":"u1","diff":'
            b'{"emails":[{"address":"a@b.c","verified":true}]},"unset":{}}]'
        )
    ]


def test_a_replacement_tells_everything_public() -> None:
    decision = decided("users", "replace", USER)
    assert shown(decision)[0] == ACCOUNT
    assert shown(decision)[1] == _data(
        b'[{"type":"updated","id":"u1","diff":{"username":"ann","name":"Ann","status":"online",'
        b'"roles":["user"],"services.totp.enabled":true},"unset":{}}]'
    )


def test_a_deleted_account() -> None:
    decision = decided("users", "delete", id_="u1")
    assert shown(decision) == [ACCOUNT, _data(b'[{"type":"removed","id":"u1"}]')]
    assert decision.told == [UserChanged(user_id=UserId("u1"), deleted=True)]
