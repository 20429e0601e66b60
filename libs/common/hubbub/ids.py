"""Identifiers: how they are made and how they travel in NATS subjects."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import NewType

UserId = NewType("UserId", str)
RoomId = NewType("RoomId", str)
MessageId = NewType("MessageId", str)

UNMISTAKABLE = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
"""Letters and digits that people do not mix up."""

# Random bytes become characters in one C call. Bytes beyond the last whole round of the alphabet
# are left out: with them its first characters would be likelier.
_FAIR = 256 // len(UNMISTAKABLE) * len(UNMISTAKABLE)
_DIGITS = bytes(ord(UNMISTAKABLE[byte % len(UNMISTAKABLE)]) for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))

_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ENCODED_PREFIX = "~"


def random_id(length: int = 17) -> str:
    """An id as Rocket.Chat makes them: `length` unmistakable characters, cryptographic source."""
    drawn = b""
    while len(drawn) < length:
        drawn += secrets.token_bytes(2 * length).translate(_DIGITS, _UNFAIR)
    return drawn[:length].decode()


def session_id() -> str:
    """The id of a DDP session (24 characters). It is a credential: never log it."""
    return random_id(24)


def login_token() -> str:
    """A new plain login token: 43 URL-safe characters, 256 bit."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """The stored form of a login token: padded standard base64 of its SHA-256."""
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def subject_token(identifier: str) -> str:
    """`identifier` as exactly one NATS subject token.

    Ids of `[A-Za-z0-9_-]` stay readable. Everything else (ids of other makers may hold dots,
    spaces, `*` or `>`, which would change the meaning of a subject) becomes `~` plus lower-case
    base32. Reversible by `from_subject_token`; different ids never share a token.
    """
    if _PLAIN_TOKEN.fullmatch(identifier):
        return identifier
    encoded = base64.b32encode(identifier.encode("utf-8", "surrogatepass")).decode()
    return _ENCODED_PREFIX + encoded.rstrip("=").lower()


def from_subject_token(token: str) -> str:
    """The id that `subject_token` encoded. Raises: ValueError: not such a token."""
    if not token.startswith(_ENCODED_PREFIX):
        return token
    encoded = token[len(_ENCODED_PREFIX) :].upper()
    padded = encoded + "=" * (-len(encoded) % 8)
    return base64.b32decode(padded).decode("utf-8", "surrogatepass")
