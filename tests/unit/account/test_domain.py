"""The rules of login and tokens."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.account import LoginExpired
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import hash_token
from services.account.domain import (
    Resume,
    Selector,
    Token,
    WithPassword,
    address_group,
    check_active,
    check_token,
    check_verified_address,
    moment,
    needs_last_login,
    password_hash,
    read_login,
    token_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(days=90)
DIGEST = hashlib.sha256(b"secret").hexdigest()
HASHED = {"digest": DIGEST, "algorithm": "sha-256"}
BY_NAME = Selector("username", "bob")


def read(parameters: dict[str, Any], *, allow_plaintext: bool = True) -> Resume | WithPassword:
    return read_login(parameters, allow_plaintext=allow_plaintext)


# -- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "attempt"),
    [
        pytest.param({"resume": "t"}, Resume("t"), id="resume"),
        pytest.param(
            {"user": {"username": "bob"}, "password": HASHED},
            WithPassword(BY_NAME, DIGEST),
            id="digest",
        ),
        pytest.param(
            {"user": {"email": "b@x.org"}, "password": HASHED},
            WithPassword(Selector("email", "b@x.org"), DIGEST),
            id="by-email",
        ),
        pytest.param(
            {"user": {"id": "bob-id"}, "password": HASHED},
            WithPassword(Selector("id", "bob-id"), DIGEST),
            id="by-id",
        ),
        pytest.param(
            {"user": {"username": "bob"}, "password": "secret"},
            WithPassword(BY_NAME, DIGEST),
            id="plain",
        ),
        pytest.param(
            {"user": {"username": "bob", "email": None, "id": None}, "password": "secret"},
            WithPassword(BY_NAME, DIGEST),
            id="holes",
        ),
        pytest.param({"user": "bob", "password": HASHED}, WithPassword(BY_NAME, DIGEST), id="text"),
        pytest.param(
            {"user": "b@x.org", "password": HASHED},
            WithPassword(Selector("email", "b@x.org"), DIGEST),
            id="text-with-at",
        ),
        pytest.param(
            {"username": "bob", "password": "secret"}, WithPassword(BY_NAME, DIGEST), id="rest"
        ),
        pytest.param(
            {"user": "bob", "password": {"digest": DIGEST.upper(), "algorithm": "sha-256"}},
            WithPassword(BY_NAME, DIGEST),
            id="upper-case-digest",
        ),
        pytest.param(
            {"user": "bob", "password": {"hashed": DIGEST}},
            WithPassword(BY_NAME, DIGEST),
            id="hashed",
        ),
        pytest.param(
            {"totp": {"code": "123456", "login": {"user": "bob", "password": HASHED}}},
            WithPassword(BY_NAME, DIGEST, "123456"),
            id="second-factor",
        ),
    ],
)
def test_variants(parameters: dict[str, Any], attempt: Resume | WithPassword) -> None:
    """Every way to say who one is."""
    assert read(parameters) == attempt


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"ldap": True, "username": "bob", "ldapPass": "secret"},
        {"oauth": {"credentialToken": "x"}},
        {"user": {"username": "bob"}},
        {"password": "secret"},
        {"resume": None},
        {"apple": {}, "email": "b@x.org"},
    ],
    ids=str,
)
def test_unknown_variants(parameters: dict[str, Any]) -> None:
    """Other login services, and halves of known variants."""
    with pytest.raises(BadRequest) as refused:
        read(parameters)

    assert (refused.value.code, refused.value.reason) == (
        400,
        "Unrecognized options for login request",
    )


STRANGE = [
    {"$ne": None},
    {"$gt": ""},
    {"$regex": ".*"},
    ["bob"],
    [],
    True,
    0,
    7.5,
    "",
    "a\x00b",
    "x" * 5000,
]


@pytest.mark.parametrize("strange", STRANGE, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "place",
    ["resume", "username", "email", "id", "user", "digest", "hashed", "password", "code", "rest"],
)
def test_malformed(strange: Any, place: str) -> None:
    """Whatever stands where a text belongs: the same refusal, never a query."""
    by_place: dict[str, dict[str, Any]] = {
        "resume": {"resume": strange},
        "user": {"user": strange, "password": HASHED},
        "digest": {"user": "bob", "password": {"digest": strange, "algorithm": "sha-256"}},
        "hashed": {"user": "bob", "password": {"hashed": strange}},
        "password": {"user": "bob", "password": strange},
        "code": {"totp": {"code": strange, "login": {"user": "bob", "password": HASHED}}},
        "rest": {"username": strange, "password": HASHED},
    }
    parameters = by_place.get(place, {"user": {place: strange}, "password": HASHED})

    with pytest.raises(BadRequest) as refused:
        read(parameters)

    assert (refused.value.code, refused.value.reason) == (400, "Match failed")


@pytest.mark.parametrize(
    "password",
    [
        {"digest": DIGEST, "algorithm": "md5"},
        {"digest": DIGEST},
        {"digest": "secret", "algorithm": "sha-256"},
        {"digest": DIGEST + "0", "algorithm": "sha-256"},
        {"algorithm": "sha-256"},
    ],
    ids=str,
)
def test_malformed_digests(password: Any) -> None:
    """A digest is 64 hex digits and says how it was made; a plain text is no digest."""
    with pytest.raises(BadRequest) as refused:
        read({"user": "bob", "password": password})

    assert refused.value.reason == "Match failed"


def test_plain_passwords_can_be_forbidden() -> None:
    """Then only digests are a known variant."""
    with pytest.raises(BadRequest) as refused:
        read({"user": "bob", "password": "secret"}, allow_plaintext=False)

    assert refused.value.reason == "Unrecognized options for login request"
    by_digest = read({"user": "bob", "password": HASHED}, allow_plaintext=False)
    assert by_digest == WithPassword(BY_NAME, DIGEST)


def test_subjects_do_not_depend_on_case() -> None:
    """Failures of an unknown user count together however the name is written."""
    assert Selector("username", "BOB").subject == Selector("username", "bob").subject
    assert Selector("username", "bob").subject != Selector("email", "bob").subject


def test_password_does_not_show_in_logs() -> None:
    """What is kept of it is a digest."""
    assert "secret" not in repr(read({"user": "bob", "password": "secret"}))


# -- tokens --------------------------------------------------------------------------------------


def holder(*tokens: object) -> dict[str, Any]:
    return {"services": {"resume": {"loginTokens": list(tokens)}}}


def stored(plain: str, when: object = NOW) -> dict[str, Any]:
    return {"when": when, "hashedToken": hash_token(plain)}


def test_token_is_found_among_others() -> None:
    """Broken neighbours do no harm."""
    user = holder(stored("a"), None, {"hashedToken": 3}, "x", stored("b"))

    assert token_of(user, hash_token("b")) == Token(hash_token("b"), NOW, is_personal=False)
    assert token_of(user, hash_token("c")) is None


@pytest.mark.parametrize("user", [{}, {"services": None}, {"services": {"resume": {}}}, holder()])
def test_user_without_tokens(user: dict[str, Any]) -> None:
    """Whatever is missing."""
    assert token_of(user, hash_token("a")) is None


@pytest.mark.parametrize(
    ("age", "is_good"),
    [
        pytest.param(timedelta(0), True, id="new"),
        pytest.param(LIFETIME - timedelta(milliseconds=1), True, id="last-moment"),
        pytest.param(LIFETIME, False, id="over"),
    ],
)
def test_expiry(age: timedelta, is_good: bool) -> None:
    """Ninety days after it was made, not prolonged by use."""
    token = Token("h", NOW - age, is_personal=False)

    assert token.is_expired(LIFETIME, NOW) is not is_good
    assert token.expires(LIFETIME, NOW) == NOW - age + LIFETIME


def test_personal_tokens_never_expire() -> None:
    """But clients get a date."""
    token = Token("h", None, is_personal=True)

    assert not token.is_expired(LIFETIME, NOW)
    assert token.expires(LIFETIME, NOW) == NOW + timedelta(days=365)


def test_token_without_a_date_is_over() -> None:
    """Nobody knows how old it is."""
    assert Token("h", None, is_personal=False).is_expired(LIFETIME, NOW)


def test_texts_of_refused_tokens() -> None:
    """Clients compare them: one for unknown, one for expired."""
    with pytest.raises(LoginExpired) as unknown:
        check_token(None, LIFETIME, NOW)
    with pytest.raises(LoginExpired) as expired:
        check_token(Token("h", NOW - LIFETIME, is_personal=False), LIFETIME, NOW)

    assert unknown.value.message == (
        "You've been logged out by the server. Please log in again. [403]"
    )
    assert expired.value.message == "Your session has expired. Please log in again. [403]"


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (NOW, NOW),
        ("2026-03-01T12:00:00.000Z", NOW),
        ("2026-03-01T12:00:00+00:00", NOW),
        (datetime(2026, 3, 1, 12), NOW),  # noqa: DTZ001  a driver without zones
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
    ids=str,
)
def test_dates_of_other_programs(value: object, result: datetime | None) -> None:
    """Some write dates as text."""
    assert moment(value) == result


@pytest.mark.parametrize(
    ("last", "needed"),
    [
        (None, True),
        ("2026-03-01T11:59:30Z", False),
        (NOW - timedelta(seconds=59), False),
        (NOW - timedelta(seconds=60), True),
        ("never", True),
    ],
    ids=str,
)
def test_last_login_is_written_once_a_minute(last: object, needed: bool) -> None:
    """A bot that signs in all the time does not write all the time."""
    assert needs_last_login({"lastLogin": last}, NOW, timedelta(minutes=1)) is needed


# -- users ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [False, None, "true", 1, "missing"], ids=str)
def test_only_active_users(active: object) -> None:
    """A missing or strange flag is not active."""
    user = {} if active == "missing" else {"active": active}

    with pytest.raises(NotAllowed) as refused:
        check_active(user)

    assert refused.value.code == "error-user-is-not-activated"
    check_active({"active": True})


def test_verified_address() -> None:
    """Only where the workspace requires it; any one verified address is enough."""
    check_verified_address({}, required=False)
    check_verified_address({"emails": [{}, {"address": "a", "verified": True}]}, required=True)
    for emails in (None, [], [{"address": "a", "verified": False}], ["a"]):
        with pytest.raises(NotAllowed) as refused:
            check_verified_address({"emails": emails}, required=True)
        assert refused.value.code == "error-invalid-email"


@pytest.mark.parametrize(
    "services",
    [None, {}, {"password": None}, {"password": {"bcrypt": ""}}, {"password": {"bcrypt": 3}}],
)
def test_users_without_a_password(services: object) -> None:
    """Cannot sign in with one."""
    assert password_hash({"services": services}) is None


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", None),
        ("nonsense", None),
    ],
)
def test_addresses_that_count_together(address: str, group: str | None) -> None:
    """A household has a whole /64."""
    assert address_group(address) == group
