"""Stored forms of passwords: bcrypt, as existing workspaces have it, and argon2id. Blocking.

Both are verified whatever new ones are made with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)

_COSTS = range(4, 15)
"""bcrypt work factors that are computed at all: a stored 31 would keep a thread busy for days."""
_MOST_MEMORY = 256 * 1024  # KiB that verifying an argon2id hash may take
_MOST_PASSES = 10
_MOST_LANES = 8


@dataclass(frozen=True, slots=True)
class Scheme:
    """How new passwords are hashed."""

    kind: Literal["bcrypt", "argon2id"] = "bcrypt"
    cost: int = 10
    """Work factor of bcrypt."""

    @classmethod
    def parse(cls, text: str) -> Scheme:
        """`bcrypt:12` or `argon2id`. Raises: ValueError."""
        kind, _, cost = text.partition(":")
        if kind == "argon2id" and not cost:
            return cls("argon2id")
        if kind == "bcrypt":
            return cls("bcrypt", int(cost))
        raise ValueError(f"no way to hash passwords: {text}")

    def hash(self, digest: str) -> str:
        """A new stored form of `digest`."""
        if self.kind == "argon2id":
            return _ARGON2ID.hash(digest)
        return bcrypt.hashpw(digest.encode(), bcrypt.gensalt(self.cost)).decode()

    def is_stronger_than(self, stored: str) -> bool:
        """Whether a usable hash should be replaced by one of this scheme."""
        if is_argon2(stored):
            return self.kind == "argon2id" and _ARGON2ID.check_needs_rehash(stored)
        found = _BCRYPT.fullmatch(stored)
        return found is not None and (self.kind == "argon2id" or int(found[1]) < self.cost)


_ARGON2ID = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def is_argon2(stored: str) -> bool:
    """Whether this stored form is one of argon2, which has a field of its own."""
    return stored.startswith("$argon2")


def is_usable(stored: str) -> bool:
    """Whether `stored` can be verified, with bounded work."""
    found = _ARGON2.fullmatch(stored)
    if found is not None:
        memory, passes, lanes = map(int, found.groups())
        fits = 8 <= memory <= _MOST_MEMORY and 1 <= passes <= _MOST_PASSES
        return fits and 1 <= lanes <= _MOST_LANES
    found = _BCRYPT.fullmatch(stored)
    return found is not None and int(found[1]) in _COSTS


def matches(digest: str, stored: str) -> bool:
    """Whether the usable `stored` was made from `digest`."""
    if not is_argon2(stored):
        return bcrypt.checkpw(digest.encode(), stored.encode())
    try:
        return _ARGON2ID.verify(stored, digest)
    except VerificationError:
        return False
