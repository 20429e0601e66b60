"""The one way in, for every door and every variant.

The steps, in this order: limit of the address, shape, user, limit of the user, credential,
active, verified address, second factor, token. A check returns an object or raises; no step
answers with a bool that somebody could forget to look at.

Tokens skip the limits and the second factor: they cannot be guessed, and they were made behind
both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hubbub.clock import Clock
from hubbub.contracts.account import LoginExpired, LoginRefused, LoginResult, UserNotFound
from hubbub.errors import BadRequest, NotAllowed, Unavailable
from hubbub.ids import UserId, hash_token, login_token
from hubbub.mongo import Document
from hubbub.telemetry.log import get_logger
from hubbub.workspace_settings import WorkspaceSettings
from services.account.audit import Audit
from services.account.domain import (
    Resume,
    Selector,
    Token,
    WithPassword,
    check_active,
    check_token,
    check_verified_address,
    is_resume,
    is_sha256_hex,
    needs_last_login,
    password_hash,
    read_login,
    refused,
    resume_token,
    sha256_hex,
    token_of,
)
from services.account.limits import Limits
from services.account.metrics import AccountMetrics, Outcome, Variant
from services.account.passwords import Passwords
from services.account.profile import KEPT_BY_CLIENTS, picked
from services.account.second_factors import SecondFactors
from services.account.settings import AccountSettings
from services.account.store.logins import LoginStore

log = get_logger(__name__)

_LAST_LOGIN_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Verified:
    """Somebody who has shown who they are. Made by nothing but a successful check."""

    user: Document
    stored_password: str
    """The hash that matched; the token is only made if it is still the same."""


class Login:
    """Signs people in."""

    def __init__(
        self,
        store: LoginStore,
        passwords: Passwords,
        limits: Limits,
        factors: SecondFactors,
        audit: Audit,
        workspace: WorkspaceSettings,
        settings: AccountSettings,
        metrics: AccountMetrics,
        clock: Clock,
        on_pending_rooms: Callable[[], None],
        on_resumed: Callable[[UserId, datetime], None],
    ) -> None:
        """
        Args:
            on_resumed: called when somebody comes back with a token, at most once a minute.
            on_pending_rooms: called when somebody signs in who still has to join the default
                rooms.
        """
        self._store = store
        self._passwords = passwords
        self._limits = limits
        self._factors = factors
        self._audit = audit
        self._workspace = workspace
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._on_pending_rooms = on_pending_rooms
        self._on_resumed = on_resumed

    async def __call__(self, parameters: Mapping[str, Any], address: str) -> LoginResult:
        """Sign in. Raises: what `Account.login` raises."""
        variant: Variant = "unknown"
        try:
            if not is_resume(parameters):
                await self._limits.check_address(address)
            attempt = read_login(parameters, allow_plaintext=self._settings.allow_plaintext_login)
            if isinstance(attempt, Resume):
                variant = "resume"
                result = await self._with_token(attempt)
            else:
                variant = "password"
                result = await self._with_password(attempt, address)
        except Exception as error:
            self._metrics.logged_in(variant, _outcome(error))
            raise
        self._metrics.logged_in(variant, "ok")
        return result

    async def without_password(self, user_id: UserId) -> LoginResult:
        """Sign somebody in because somebody else, who may, asks for it.

        Raises: UserNotFound; NotAllowed: deactivated.
        """
        user = await self._store.find_for_login(Selector("id", user_id))
        if user is None:
            raise UserNotFound("Invalid user")
        check_active(user)
        return await self._new_token(user, verified_with=None)

    async def check_password(self, user_id: UserId, password: str) -> None:
        """Whether a user knows the password (plain, or its SHA-256 hex); failures count as those
        of a login do.

        Raises: LoginRefused; NotAllowed: too many failures.
        """
        user = await self._store.find_for_login(Selector("id", user_id))
        subject = f"user:{user_id}"
        digest = password.lower() if is_sha256_hex(password) else sha256_hex(password)
        async with self._limits.turn(subject):
            try:
                await self._verify(user, digest)
            except LoginRefused:
                await self._limits.failed(subject, "")
                raise

    async def lifetime(self) -> timedelta:
        """How long a login token is good for."""
        return timedelta(days=max(1, await self._workspace.number("Accounts_LoginExpiration")))

    def now(self) -> datetime:
        """The present moment in whole milliseconds, as it will be stored."""
        return stored_now(self._clock)

    async def with_tokens(self, tokens: Sequence[str]) -> list[LoginResult | None]:
        """Sign in with each login token; None where that fails, which is not counted: who asks
        for the reason, one by one, fails once more."""
        hashed = {token: hash_token(token) for token in tokens}
        users = await self._store.find_by_tokens(hashed.values())
        results: list[LoginResult | None] = []
        for token in tokens:
            try:
                attempt = Resume(resume_token(token))
                result = await self._resumed(users.get(hashed[token], {}), attempt)
            except Unavailable:
                raise
            except Exception:
                results.append(None)
            else:
                self._metrics.logged_in("resume", "ok")
                results.append(result)
        return results

    async def _with_token(self, attempt: Resume) -> LoginResult:
        user = await self._store.find_by_token(hash_token(attempt.token))
        return await self._resumed(user or {}, attempt)

    async def _resumed(self, user: Document, attempt: Resume) -> LoginResult:
        now = self.now()
        lifetime = await self.lifetime()
        token = check_token(token_of(user, hash_token(attempt.token)), lifetime, now)
        await self._check_user(user)
        if needs_last_login(user, now, _LAST_LOGIN_PAUSE):
            self._on_resumed(UserId(user["_id"]), now)
        return self._welcome(user, attempt.token, token, token.expires(lifetime, now), "resume")

    async def _with_password(self, attempt: WithPassword, address: str) -> LoginResult:
        user = await self._store.find_for_login(attempt.selector)
        subject = attempt.selector.subject if user is None else f"user:{user['_id']}"
        try:
            verified = await self._verified(user, subject, attempt, address)
        except NotAllowed as error:
            if error.code != "totp-required":  # the client is about to ask for the code
                known = None if user is None else user["_id"]
                await self._audit.note(
                    "login.failed",
                    actor=known,
                    # People type passwords where a username belongs.
                    target=known or "unknown",
                    result="refused",
                    address=address,
                    reason=str(error.code),
                )
            raise
        result = await self._new_token(verified.user, verified_with=verified.stored_password)
        await self._audit.note(
            "login.ok", actor=result.user_id, target=result.user_id, address=address
        )
        await self._strengthen(verified, attempt.digest)
        return result

    async def _verified(
        self, user: Document | None, subject: str, attempt: WithPassword, address: str
    ) -> Verified:
        async with self._limits.turn(subject):
            try:
                verified = await self._verify(user, attempt.digest)
                await self._check_user(verified.user)
                await self._factors.prove(verified.user, attempt.code)
            except NotAllowed as error:
                if isinstance(error, LoginRefused) or error.code == "totp-invalid":
                    await self._limits.failed(subject, address)
                raise
        return verified

    async def _strengthen(self, verified: Verified, digest: str) -> None:
        """Replace a hash that is weaker than new ones are, now that the password is at hand."""
        if not self._passwords.is_weak(verified.stored_password):
            return
        try:
            stronger = await self._passwords.hash(digest)
            await self._store.strengthen_password(
                UserId(verified.user["_id"]), verified.stored_password, stronger
            )
        except Unavailable:
            log.info("password_not_strengthened")  # the next login tries again

    async def _verify(self, user: Document | None, digest: str) -> Verified:
        """Raises: LoginRefused: after the same work whether there is such a user or not."""
        stored = password_hash(user) if user is not None else None
        matches = await self._passwords.matches(digest, stored)
        if matches is not True or user is None or stored is None:
            raise refused()
        return Verified(user, stored)

    async def _check_user(self, user: Document) -> None:
        check_active(user)
        required = await self._workspace.flag("Accounts_EmailVerification")
        check_verified_address(user, required=required)

    async def _new_token(self, user: Document, *, verified_with: str | None) -> LoginResult:
        now = self.now()
        expires = now + await self.lifetime()
        plain = login_token()
        token = Token(hash_token(plain), now, is_personal=False)
        added = await self._store.add_token(
            user["_id"],
            token.hashed,
            verified_with=verified_with,
            now=now,
            limit=self._settings.token_limit,
        )
        if not added:  # password or active flag changed between the check and here
            raise refused()
        return self._welcome(user, plain, token, expires, "password")

    def _welcome(
        self,
        user: Document,
        plain: str,
        token: Token,
        expires: datetime,
        kind: Literal["resume", "password"],
    ) -> LoginResult:
        if user.get("defaultRoomsPending"):
            self._on_pending_rooms()
        return LoginResult(
            user_id=UserId(user["_id"]),
            token=plain,
            hashed_token=token.hashed,
            token_expires=expires,
            type=kind,
            personal=token.is_personal,
            user=picked(user, KEPT_BY_CLIENTS),
        )


def stored_now(clock: Clock) -> datetime:
    """The present moment in whole milliseconds, as it will be stored."""
    return datetime.fromtimestamp(int(clock.time() * 1000) / 1000, UTC)


def _outcome(error: Exception) -> Outcome:
    match error:
        case LoginRefused():
            return "refused"
        case LoginExpired():
            return "expired"
        case NotAllowed() if str(error.code).startswith("error-login-blocked"):
            return "blocked"
        case NotAllowed():
            return "not-allowed"
        case BadRequest():
            return "malformed"
        case Unavailable():
            return "unavailable"
        case _:
            return "error"
