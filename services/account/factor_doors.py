"""The doors for second factors."""

from __future__ import annotations

from hubbub.contracts.second_factor import TotpSecret
from hubbub.ids import UserId
from services.account.login import Login
from services.account.second_factors import SecondFactors, no_mailer


class Factors:
    """Hands calls on to `SecondFactors`."""

    _factors: SecondFactors
    _login: Login

    async def begin_totp(self, user_id: UserId) -> TotpSecret:
        """See the contract."""
        return await self._factors.begin_totp(user_id)

    async def confirm_totp(self, user_id: UserId, code: str, hashed_token: str) -> list[str]:
        """See the contract."""
        return await self._factors.confirm_totp(user_id, code, hashed_token)

    async def disable_totp(self, user_id: UserId, code: str) -> bool:
        """See the contract."""
        return await self._factors.disable_totp(user_id, code)

    async def renew_recovery_codes(self, user_id: UserId, code: str) -> list[str]:
        """See the contract."""
        return await self._factors.renew_recovery_codes(user_id, code)

    async def recovery_codes_left(self, user_id: UserId) -> int:
        """See the contract."""
        return await self._factors.recovery_codes_left(user_id)

    async def prove_second_factor(
        self,
        user_id: UserId,
        hashed_token: str,
        code: str | None = None,
        method: str | None = None,
    ) -> None:
        """See the contract."""
        await self._factors.prove_for_call(
            user_id, hashed_token, code, method, self._login.check_password
        )

    async def set_email_factor(self, user_id: UserId, enabled: bool) -> None:
        """See the contract."""
        await self._factors.set_email_factor(user_id, enabled=enabled)

    async def send_email_code(self, email_or_username: str) -> None:
        """See the contract."""
        raise no_mailer()
