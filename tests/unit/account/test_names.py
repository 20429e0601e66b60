"""Usernames, addresses, passwords, codes, and what others see."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import BadRequest, NotAllowed
from services.account import names, profile, second_factor

PATTERN = str(SETTINGS[names.USERNAME_PATTERN].value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bob", "bob"),
        (" Bob.Smith-2_x ", "Bob.Smith-2_x"),
        ("ｂｏｂ", "bob"),  # full-width letters are the same name
    ],
)
def test_good_usernames(text: str, name: str) -> None:
    """Normalized and trimmed."""
    assert names.username(text, PATTERN) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "..",
        "-_-",
        "bo b",
        "bo@b",
        "bob\x00",
        "bo\nb",
        "bob\u202e",
        "bo\u200db",
        "ünder",
        "all",
        "HERE",
        "x" * 65,
        "bob＠x",
        "../../etc",
        "a/b",
    ],
    ids=repr,
)
def test_bad_usernames(text: str) -> None:
    """Mentions of everybody, tricks with letters, paths."""
    with pytest.raises(BadRequest) as refused:
        names.username(text, PATTERN)

    assert refused.value.code == "username-invalid"


def test_broken_pattern_counts_as_the_default() -> None:
    """A setting that is no pattern must not lock everybody out."""
    assert names.username("bob", "[0-9") == "bob"
    with pytest.raises(BadRequest):
        names.username("bo b", "[0-9")


@given(st.text(max_size=80))
def test_usernames_never_escape(text: str) -> None:
    """Whatever arrives: an allowed name or the one refusal."""
    try:
        name = names.username(text, PATTERN)
    except BadRequest:
        return
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@pytest.mark.parametrize("text", ["a@b.org", " A.b+c@x-y.example.com ", "root@localhost"])
def test_good_addresses(text: str) -> None:
    """Kept as written, but trimmed."""
    assert names.address(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@x.org",
        "bob@",
        "a@b@c",
        "a b@c.org",
        "a@-b.org",
        "a@b..org",
        "a@b.org\nBcc: x",
        "<a@b.org>",
        "a" * 65 + "@b.org",
        "a@" + "b." * 130 + "org",
        "a\x00@b.org",
    ],
    ids=repr,
)
def test_bad_addresses(text: str) -> None:
    """Nothing that a mail program could read otherwise."""
    with pytest.raises(BadRequest) as refused:
        names.address(text)

    assert refused.value.code == "error-invalid-email"


def test_addresses_are_judged_in_linear_time() -> None:
    """Crafted texts do not spin."""
    began = time.thread_time()
    for text in ("a@" + "b-" * 120 + "!", "a@" + "b." * 120 + "!", "a" * 250):
        with pytest.raises(BadRequest):
            names.address(text)

    assert time.thread_time() - began < 0.05


def test_passwords() -> None:
    """Length counts; digests pass as they are."""
    digest = hashlib.sha256(b"performance").hexdigest()

    assert names.password_digest("performance", shortest=8, longest=128) == digest
    assert names.password_digest(digest.upper(), shortest=8, longest=128) == digest
    for bad in ("", "1234567", " " * 12, "x" * 129, "12345678\x00"):
        with pytest.raises(BadRequest) as refused:
            names.password_digest(bad, shortest=8, longest=128)
        assert refused.value.code == "error-password-policy-not-met"


@pytest.mark.parametrize(
    "fields", [{"$where": 1}, {"a.b": 1}, {"": 1}, {"a": {}}, {"a": [1]}, {"a" * 65: 1}], ids=str
)
def test_bad_custom_fields(fields: dict[str, Any]) -> None:
    """No operators, no paths, nothing nested."""
    with pytest.raises(BadRequest):
        names.custom_fields(fields)


# -- what others see -----------------------------------------------------------------------------


CANARY = "canary-7f3a"
USER: dict[str, Any] = {
    "_id": "u",
    "username": "bob",
    "name": "Bob",
    "emails": [{"address": "b@x.org", "verified": True}],
    "roles": ["user"],
    "type": "user",
    "active": True,
    "status": "online",
    "settings": {"preferences": {"useEmojis": False}, "secret": CANARY},
    "services": {
        "password": {"bcrypt": CANARY},
        "resume": {"loginTokens": [{"hashedToken": CANARY}]},
        "totp": {"enabled": True, "secret": CANARY},
        "email2fa": {"enabled": False},
    },
    "e2e": {"private_key": CANARY},
    "inviteToken": CANARY,
    "somethingNew": CANARY,
}


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(profile.for_others(USER, full=False), id="others"),
        pytest.param(profile.for_others(USER, full=True), id="administrators"),
        pytest.param(profile.for_oneself(USER, root_url="http://x", defaults={}), id="oneself"),
        pytest.param(profile.for_list(USER, full=True), id="list"),
        pytest.param(profile.picked(USER, profile.KEPT_BY_CLIENTS), id="socket"),
    ],
)
def test_secrets_never_leave(shown: dict[str, Any]) -> None:
    """Only listed fields are shown, so new ones are not either."""
    assert CANARY not in repr(shown)


def test_others_see_less() -> None:
    """Addresses and roles are for administrators."""
    assert profile.for_others(USER, full=False).keys() == {
        "_id", "username", "name", "type", "active", "status", "canViewAllInfo",
    }  # fmt: skip
    assert profile.for_others(USER, full=True)["emails"] == USER["emails"]


def test_me() -> None:
    """The shape that clients of REST expect."""
    me = profile.for_oneself(USER, root_url="http://chat.example/", defaults={})

    assert me["email"] == "b@x.org"
    assert me["avatarUrl"] == "http://chat.example/avatar/bob"
    assert me["isOAuthUser"] is False
    assert me["services"] == {
        "password": {"exists": True},
        "totp": {"enabled": True},
        "email2fa": {"enabled": False},
    }
    assert me["settings"]["profile"] == {}
    assert me["settings"]["preferences"] == profile.PREFERENCES | {"useEmojis": False}


def test_preferences_are_checked() -> None:
    """Known keys, with values of their type."""
    good = {
        "useEmojis": False,
        "idleTimeLimit": 60,
        "sidebarSectionsOrder": ["a"],
        "language": "de",
    }

    assert profile.checked_preferences(good) == good
    all_bad: list[dict[str, Any]] = [
        {"unknown": 1},
        {"useEmojis": 1},
        {"idleTimeLimit": True},
        {"sidebarSectionsOrder": [1]},
        {"$set": {}},
        {"language": {}},
    ]
    for bad in all_bad:
        with pytest.raises(BadRequest):
            profile.checked_preferences(bad)


# -- second factor -------------------------------------------------------------------------------

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_of_the_standard(now: int, code: str) -> None:
    """RFC 6238 appendix B, the last six digits."""
    assert second_factor.code_at(SECRET, now // 30) == code


def test_codes_are_good_once_and_for_a_window() -> None:
    """One step before and after; never the step that was used, nor an earlier one."""
    now = 1234567890.0
    step = int(now // 30)
    fresh = second_factor.Factor(SECRET, 0)

    for offset in (-1, 0, 1):
        code = second_factor.code_at(SECRET, step + offset)
        assert second_factor.accepted_step(fresh, code, now) == step + offset
    for offset in (-2, 2):
        with pytest.raises(NotAllowed) as refused:
            second_factor.accepted_step(fresh, second_factor.code_at(SECRET, step + offset), now)
        assert refused.value.code == "totp-invalid"
    used = second_factor.Factor(SECRET, step)
    with pytest.raises(NotAllowed):
        second_factor.accepted_step(used, second_factor.code_at(SECRET, step), now)


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "１２３４５６", "000 00"], ids=repr
)
def test_what_is_no_code(code: str) -> None:
    """Refused like a wrong one."""
    with pytest.raises(NotAllowed) as refused:
        second_factor.accepted_step(second_factor.Factor(SECRET, 0), code, 59.0)

    assert refused.value.code == "totp-invalid"


def test_factor_of_a_user() -> None:
    """Switched on: needed. Switched on but unreadable: nobody gets in."""

    def user(**totp: Any) -> dict[str, Any]:
        return {"services": {"totp": totp}}

    text = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert second_factor.factor_of({}) is None
    assert second_factor.factor_of(user(enabled=False, secret=text)) is None
    assert second_factor.factor_of(user(enabled=True, secret=text, lastStep=7)) == (
        second_factor.Factor(SECRET, 7)
    )
    for broken in ({"enabled": True}, {"enabled": True, "secret": "1!"}):
        with pytest.raises(NotAllowed):
            second_factor.factor_of(user(**broken))
