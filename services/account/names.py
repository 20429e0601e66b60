"""Rules for usernames, names, e-mail addresses and passwords. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import BadRequest
from services.account.common_passwords import is_common, is_common_digest
from services.account.domain import is_sha256_hex, sha256_hex
from services.account.lookalikes import INVISIBLE, mixes_scripts, without_piles

USERNAME_PATTERN = "UTF8_User_Names_Validation"
"""The setting with the pattern of allowed usernames."""

MAX_USERNAME = 64  # characters
MAX_NAME = 128
MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3

_RESERVED = frozenset({"all", "here"})  # mentions of everybody
_LOCAL_PART = r"[^\s\x00-\x1f\x7f@<>()\[\],;:\\\"]{1,64}"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ADDRESS = re.compile(rf"{_LOCAL_PART}@{_LABEL}(?:\.{_LABEL})*")
_CUSTOM_FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}")


def username(text: str, pattern: str, *, code: str = "username-invalid") -> str:
    """`text` as a username: normalized (NFKC), trimmed, and allowed.

    Args:
        pattern: what the workspace allows; a pattern that is none counts as the default.
        code: the code of the error, which differs by door.

    Raises: BadRequest: not allowed.
    """
    name = unicodedata.normalize("NFKC", text).strip()
    is_allowed = (
        0 < len(name) <= MAX_USERNAME
        and _allowed(pattern).fullmatch(name) is not None
        and any(character.isalnum() for character in name)
        and not any(unicodedata.category(character)[0] == "C" for character in name)
        and not mixes_scripts(name)
        and without_piles(name) == name
        and name.casefold() not in _RESERVED
    )
    if not is_allowed:
        raise BadRequest(
            f"{text[:MAX_USERNAME]} is not a valid username",
            code=code,
            details={"method": "setUsername", "field": "username"},
        )
    return name


def display_name(text: str) -> str:
    """`text` as a name: composed, trimmed, without control characters and without the invisible
    ones that make one name look like another. Raises: BadRequest: too long."""
    name = "".join(
        character
        for character in unicodedata.normalize("NFC", text)
        if unicodedata.category(character) != "Cc" and character not in INVISIBLE
    )
    name = without_piles(name).strip()
    if len(name) > MAX_NAME:
        raise BadRequest(
            f"A name has at most {MAX_NAME} characters", code="error-input-is-not-a-valid-field"
        )
    return name


def address(text: str) -> str:
    """`text` as an e-mail address, trimmed. Raises: BadRequest: `error-invalid-email`."""
    trimmed = text.strip()
    if len(trimmed) > MAX_ADDRESS or _ADDRESS.fullmatch(trimmed) is None:
        raise BadRequest("Invalid email", code="error-invalid-email", details={"field": "email"})
    return trimmed


def password_digest(
    password: str, *, shortest: int, longest: int, refuse_common: bool = True
) -> str:
    """The digest of a new password. The length of one that arrives as a digest is unknown.

    Raises: BadRequest: `error-password-policy-not-met`.
    """
    if is_sha256_hex(password):
        if refuse_common and is_common_digest(password):
            raise _too_common()
        return password.lower()
    if not shortest <= len(password) <= longest or "\x00" in password or not password.strip():
        raise BadRequest(
            f"The password needs {shortest} to {longest} characters",
            code="error-password-policy-not-met",
        )
    if refuse_common and is_common(password):
        raise _too_common()
    return sha256_hex(password)


def _too_common() -> BadRequest:
    return BadRequest("The password is one of the commonest", code="error-password-policy-not-met")


def suggestions(name: str, addresses: Iterable[str], number: int) -> Iterator[str]:
    """Usernames for somebody of this name, the best first: they may be taken, or not allowed.

    Args:
        number: how many numbered ones follow the plain ones.
    """
    plain = unicodedata.normalize("NFKD", name)
    words = "".join(one if one.isalnum() or one in "-_" else " " for one in plain if one.isascii())
    parts = words.lower().split()
    found = []
    if parts:
        found += [".".join(parts), parts[0]]
    if len(parts) > 1:
        found += [parts[0][0] + parts[-1], parts[0] + parts[-1][0], parts[-1]]
    found += [address.partition("@")[0].lower() for address in addresses]
    bases = [base[: MAX_USERNAME - 6] for base in found if base] or ["user"]
    yield from dict.fromkeys(bases)
    yield from (f"{bases[0]}-{count}" for count in range(1, number + 1))


def custom_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Custom fields of a user. Raises: BadRequest: a key or value that cannot be one."""
    if len(fields) > 100:
        raise BadRequest("Too many custom fields", code="error-invalid-params")
    for key, value in fields.items():
        is_plain = value is None or isinstance(value, str | int | float | bool)
        if _CUSTOM_FIELD.fullmatch(key) is None or not is_plain or len(str(value)) > 4096:
            raise BadRequest("Invalid custom field", code="error-invalid-params")
    return dict(fields)


@lru_cache(maxsize=64)
def _allowed(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:
        return re.compile(str(SETTINGS[USERNAME_PATTERN].value))
