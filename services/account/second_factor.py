"""Time-based one-time passwords (RFC 6238: SHA-1, 6 digits, 30 s steps). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbub.errors import NotAllowed

STEP = 30
"""Seconds that a code is valid for."""
WINDOW = 1
"""Steps before and after the present one whose codes are accepted, for clocks that differ."""

_CODE = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Factor:
    """A user's second factor."""

    secret: bytes
    last_step: int
    """The step whose code was used last; neither it nor an earlier one counts again."""


def factor_of(user: Mapping[str, Any]) -> Factor | None:
    """The second factor that `user` has switched on; None if there is none.

    Raises: NotAllowed: it is switched on but unreadable, so nobody can fulfil it.
    """
    services = user.get("services")
    totp = services.get("totp") if isinstance(services, Mapping) else None
    if not isinstance(totp, Mapping) or totp.get("enabled") is not True:
        return None
    text = totp.get("secret")
    if not isinstance(text, str):
        raise required()
    try:
        padded = text.strip().upper() + "=" * (-len(text.strip()) % 8)
        secret = base64.b32decode(padded)
    except (binascii.Error, ValueError):
        raise required() from None
    last = totp.get("lastStep")
    return Factor(secret, last if isinstance(last, int) else 0)


def accepted_step(factor: Factor, code: str, now: float) -> int:
    """The step that `code` belongs to; it must be stored so that the code cannot be used again.

    Args:
        now: seconds since 1970.

    Raises: NotAllowed: `totp-invalid`: wrong, too old, or used before.
    """
    if not _CODE.fullmatch(code.strip()):
        raise invalid()
    present = int(now // STEP)
    accepted = None
    for step in range(present - WINDOW, present + WINDOW + 1):
        is_right = hmac.compare_digest(code_at(factor.secret, step), code.strip())
        if is_right and step > factor.last_step:
            accepted = step
    if accepted is None:
        raise invalid()
    return accepted


def code_at(secret: bytes, step: int) -> str:
    """The code of one step (RFC 4226 5.3)."""
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def required() -> NotAllowed:
    """What a login without a code gets."""
    details = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]}
    return NotAllowed("TOTP Required", code="totp-required", details=details)


def invalid() -> NotAllowed:
    """What a login with a wrong code gets."""
    return NotAllowed("TOTP Invalid", code="totp-invalid", details={"method": "totp"})
