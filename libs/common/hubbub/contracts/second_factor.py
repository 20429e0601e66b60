"""The part of the account contract about second factors."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Frozen
from hubbub.errors import BadRequest
from hubbub.ids import UserId

FactorMethod = Literal["totp", "email", "password"]
"""How a second factor can be shown, as clients name it."""


class InvalidCode(BadRequest):
    """A code that is wrong, or a second factor that is not switched on."""

    default_code = "invalid-totp"


class FactorExists(BadRequest):
    """The second factor is switched on already."""

    default_code = "error-2fa-already-enabled"


class NoMailer(BadRequest):
    """The server cannot send e-mail."""

    default_code = "error-email-not-configured"


class TotpSecret(Frozen):
    """What an authenticator app needs; told only to its owner, before it is switched on."""

    secret: str = Field(repr=False)
    """Base32."""
    url: str = Field(repr=False)
    """`otpauth://…`, for a QR code."""


class SecondFactorActions(Contract, Protocol):
    """Enrolling, proving and giving up a second factor. `user_id` is who acts.

    Five wrong codes in five minutes end the guessing for a while: `totp-max-attempts`.
    """

    @action()
    async def begin_totp(self, user_id: UserId) -> TotpSecret:
        """A new secret for one-time passwords, without effect until it is confirmed.

        Raises: FactorExists; NotAllowed: `error-not-allowed`, switched off by the workspace.
        """
        ...

    @action()
    async def confirm_totp(self, user_id: UserId, code: str, hashed_token: str) -> list[str]:
        """Switch on one-time passwords; ten recovery codes, told only now.

        Every other login of the user than `hashed_token` ends. Raises: InvalidCode.
        """
        ...

    @action()
    async def disable_totp(self, user_id: UserId, code: str) -> bool:
        """Switch off one-time passwords. False: they are not on, or the code is wrong.

        Raises: NotAllowed: `totp-max-attempts`.
        """
        ...

    @action()
    async def renew_recovery_codes(self, user_id: UserId, code: str) -> list[str]:
        """Ten new recovery codes; the old ones are void. Raises: InvalidCode; NotAllowed."""
        ...

    @action(idempotent=True)
    async def recovery_codes_left(self, user_id: UserId) -> int:
        """Recovery codes that were not used yet. Raises: InvalidCode: not switched on."""
        ...

    @action(timeout=10.0)
    async def prove_second_factor(
        self,
        user_id: UserId,
        hashed_token: str,
        code: str | None = None,
        method: str | None = None,
    ) -> None:
        """Let a sensitive call pass: the user has no second factor, or has shown it.

        What was shown once with a token holds for that token for at most half an hour. Some
        personal access tokens are exempt.

        Raises: NotAllowed: `totp-required`, `totp-invalid`, `totp-max-attempts`; `details` name
            the `method`.
        """
        ...

    @action()
    async def set_email_factor(self, user_id: UserId, enabled: bool) -> None:
        """Switch codes by e-mail on or off. Raises: NoMailer: on, where no mail can be sent."""
        ...

    @action()
    async def send_email_code(self, email_or_username: str) -> None:
        """Send a code. The same answer whoever is named. Raises: NoMailer."""
        ...
