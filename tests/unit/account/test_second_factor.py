"""One-time passwords and recovery codes, as they are made and read."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from hubbub.errors import NotAllowed
from services.account import second_factor
from services.account.second_factor import Factor

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_of_the_standard(moment: int, code: str) -> None:
    """The table of RFC 6238, appendix B, in six digits."""
    assert second_factor.code_at(SECRET, moment // 30) == code
    assert second_factor.accepted_step(Factor(SECRET, 0), code, moment) == moment // 30


@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_window(ahead: int) -> None:
    """The step before and after count too, once."""
    code = second_factor.code_at(SECRET, 1000 + ahead)
    assert second_factor.accepted_step(Factor(SECRET, 0), code, 30_000.0) == 1000 + ahead
    with pytest.raises(NotAllowed) as used:
        second_factor.accepted_step(Factor(SECRET, 1000 + ahead), code, 30_000.0)
    assert used.value.code == "totp-invalid"


@pytest.mark.parametrize("ahead", [-2, 2])
def test_beyond_the_window(ahead: int) -> None:
    """Two steps away is too far."""
    code = second_factor.code_at(SECRET, 1000 + ahead)
    with pytest.raises(NotAllowed):
        second_factor.accepted_step(Factor(SECRET, 0), code, 30_000.0)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "12345x", "1e5000"])
def test_what_is_no_code(code: str) -> None:
    """Refused before anything is compared."""
    with pytest.raises(NotAllowed):
        second_factor.accepted_step(Factor(SECRET, 0), code, 0)


def test_secrets() -> None:
    """Each is another one, of the length of the hash, and what an app reads of it."""
    one, two = second_factor.new_secret(), second_factor.new_secret()
    assert one != two
    assert len(base64.b32decode(one)) == 20
    url = urlsplit(second_factor.app_url(one, "My: chat & more", "ana"))
    assert (url.scheme, url.netloc, unquote(url.path)) == (
        "otpauth",
        "totp",
        "/My: chat & more:ana",
    )
    assert parse_qs(url.query) == {"secret": [one], "issuer": ["My: chat & more"]}
    assert "+" not in url.query


@pytest.mark.parametrize("text", [None, "", "1", "not base32!", 3, {"$gt": ""}])
def test_unreadable_secrets(text: object) -> None:
    """Nobody can show a factor whose secret is broken, so nobody gets past it."""
    user = {"services": {"totp": {"enabled": True, "secret": text}}}
    with pytest.raises(NotAllowed) as refused:
        second_factor.factor_of(user)
    assert refused.value.code == "totp-required"


@pytest.mark.parametrize(
    "totp", [None, {}, {"enabled": False, "secret": "x"}, {"enabled": 1, "secret": "x"}, "x"]
)
def test_no_factor(totp: object) -> None:
    """Only what is switched on asks for codes."""
    assert second_factor.factor_of({"services": {"totp": totp}}) is None


def test_recovery_codes() -> None:
    """Ten different ones, hashed as other servers hash them."""
    codes = second_factor.new_recovery_codes()
    assert len(set(codes)) == 10
    assert all(second_factor.is_recovery_code(code) for code in codes)
    assert not second_factor.is_recovery_code("123456")
    assert second_factor.hashed_recovery_code(f" {codes[0]} ") == (
        hashlib.sha256(codes[0].encode()).hexdigest()
    )


def test_waiting_secret() -> None:
    """Only until it is confirmed."""
    waiting = {"services": {"totp": {"enabled": False, "tempSecret": "ABC"}}}
    in_use = {"services": {"totp": {"enabled": True, "tempSecret": "ABC"}}}
    assert second_factor.waiting_secret(waiting) == "ABC"
    assert second_factor.waiting_secret(in_use) is None
    assert second_factor.waiting_secret({}) is None
