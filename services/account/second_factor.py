"""Time-based one-time passwords (RFC 6238: SHA-1, 6 digits, 30 s steps) and the recovery codes
that stand in for them. Pure, but for the random source."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hubbub.contracts.second_factor import FactorMethod
from hubbub.errors import NotAllowed
from hubbub.ids import UNMISTAKABLE

STEP = 30
"""Seconds that a code is valid for."""
WINDOW = 1
"""Steps before and after the present one whose codes are accepted, for clocks that differ."""

RECOVERY_CODES = 10
"""Recovery codes that somebody gets at once; each works one time."""

_CODE = re.compile(r"[0-9]{6}")
_RECOVERY_LENGTH = 8  # characters, as other servers of this protocol have it
_SECRET_BYTES = 20  # RFC 4226 4, R6: as long as the hash


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
    totp = _stored(user)
    if totp.get("enabled") is not True:
        return None
    secret = decoded_secret(totp.get("secret"))
    if secret is None:
        raise required()
    last = totp.get("lastStep")
    return Factor(secret, last if isinstance(last, int) else 0)


def waiting_secret(user: Mapping[str, Any]) -> str | None:
    """The secret (base32) that `user` has not confirmed yet."""
    totp = _stored(user)
    secret = totp.get("tempSecret")
    return secret if isinstance(secret, str) and totp.get("enabled") is not True else None


def recovery_codes_left(user: Mapping[str, Any]) -> int:
    """How many recovery codes `user` still has."""
    codes = _stored(user).get("hashedBackup")
    return len(codes) if isinstance(codes, list) else 0


def _stored(user: Mapping[str, Any]) -> Mapping[str, Any]:
    services = user.get("services")
    totp = services.get("totp") if isinstance(services, Mapping) else None
    return totp if isinstance(totp, Mapping) else {}


def new_secret() -> str:
    """A new secret (base32)."""
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def decoded_secret(text: object) -> bytes | None:
    """The bytes of a stored secret; None: it is none."""
    if not isinstance(text, str):
        return None
    trimmed = text.strip().upper()
    try:
        return base64.b32decode(trimmed + "=" * (-len(trimmed) % 8)) or None
    except (binascii.Error, ValueError):
        return None


def app_url(secret: str, issuer: str, username: str) -> str:
    """What authenticator apps read from a QR code ("Key Uri Format")."""
    label = f"{quote(issuer, safe='')}:{quote(username, safe='')}"
    query = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{label}?{query}"


def new_recovery_codes() -> list[str]:
    """Codes for the day when the telephone is lost."""
    return [
        "".join(secrets.choice(UNMISTAKABLE) for _ in range(_RECOVERY_LENGTH))
        for _ in range(RECOVERY_CODES)
    ]


def hashed_recovery_code(code: str) -> str:
    """The stored form of a recovery code."""
    return hashlib.sha256(code.strip().encode("utf-8", "surrogatepass")).hexdigest()


def is_recovery_code(code: str) -> bool:
    """Whether this looks like a recovery code and not like a one-time password."""
    return len(code.strip()) == _RECOVERY_LENGTH


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


def required(method: FactorMethod = "totp") -> NotAllowed:
    """What a call without a code gets."""
    return NotAllowed("TOTP Required", code="totp-required", details=_details(method))


def invalid(method: FactorMethod = "totp") -> NotAllowed:
    """What a call with a wrong code gets."""
    details = {"method": "totp"} if method == "totp" else _details(method)
    return NotAllowed("TOTP Invalid", code="totp-invalid", details=details)


def _details(method: FactorMethod) -> dict[str, Any]:
    return {"method": method, "codeGenerated": False, "availableMethods": [method]}
