"""The passwords that are tried first. A new password is none of them.

Clients send a password as it is or as its SHA-256, and both forms are looked up: a digest of a
common password is as easy to guess as the password.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_LIST = Path(__file__).with_name("common_passwords.txt")


def is_common(password: str) -> bool:
    """Whether `password` is common; case makes no difference."""
    return _mark(hashlib.sha256(password.lower().encode("utf-8", "surrogatepass"))) in _marks()


def is_common_digest(digest: str) -> bool:
    """Whether this hex SHA-256 is that of a common password, in lower case or capitalized."""
    return bytes.fromhex(digest)[:8] in _digests()


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@lru_cache(maxsize=1)
def _marks() -> frozenset[bytes]:
    return frozenset(_mark(hashlib.sha256(word.encode())) for word in _words())


@lru_cache(maxsize=1)
def _digests() -> frozenset[bytes]:
    capitalized = (_mark(hashlib.sha256(word.capitalize().encode())) for word in _words())
    return _marks().union(capitalized)


def _mark(digest: hashlib._Hash) -> bytes:
    # Eight bytes tell ten thousand words apart and need a fifth of the memory.
    return digest.digest()[:8]
