"""Stored forms of passwords, and which passwords are too common."""

from __future__ import annotations

import hashlib

import bcrypt
import pytest

from hubbub.errors import BadRequest
from services.account import names
from services.account.common_passwords import is_common, is_common_digest
from services.account.hashing import Scheme, is_usable, matches

DIGEST = hashlib.sha256(b"correct horse").hexdigest()
OTHER = hashlib.sha256(b"wrong horse").hexdigest()
ARGON2 = Scheme("argon2id").hash(DIGEST)
BCRYPT = bcrypt.hashpw(DIGEST.encode(), bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize("stored", [ARGON2, BCRYPT], ids=["argon2id", "bcrypt"])
def test_both_kinds_verify(stored: str) -> None:
    """Whichever new ones are made with; and only the right password."""
    assert is_usable(stored)
    assert matches(DIGEST, stored)
    assert not matches(OTHER, stored)
    assert not matches("", stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        BCRYPT.replace("$04$", "$31$"),
        BCRYPT.replace("$04$", "$03$"),
        BCRYPT[:-1],
        ARGON2.replace("argon2id", "argon2i"),
        ARGON2.replace("m=65536", "m=4194304"),
        ARGON2.replace("t=3", "t=99"),
        ARGON2.replace("p=4", "p=64"),
        ARGON2.replace("v=19", "v=16"),
        ARGON2 + "$x",
    ],
)
def test_what_is_not_computed(stored: str) -> None:
    """Other programs' forms, broken ones, and those that would keep a thread busy for long."""
    assert not is_usable(stored)


def test_broken_argon2_is_no_match() -> None:
    """One that looks right but cannot be decoded is refused, not a crash."""
    broken = ARGON2[:-3] + "A=="[:3].replace("=", "A")
    assert not matches(OTHER, broken)


def test_stronger_schemes() -> None:
    """Weaker hashes are replaced, never stronger ones."""
    twelve = BCRYPT.replace("$04$", "$12$")
    assert Scheme("bcrypt", 10).is_stronger_than(BCRYPT)
    assert not Scheme("bcrypt", 10).is_stronger_than(twelve)
    assert not Scheme("bcrypt", 12).is_stronger_than(twelve)
    assert not Scheme("bcrypt", 14).is_stronger_than(ARGON2)
    assert Scheme("argon2id").is_stronger_than(twelve)
    assert not Scheme("argon2id").is_stronger_than(ARGON2)
    assert Scheme("argon2id").is_stronger_than(ARGON2.replace("t=3", "t=1"))


@pytest.mark.parametrize("text", ["bcrypt", "argon2", "argon2id:3", "md5:1", "bcrypt:x"])
def test_unknown_schemes(text: str) -> None:
    """A name that is none is no scheme."""
    with pytest.raises(ValueError, match=r".+"):
        Scheme.parse(text)


def test_schemes() -> None:
    """As settings spell them."""
    assert Scheme.parse("bcrypt:12") == Scheme("bcrypt", 12)
    assert Scheme.parse("argon2id") == Scheme("argon2id")


@pytest.mark.parametrize("password", ["password", "12345678", "QWERTYUIOP", "Baseball", "iloveyou"])
def test_common(password: str) -> None:
    """In any case; of digests in lower case and capitalized."""
    assert is_common(password)
    for form in (password.lower(), password.capitalize()):
        assert is_common_digest(hashlib.sha256(form.encode()).hexdigest())


@pytest.mark.parametrize("password", ["correct horse", "a long enough password", "Tr0ub4dor&3", ""])
def test_uncommon(password: str) -> None:
    """What nobody tries first."""
    assert not is_common(password)
    assert not is_common_digest(hashlib.sha256(password.encode()).hexdigest())


def test_new_passwords() -> None:
    """Length and list decide; the list can be switched off; a digest has no length."""

    def digest(password: str, *, refuse_common: bool = True) -> str:
        return names.password_digest(password, shortest=8, longest=128, refuse_common=refuse_common)

    common = hashlib.sha256(b"password1").hexdigest()
    for refused in ("short", "x" * 129, "password1", "PassWord1", common, common.upper(), " " * 9):
        with pytest.raises(BadRequest) as error:
            digest(refused)
        assert error.value.code == "error-password-policy-not-met"
        assert refused not in error.value.reason
    assert digest("password1", refuse_common=False) == common
    assert digest(common, refuse_common=False) == common
    assert digest("correct horse") == DIGEST
