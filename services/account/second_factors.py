"""Second factors of users: enrolling, proving, giving up.

`prove` is the only check of a code in Hubbub: logins and sensitive calls of every door end there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from hubbub.clock import Clock
from hubbub.contracts.account import LoginRefused
from hubbub.contracts.second_factor import FactorExists, InvalidCode, NoMailer, TotpSecret
from hubbub.errors import NotAllowed, Unauthenticated
from hubbub.ids import UserId
from hubbub.mongo import Document
from hubbub.workspace_settings import WorkspaceSettings
from services.account import second_factor
from services.account.audit import Audit
from services.account.domain import Selector, token_of
from services.account.limits import Limits
from services.account.refusals import user_not_found
from services.account.second_factor import Factor
from services.account.store.factors import FactorStore
from services.account.store.logins import LoginStore

ENABLED: Final = "Accounts_TwoFactorAuthentication_Enabled"
REMEMBER_FOR: Final = "Accounts_TwoFactorAuthentication_RememberFor"
PASSWORD_INSTEAD: Final = "Accounts_TwoFactorAuthentication_Enforce_Password_Fallback"  # noqa: S105  a setting's id

LONGEST_MEMORY = timedelta(minutes=30)
"""For how long a factor that was shown counts at most, whatever the workspace says."""


class SecondFactors:
    """Switches second factors on and off, and checks them."""

    def __init__(
        self,
        store: FactorStore,
        users: LoginStore,
        limits: Limits,
        workspace: WorkspaceSettings,
        audit: Audit,
        clock: Clock,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._users = users
        self._limits = limits
        self._workspace = workspace
        self._audit = audit
        self._clock = clock
        self._now = now

    # -- proving --------------------------------------------------------------------------------

    async def prove(self, user: Document, code: str | None) -> None:
        """Return if `user` has no second factor or `code` is one; a code counts only once.

        Raises: NotAllowed: `totp-required`, `totp-invalid`, `totp-max-attempts`.
        """
        factor = await self._factor_of(user)
        if factor is None:
            return
        if not code:
            raise second_factor.required()
        await self._use(UserId(user["_id"]), factor, code)

    async def prove_for_call(
        self,
        user_id: UserId,
        hashed_token: str,
        code: str | None,
        method: str | None,
        check_password: Callable[[UserId, str], Awaitable[None]],
    ) -> None:
        """Let a sensitive call of a signed-in user pass. Raises: as `prove`."""
        user = await self._found(user_id)
        token = token_of(user, hashed_token)
        now = self._now()
        if token is None:
            raise Unauthenticated("Invalid user")
        if token.bypasses_factor:
            return
        if token.proven_until is not None and now < token.proven_until:
            return
        if await self._factor_of(user) is not None:
            await self.prove(user, code)
        elif not await self._workspace.flag(PASSWORD_INSTEAD):
            return
        elif not code or method != "password":
            raise second_factor.required("password")
        else:
            try:
                await check_password(user_id, code)
            except LoginRefused:
                raise second_factor.invalid("password") from None
        memory = timedelta(seconds=max(0, await self._workspace.number(REMEMBER_FOR)))
        if memory:
            await self._store.remember(user_id, hashed_token, now + min(memory, LONGEST_MEMORY))

    async def _factor_of(self, user: Mapping[str, Any]) -> Factor | None:
        factor = second_factor.factor_of(user)
        if factor is None or not await self._workspace.flag(ENABLED):
            return None
        return factor

    async def _use(self, user_id: UserId, factor: Factor, code: str) -> None:
        """Use up `code`. Raises: NotAllowed: `totp-invalid`, `totp-max-attempts`."""
        # An exception inside a turn is what keeps its failures from being forgotten.
        async with self._limits.code_turn(user_id):
            try:
                await self._use_up(user_id, factor, code)
            except NotAllowed:
                await self._limits.code_failed(user_id)
                raise

    async def _use_up(self, user_id: UserId, factor: Factor, code: str) -> None:
        if second_factor.is_recovery_code(code):
            used = await self._store.use_recovery_code(
                user_id, second_factor.hashed_recovery_code(code)
            )
            if used:
                await self._audit.note("factor.recovery-code-used", actor=user_id, target=user_id)
        else:
            step = second_factor.accepted_step(factor, code, self._clock.time())
            used = await self._store.use_code(user_id, step)
        if not used:
            raise second_factor.invalid()  # wrong, or somebody used it a moment ago

    # -- enrolling and giving up ----------------------------------------------------------------

    async def begin_totp(self, user_id: UserId) -> TotpSecret:
        """See the contract."""
        if not await self._workspace.flag(ENABLED):
            raise NotAllowed("Second factors are switched off", code="error-not-allowed")
        user = await self._found(user_id)
        secret = second_factor.new_secret()
        if not await self._store.begin_totp(user_id, secret, self._now()):
            raise FactorExists("Two-factor authentication is already enabled")
        issuer = await self._workspace.text("Site_Name")
        username = str(user.get("username") or user_id)
        return TotpSecret(secret=secret, url=second_factor.app_url(secret, issuer, username))

    async def confirm_totp(self, user_id: UserId, code: str, hashed_token: str) -> list[str]:
        """See the contract."""
        user = await self._found(user_id)
        secret = second_factor.waiting_secret(user)
        decoded = second_factor.decoded_secret(secret)
        if secret is None or decoded is None:
            raise _invalid_code()
        async with self._limits.code_turn(user_id):
            try:
                step = second_factor.accepted_step(Factor(decoded, 0), code, self._clock.time())
            except NotAllowed:
                await self._limits.code_failed(user_id)
                raise _invalid_code() from None
        codes = second_factor.new_recovery_codes()
        enabled = await self._store.enable_totp(
            user_id,
            secret,
            [second_factor.hashed_recovery_code(one) for one in codes],
            step=step,
            keep_token=hashed_token,
            now=self._now(),
        )
        if not enabled:
            raise _invalid_code()
        await self._audit.note("factor.enabled", actor=user_id, target=user_id, method="totp")
        return codes

    async def disable_totp(self, user_id: UserId, code: str) -> bool:
        """See the contract."""
        if not await self._shows(user_id, code):
            return False
        await self._store.disable_totp(user_id, self._now())
        await self._audit.note("factor.disabled", actor=user_id, target=user_id, method="totp")
        return True

    async def renew_recovery_codes(self, user_id: UserId, code: str) -> list[str]:
        """See the contract."""
        if not await self._shows(user_id, code):
            raise _invalid_code()
        codes = second_factor.new_recovery_codes()
        hashed = [second_factor.hashed_recovery_code(one) for one in codes]
        if not await self._store.set_recovery_codes(user_id, hashed, self._now()):
            raise _invalid_code()
        await self._audit.note("factor.codes-renewed", actor=user_id, target=user_id)
        return codes

    async def recovery_codes_left(self, user_id: UserId) -> int:
        """See the contract."""
        user = await self._found(user_id)
        if second_factor.factor_of(user) is None:
            raise _invalid_code()
        return second_factor.recovery_codes_left(user)

    async def set_email_factor(self, user_id: UserId, *, enabled: bool) -> None:
        """See the contract."""
        if enabled:
            raise no_mailer()
        await self._store.disable_email(user_id, self._now())

    async def _shows(self, user_id: UserId, code: str) -> bool:
        """Whether `code` is right; it is used up then. Raises: NotAllowed: too many tries."""
        user = await self._found(user_id)
        factor = second_factor.factor_of(user)
        if factor is None:
            return False
        try:
            await self._use(user_id, factor, code)
        except NotAllowed as error:
            if error.code == "totp-invalid":
                return False
            raise
        return True

    async def _found(self, user_id: UserId) -> Document:
        user = await self._users.find_for_login(Selector("id", user_id))
        if user is None:
            raise user_not_found()
        return user


def no_mailer() -> NoMailer:
    """What asks for an e-mail gets: there is no way to send one."""
    return NoMailer("This server has no way to send e-mail")


def _invalid_code() -> InvalidCode:
    return InvalidCode("Invalid TOTP")
