"""What follows from changes of accounts."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import UserChanged, UserIdentityChanged
from hubbub.ids import UserId
from services.stream_hub.domain import needs
from tests.unit.stream_hub.made import WHEN, Known, change, decided, frame, shown

USER: dict[str, Any] = {
    "_id": "u1",
    "username": "ann",
    "name": "Ann",
    "status": "online",
    "roles": ["user"],
    "services": {"totp": {"enabled": True, "secret": "CANARY"}, "password": {"bcrypt": "CANARY"}},
}
KEY = "u1/userData"
CHANGED = b'{"type":"account-changed","user_id":"u1","rights":%b}'
RIGHTS = ("user.u1", "control", "", "", CHANGED % b"true")
TOKENS = ("user.u1", "control", "", "", CHANGED % b"false")
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
    assert shown(decision) == [TOKENS]
    assert decision.told == TOLD


def test_of_two_factors_only_whether_they_are_on() -> None:
    now = USER | {"services": {"totp": {"enabled": False, "secret": "CANARY"}}}
    for name in ("services.totp.enabled", "services.totp", "services"):
        decision = decided("users", "update", now, updated={name: {"secret": "CANARY"}})
        assert shown(decision) == [
            TOKENS,
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
    assert shown(decision)[:2] == [
        RIGHTS,
        _data(b'[{"type":"updated","id":"u1","diff":{"%b":[]},"unset":{}}]' % field.encode()),
    ]
    assert UserChanged(user_id=UserId("u1")) in decision.told


@pytest.mark.parametrize(
    ("before", "told"),
    [
        pytest.param(["user"], [("added", "admin")], id="given"),
        pytest.param(["user", "admin", "bot"], [("removed", "bot")], id="taken"),
        pytest.param(
            ["bot"], [("added", "user"), ("added", "admin"), ("removed", "bot")], id="all"
        ),
        pytest.param(["admin", "user"], [], id="order"),
        pytest.param(None, [("changed", "user"), ("changed", "admin")], id="unknown"),
    ],
)
def test_roles_given_and_taken_are_told_to_all(
    before: list[str] | None, told: list[tuple[str, str]]
) -> None:
    """Behind everything else, since what was before is looked up."""
    now = USER | {"roles": ["user", "admin"]}
    decision = decided(
        "users", "update", now, updated={"roles": now["roles"]}, known=Known(roles=before)
    )
    assert shown(decision)[2:] == [
        _logged(
            "roles-change",
            b'[{"type":"%b","_id":"%b","u":{"_id":"u1","username":"ann","name":"Ann"}}]'
            % (kind.encode(), role.encode()),
        )
        for kind, role in told
    ]


@pytest.mark.parametrize("operation", ["insert", "replace"])
def test_roles_of_new_accounts_are_no_change(operation: str) -> None:
    decision = decided("users", operation, USER, known=Known(roles=[]))
    assert not [event for event in shown(decision) if event[3] == "roles-change"]


def test_only_a_change_of_roles_asks_for_the_past() -> None:
    changed = change("users", "update", USER, updated={"roles": []})
    assert needs(changed).roles_before == ("u1", changed.moment)
    for other in ("status", "services.resume.loginTokens"):
        assert needs(change("users", "update", USER, updated={other: 1})).roles_before is None


@pytest.mark.parametrize("field", ["name", "username", "active"])
def test_who_somebody_is_concerns_copies(field: str) -> None:
    decision = decided("users", "update", USER, updated={field: "x"})
    assert decision.told == [*TOLD, UserIdentityChanged(user_id=UserId("u1"))]


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
    assert shown(decision)[0] == RIGHTS
    assert shown(decision)[1] == _data(
        b'[{"type":"updated","id":"u1","diff":{"username":"ann","name":"Ann","status":"online",'
        b'"roles":["user"],"services.totp.enabled":true},"unset":{}}]'
    )


@pytest.mark.parametrize(
    ("erasure", "told"),
    [
        ("Delete", b'[{"userId":"u1","messageErasureType":"Delete"}]'),
        ("Keep", b'[{"userId":"u1","messageErasureType":"Keep"}]'),
        (
            "Unlink",
            b'[{"userId":"u1","messageErasureType":"Unlink","replaceByUser":{"_id":"rocket.cat",'
            b'"username":"rocket.cat","alias":"Removed User"}}]',
        ),
    ],
)
def test_a_deleted_account(erasure: str, told: bytes) -> None:
    decision = decided("users", "delete", id_="u1", known=Known(erasure=erasure))
    assert shown(decision) == [
        RIGHTS,
        _data(b'[{"type":"removed","id":"u1"}]'),
        _logged("Users:Deleted", told),
    ]
    assert decision.told == [
        UserChanged(user_id=UserId("u1"), deleted=True),
        UserIdentityChanged(user_id=UserId("u1"), deleted=True),
    ]
