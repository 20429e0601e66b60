"""Contract of the account service: who somebody is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.avatars import AvatarActions
from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Page, Paging, Text
from hubbub.contracts.second_factor import SecondFactorActions
from hubbub.contracts.user_roles import UserRoleActions
from hubbub.errors import BadRequest, NotAllowed, NotFound, Unauthenticated
from hubbub.ids import UserId


class LoginRefused(NotAllowed):
    """Unknown user or wrong password: the same error, in the same time, for both."""

    default_code = 403


class LoginExpired(Unauthenticated):
    """A resume token that is unknown, revoked or too old."""

    default_code = 403


class UserNotFound(NotFound):
    default_code = "error-invalid-user"


class FieldTaken(BadRequest):
    """A username or address that somebody else has."""

    default_code = "error-field-unavailable"


class LoginResult(Frozen):
    """A successful login. `token` is a secret; it is stored only hashed."""

    user_id: UserId
    token: str = Field(repr=False)
    hashed_token: str = Field(repr=False)
    token_expires: datetime
    """For tokens without expiry: a year from now, since clients need a date."""
    type: Literal["resume", "password"]
    personal: bool = False
    """A personal access token: `logout` leaves it alone."""
    user: Document
    """The fields of the user's own document that a client may keep: `username`, `name`, `emails`,
    absent ones left out."""


class Identity(Frozen):
    """Who a token belongs to, as every REST call and every revived socket checks it."""

    user_id: UserId
    username: str
    name: str | None = None
    roles: list[str] = Field(default=[])
    hashed_token: str = Field(repr=False)


class Registration(Frozen):
    """What somebody enters to get an account. `password` is plain text or its SHA-256 hex."""

    username: str | None = None
    name: str = ""
    email: str
    password: str = Field(repr=False)
    reason: str | None = None


class UserChanges(Frozen):
    """What somebody may change of a user; absent fields stay as they are."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    name: Text | None = None
    username: Text | None = None
    email: Text | None = None
    password: Text | None = Field(default=None, repr=False)
    """Plain text or its SHA-256 hex. Every login token of the user is gone with it."""
    verified: bool | None = None
    roles: list[Text] | None = Field(default=None, max_length=50)
    nickname: Text | None = Field(default=None, max_length=120)
    bio: Text | None = Field(default=None, max_length=260)
    custom_fields: dict[str, Any] | None = Field(default=None, alias="customFields")
    require_password_change: bool | None = Field(default=None, alias="requirePasswordChange")
    language: Text | None = Field(default=None, max_length=16)
    utc_offset: float | None = Field(default=None, alias="utcOffset", ge=-14, le=14)


class PersonalToken(Frozen):
    """A personal access token as its owner sees it."""

    name: str
    created_at: datetime
    last_token_part: str
    bypass_two_factor: bool = False


class Account(
    SecondFactorActions, UserRoleActions, AvatarActions, Contract, Protocol, name="account"
):
    """Login, tokens and users."""

    @action(idempotent=True, timeout=10.0, running=256, waiting=8192)
    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        """Sign in by any of the supported variants.

        A login that reached an instance which died is offered to another one. Should the first
        have worked, its token is one that nobody knows, and expires; a resumed token is the same.

        Args:
            parameters: the first element of a DDP `login`, or the body of REST `login`:
                `{"resume"}`, `{"user": {"username"|"email"|"id"} | text, "password": text |
                {"digest", "algorithm"}}`.
            address: the client's network address, for the failure limits.

        Raises:
            LoginRefused: unknown user or wrong password.
            LoginExpired: the token is unknown, revoked or expired.
            NotAllowed: deactivated, blocked after too many failures, …; the code says which.
            BadRequest: no known variant, or a malformed one (code 400).
        """
        ...

    @action(idempotent=True)
    async def logout(self, user_id: UserId, hashed_token: str) -> None:
        """Forget one login token. Personal access tokens stay. Unknown ones are no error."""
        ...

    @action(idempotent=True, timeout=3.0)
    async def authenticate(self, user_id: UserId, token: str) -> Identity:
        """Who the bearer of a plain `token` is.

        Raises: Unauthenticated: the two do not belong together, expired, or deactivated.
        """
        ...

    @action(idempotent=True, timeout=3.0)
    async def verify_token(self, user_id: UserId, hashed_token: str) -> Identity:
        """`authenticate` for a token that is known only hashed. Raises: Unauthenticated."""
        ...

    @action()
    async def new_token(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """Exchange a login token for a new one; the old one is gone. Raises: Unauthenticated."""
        ...

    @action(idempotent=True)
    async def remove_other_tokens(self, user_id: UserId, hashed_token: str) -> None:
        """Sign this user out everywhere but here."""
        ...

    @action(timeout=10.0)
    async def register(self, registration: Registration, address: str = "") -> UserId:
        """Make an account. The first one on an empty server becomes administrator.

        Raises: BadRequest: `error-user-registration-disabled`, `error-invalid-email`,
            `error-password-policy-not-met`, code 403 `Email already exists.`; FieldTaken.
        """
        ...

    @action(idempotent=True)
    async def set_username(self, user_id: UserId, username: str) -> str:
        """Choose a username. Raises: BadRequest: `username-invalid`; FieldTaken."""
        ...

    @action(timeout=10.0)
    async def set_password(self, user_id: UserId, password: str, hashed_token: str) -> None:
        """Change the password; every other login token is gone. Raises: BadRequest."""
        ...

    @action(idempotent=True)
    async def me(self, user_id: UserId) -> Document:
        """The caller's own user document as REST `me` shows it. Raises: UserNotFound."""
        ...

    @action(idempotent=True)
    async def user_info(
        self,
        viewer_id: UserId,
        user_id: str | None = None,
        username: str | None = None,
        email: str | None = None,
        full: bool = False,
    ) -> Document:
        """A user as `viewer_id` may see it; `full` when the viewer holds
        `view-full-other-user-info`. Raises: UserNotFound."""
        ...

    @action(idempotent=True)
    async def list_users(
        self,
        paging: Paging,
        full: bool = False,
        status_not: str | None = None,
    ) -> Page:
        """All users, by username."""
        ...

    @action(timeout=10.0)
    async def create_user(self, creator_id: UserId, user: dict[str, Any]) -> Document:
        """An administrator makes an account: `name, email, password, username, active, roles,
        verified, customFields …`. Raises: FieldTaken; BadRequest; NotAllowed."""
        ...

    @action(idempotent=True)
    async def delete_user(self, user_id: UserId) -> None:
        """Remove the account itself. Rooms and messages are the caller's business."""
        ...

    @action(idempotent=True)
    async def is_username_free(self, username: str) -> bool:
        """Whether `username` is allowed and nobody has it, without regard to case."""
        ...

    @action(timeout=10.0)
    async def update_user(self, user_id: UserId, changes: UserChanges) -> Document:
        """Change a user; the document as administrators see it. The caller has checked rights.

        A new password ends every login. Raises: UserNotFound; FieldTaken; BadRequest;
        NotAllowed: the last administrator would be none any more.
        """
        ...

    @action(idempotent=True, timeout=10.0)
    async def check_password(self, user_id: UserId, password: str) -> None:
        """Whether somebody who is signed in knows the password (plain, or its SHA-256 hex).

        Counts as a login where failures are limited. Raises: LoginRefused; NotAllowed.
        """
        ...

    @action(idempotent=True)
    async def set_active(self, user_id: UserId, active: bool) -> None:
        """Activate or deactivate; a deactivated user's tokens are gone, personal ones too.

        Raises: UserNotFound; NotAllowed: the last administrator.
        """
        ...

    @action(idempotent=True)
    async def sign_out(self, user_id: UserId) -> None:
        """End every login of a user. Personal access tokens stay."""
        ...

    @action(idempotent=True)
    async def set_preferences(self, user_id: UserId, preferences: dict[str, Any]) -> Document:
        """Change some preferences; all of them. Raises: UserNotFound; BadRequest."""
        ...

    @action()
    async def add_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        """Make a personal access token, which never expires; its plain text, told only once.

        Raises: BadRequest: `error-token-already-exists`.
        """
        ...

    @action()
    async def renew_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        """Replace a personal access token. Raises: BadRequest: `error-token-does-not-exists`."""
        ...

    @action(idempotent=True)
    async def remove_personal_token(self, user_id: UserId, token_name: str) -> None:
        """Forget a personal access token. Raises: BadRequest: `error-token-does-not-exists`."""
        ...

    @action(idempotent=True)
    async def personal_tokens(self, user_id: UserId) -> list[PersonalToken]:
        """The user's personal access tokens, without their secrets."""
        ...

    @action()
    async def create_token(self, user_id: UserId) -> LoginResult:
        """Sign a user in without a password. The caller has checked who may ask.

        Raises: UserNotFound; NotAllowed: deactivated.
        """
        ...
