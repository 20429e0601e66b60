"""Rules of login and tokens. Pure: no clock, no database, no bus."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hubbub.contracts.account import LoginExpired, LoginRefused
from hubbub.errors import BadRequest, NotAllowed

PERSONAL_TOKEN = "personalAccessToken"  # noqa: S105  the type of a token, not one
PERSONAL_TOKEN_SHOWN_EXPIRY = timedelta(days=365)
"""Personal access tokens never expire, but clients need a date."""

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")
_MAX_LOGIN_TEXT = 512  # characters of a name, an address or a token
_MAX_PASSWORD_TEXT = 4096  # characters; longer ones cannot have been set

Document = Mapping[str, Any]


# -- what somebody sent -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Selector:
    """Names a user in a login."""

    kind: Literal["id", "username", "email"]
    value: str

    @property
    def subject(self) -> str:
        """Stands for a user that does not exist when failures are counted."""
        return f"{self.kind}:{self.value.casefold()}"


@dataclass(frozen=True, slots=True)
class Resume:
    """Sign in with a token."""

    token: str


@dataclass(frozen=True, slots=True)
class WithPassword:
    """Sign in with a password, of which only the digest is kept."""

    selector: Selector
    digest: str
    """Lower-case hex SHA-256 of the password."""
    code: str | None = None
    """The second factor, if one was sent."""


def read_login(parameters: Mapping[str, Any], *, allow_plaintext: bool) -> Resume | WithPassword:
    """What `parameters` ask for.

    Raises:
        BadRequest: code 400; `Unrecognized options for login request` when it is no variant
            known here, `Match failed` when it is one but malformed.
    """
    code: str | None = None
    factor = parameters.get("totp")
    if factor is not None:
        if not isinstance(factor, dict) or not isinstance(factor.get("login"), dict):
            raise _match_failed()
        code = _text(factor.get("code"), 64)
        parameters = factor["login"]
    if parameters.get("resume") is not None:
        return Resume(resume_token(parameters["resume"]))
    if parameters.get("password") is None or not _names_somebody(parameters):
        raise BadRequest("Unrecognized options for login request", code=400)
    if code is None and parameters.get("code") is not None:
        code = _text(parameters["code"], 64)
    digest = _digest(parameters["password"], allow_plaintext=allow_plaintext)
    return WithPassword(_selector(parameters), digest, code)


def resume_token(value: object) -> str:
    """A token as somebody sent it. Raises: BadRequest: it has not the form of one."""
    return _text(value, _MAX_LOGIN_TEXT)


def is_resume(parameters: Mapping[str, Any]) -> bool:
    """Whether this is a login with a token, which cannot be guessed."""
    return parameters.get("resume") is not None


def sha256_hex(text: str) -> str:
    """The form of a password that is hashed once more and stored."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_sha256_hex(text: str) -> bool:
    """Whether `text` looks like a SHA-256 in hex."""
    return _SHA256_HEX.fullmatch(text) is not None


def _names_somebody(parameters: Mapping[str, Any]) -> bool:
    return any(parameters.get(key) is not None for key in ("user", "username", "email"))


def _selector(parameters: Mapping[str, Any]) -> Selector:
    user = parameters.get("user")
    if isinstance(user, str):
        text = _text(user, _MAX_LOGIN_TEXT)
        return Selector("email" if "@" in text else "username", text)
    if user is not None and not isinstance(user, dict):
        raise _match_failed()
    # REST bodies carry `username` and `email` beside the password instead of inside `user`.
    named = parameters if user is None else user
    kinds: tuple[Literal["id", "username", "email"], ...] = ("id", "username", "email")
    for kind in kinds if user is not None else kinds[1:]:
        if named.get(kind) is not None:
            return Selector(kind, _text(named[kind], _MAX_LOGIN_TEXT))
    raise _match_failed()


def _digest(password: object, *, allow_plaintext: bool) -> str:
    if isinstance(password, str):
        if not allow_plaintext:
            raise BadRequest("Unrecognized options for login request", code=400)
        return sha256_hex(_text(password, _MAX_PASSWORD_TEXT))
    if not isinstance(password, dict):
        raise _match_failed()
    if password.get("digest") is not None and password.get("algorithm") != "sha-256":
        raise _match_failed()
    digest = password.get("digest", password.get("hashed"))
    if not isinstance(digest, str) or not is_sha256_hex(digest):
        raise _match_failed()
    return digest.lower()


def _text(value: object, limit: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit or "\x00" in value:
        raise _match_failed()
    return value


def _match_failed() -> BadRequest:
    return BadRequest("Match failed", code=400)


# -- tokens -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """A login token as a user's document holds it."""

    hashed: str
    made_at: datetime | None
    """Unknown for tokens that other programs wrote in another form: they count as expired."""
    is_personal: bool
    ends_at: datetime | None = None
    """When it was told to end, before its time."""
    bypasses_factor: bool = False
    """Its bearer need not show a second factor."""
    proven_until: datetime | None = None
    """Until when the second factor that was shown with it counts."""

    def expires(self, lifetime: timedelta, now: datetime) -> datetime:
        """When it ends. For a personal access token a date that is always a year away."""
        if self.is_personal:
            return now + PERSONAL_TOKEN_SHOWN_EXPIRY
        regular = (self.made_at or datetime.fromtimestamp(0, UTC)) + lifetime
        return regular if self.ends_at is None else min(regular, self.ends_at)

    def is_expired(self, lifetime: timedelta, now: datetime) -> bool:
        """Whether it has ended."""
        return self.expires(lifetime, now) <= now


def token_of(user: Document, hashed: str) -> Token | None:
    """The user's token with this hash. Compares in constant time."""
    found = None
    for stored in _login_tokens(user):
        if not isinstance(stored, Mapping) or not isinstance(stored.get("hashedToken"), str):
            continue
        if hmac.compare_digest(stored["hashedToken"].encode(), hashed.encode()):
            found = Token(
                hashed,
                moment(stored.get("when")),
                is_personal=stored.get("type") == PERSONAL_TOKEN,
                ends_at=moment(stored.get("endsAt")),
                bypasses_factor=stored.get("bypassTwoFactor") is True,
                proven_until=moment(stored.get("twoFactorAuthorizedUntil")),
            )
    return found


def hashes_of(user: Document) -> frozenset[str]:
    """The hashes of the user's tokens."""
    return frozenset(
        stored["hashedToken"]
        for stored in _login_tokens(user)
        if isinstance(stored, Mapping) and isinstance(stored.get("hashedToken"), str)
    )


def check_token(token: Token | None, lifetime: timedelta, now: datetime) -> Token:
    """A token that is good.

    Raises:
        LoginExpired: it is not there (any more), or too old; the texts differ and some clients
            sign their user out when they read one of them.
    """
    if token is None:
        raise LoginExpired("You've been logged out by the server. Please log in again.")
    if token.is_expired(lifetime, now):
        raise LoginExpired("Your session has expired. Please log in again.")
    return token


def moment(value: object) -> datetime | None:
    """A stored date; some programs write it as ISO 8601 text."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _login_tokens(user: Document) -> list[Any]:
    services = user.get("services")
    resume = services.get("resume") if isinstance(services, Mapping) else None
    tokens = resume.get("loginTokens") if isinstance(resume, Mapping) else None
    return tokens if isinstance(tokens, list) else []


# -- what a user must fulfil --------------------------------------------------------------------


def refused() -> LoginRefused:
    """The one answer to an unknown user and to a wrong password."""
    return LoginRefused("User not found or incorrect password")


def check_active(user: Document) -> None:
    """Raises: NotAllowed: `error-user-is-not-activated`; a missing flag counts as not active."""
    if user.get("active") is not True:
        raise NotAllowed("User is not activated", code="error-user-is-not-activated")


def check_verified_address(user: Document, *, required: bool) -> None:
    """Raises: NotAllowed: `error-invalid-email`, when a verified address is required."""
    if required and verified_address(user) is None:
        raise NotAllowed("Invalid email", code="error-invalid-email")


def verified_address(user: Document) -> str | None:
    """The user's first verified e-mail address."""
    for email in user.get("emails") or []:
        if isinstance(email, Mapping) and email.get("verified") is True:
            return str(email.get("address"))
    return None


def password_hash(user: Document) -> str | None:
    """The stored hash; None for users that cannot sign in with a password."""
    services = user.get("services")
    password = services.get("password") if isinstance(services, Mapping) else None
    if not isinstance(password, Mapping):
        return None
    for kind in ("argon2", "bcrypt"):
        stored = password.get(kind)
        if isinstance(stored, str) and stored:
            return stored
    return None


def needs_last_login(user: Document, now: datetime, pause: timedelta) -> bool:
    """Whether `lastLogin` is old enough to be written again."""
    last = moment(user.get("lastLogin"))
    return last is None or now - last >= pause


# -- addresses ----------------------------------------------------------------------------------


def address_group(address: str) -> str | None:
    """What counts as one address: an IPv4 address or the /64 of an IPv6 one. None: unknown."""
    try:
        parsed = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
