"""Contract of the account service: who somebody is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.app_users import AppUserActions
from hubbub.contracts.avatars import AvatarActions
from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Page, Paging, Text
from hubbub.contracts.second_factor import SecondFactorActions
from hubbub.contracts.user_roles import UserRoleActions
from hubbub.errors import BadRequest, NotAllowed, NotFound, Unauthenticated
from hubbub.ids import UserId

MAX_RESUMED = 100  # tokens in one call of `resume` or `verify_tokens`


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


class StoredToken(Frozen):
    """A login token as it is stored, and whose it should be."""

    user_id: UserId
    hashed_token: str = Field(repr=False)


class Registration(Frozen):
    """What somebody enters to get an account. `password` is plain text or its SHA-256 hex."""

    username: str | None = None
    name: str = ""
    email: str
    password: str = Field(repr=False)
    reason: str | None = None
    """Why, for the administrators who approve new users."""
    secret: str | None = Field(default=None, repr=False)
    """From the address of the registration form, where that is not public."""
    custom_fields: dict[str, Any] = Field(default={})


class UserChanges(Frozen):
    """What somebody may change of a user; absent fields stay as they are."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    name: Text | None = None
    username: Text | None = None
    email: Text | None = None
    password: Text | None = Field(default=None, repr=False)
    """Plain text or its SHA-256 hex. Every login token of the user is gone with it."""
    verified: bool | None = None
    active: bool | None = None
    roles: list[Text] | None = Field(default=None, max_length=50)
    nickname: Text | None = Field(default=None, max_length=120)
    bio: Text | None = Field(default=None, max_length=260)
    custom_fields: dict[str, Any] | None = Field(default=None, alias="customFields")
    require_password_change: bool | None = Field(default=None, alias="requirePasswordChange")
    language: Text | None = Field(default=None, max_length=16)
    utc_offset: float | None = Field(default=None, alias="utcOffset", ge=-14, le=14)


class ProfileChanges(Frozen):
    """What somebody may change of the own account; absent fields stay as they are."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    name: Text | None = None
    username: Text | None = None
    email: Text | None = None
    new_password: Text | None = Field(default=None, alias="newPassword", repr=False)
    """Plain text or its SHA-256 hex. Every other login token of the user is gone with it."""
    current_password: Text | None = Field(default=None, alias="currentPassword", repr=False)
    """Plain text or its SHA-256 hex; a new address or password asks for it."""
    nickname: Text | None = Field(default=None, max_length=120)
    bio: Text | None = Field(default=None, max_length=260)
    custom_fields: dict[str, Any] | None = Field(default=None, alias="customFields")


class PasswordPolicy(Frozen):
    """What a new password has to fulfil, beside not being one of the commonest."""

    shortest: int
    longest: int
    """Characters."""


class PersonalToken(Frozen):
    """A personal access token as its owner sees it."""

    name: str
    created_at: datetime
    last_token_part: str
    bypass_two_factor: bool = False
    """Calls that ask for the second factor do not ask the bearer of this token."""


class Account(
    SecondFactorActions,
    UserRoleActions,
    AvatarActions,
    AppUserActions,
    Contract,
    Protocol,
    name="account",
):
    """Login, tokens and users."""

    @action(idempotent=True, timeout=10.0, running=256, waiting=8192)
    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        """Sign in by any of the supported variants, for every door.

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

    @action(idempotent=True, timeout=10.0, running=64)
    async def resume(self, tokens: list[str]) -> list[LoginResult | None]:
        """`login` with each of at most `MAX_RESUMED` login tokens, for doors to which many come
        back at once. None where `login` fails, which says why.

        Raises: BadRequest: too many at once.
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

    @action(idempotent=True, timeout=3.0, running=64)
    async def verify_tokens(self, tokens: list[StoredToken]) -> list[bool]:
        """Whether each of at most `MAX_RESUMED` tokens is good. False where `verify_token` fails,
        which says why.

        Raises: BadRequest: too many at once.
        """
        ...

    @action()
    async def new_token(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """Exchange a login token for a new one; the old one is gone. Raises: Unauthenticated."""
        ...

    @action(idempotent=True)
    async def remove_other_tokens(self, user_id: UserId, hashed_token: str) -> None:
        """Sign this user out everywhere but here. Personal access tokens stay."""
        ...

    @action()
    async def logout_other_clients(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """A new login token; the user's others, this one too, end ten seconds later, so that
        tabs that share one can be told. Personal access tokens stay.

        Raises: Unauthenticated.
        """
        ...

    # -- making accounts

    @action(timeout=10.0)
    async def register(self, registration: Registration, address: str = "") -> UserId:
        """Make an account. The first one on an empty server becomes administrator.

        Raises: BadRequest: `error-user-registration-disabled`, `error-invalid-email`,
            `error-password-policy-not-met`, code 403 `Email already exists.`; FieldTaken.
        """
        ...

    @action(idempotent=True)
    async def is_registration_secret(self, secret: str) -> bool:
        """Whether accounts are made behind a secret address, and this is the secret."""
        ...

    @action(timeout=10.0)
    async def create_user(self, creator_id: UserId, user: dict[str, Any]) -> Document:
        """An administrator makes an account: `name, email, password, username, active, roles,
        verified, customFields …`. Raises: FieldTaken; BadRequest; NotAllowed."""
        ...

    @action(idempotent=True)
    async def ask_for_password(self, email: Text) -> None:
        """Somebody cannot sign in any more. The same for every address, known or not.

        No mail is sent: an administrator finds the request in the audit log.
        """
        ...

    @action(idempotent=True)
    async def password_policy(self) -> PasswordPolicy:
        """What a new password has to fulfil."""
        ...

    @action(idempotent=True)
    async def is_username_free(self, username: str) -> bool:
        """Whether `username` is allowed and nobody has it or one that looks the same."""
        ...

    @action(idempotent=True)
    async def suggest_username(self, user_id: UserId) -> str:
        """A free username made from the user's name or address. Raises: UserNotFound."""
        ...

    @action(idempotent=True)
    async def set_username(self, user_id: UserId, username: str) -> str:
        """Choose a username. Raises: BadRequest: `username-invalid`; FieldTaken."""
        ...

    # -- seeing users

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
        import_id: str | None = None,
    ) -> Document:
        """A user as `viewer_id` may see it.

        `full`: everything, if the viewer holds `view-full-other-user-info` or is that user;
        `canViewAllInfo` in the answer says whether. Whoever may not see addresses finds nobody
        by one. Raises: UserNotFound.
        """
        ...

    @action(idempotent=True)
    async def list_users(
        self,
        viewer_id: UserId,
        paging: Paging,
        status_not: str | None = None,
    ) -> Page:
        """All users, by username, as far as `viewer_id` may see them.

        Raises: LacksPermission: no `view-d-room`.
        """
        ...

    # -- changing accounts

    @action(timeout=10.0)
    async def set_password(self, user_id: UserId, password: str, hashed_token: str) -> None:
        """Change one's own password; every other login token is gone. Raises: BadRequest."""
        ...

    @action(timeout=30.0)
    async def update_profile(
        self, user_id: UserId, changes: ProfileChanges, hashed_token: str
    ) -> Document:
        """Change one's own account; the document as its owner sees it.

        A new password ends every other login than `hashed_token`.

        Raises: NotAllowed: `totp-required` or `totp-invalid` with method `password` where the
            present password is missing or wrong; `error-not-allowed`: not to be changed by the
            settings; FieldTaken; BadRequest.
        """
        ...

    @action(timeout=120.0)
    async def update_user(
        self, actor_id: UserId, user_id: UserId, changes: UserChanges, confirmed: bool = False
    ) -> Document:
        """Change a user; the document as administrators see it.

        Everybody may change the harmless part of the own account (`name`, `username`,
        `nickname`, `bio`, `language`, `utcOffset`). The rest needs `edit-other-user-info`, and
        besides `edit-other-user-password`, `edit-other-user-active-status`, `assign-roles`
        (and `assign-admin-role`) for what they name. A new password ends every login.

        Raises: UserNotFound; FieldTaken; BadRequest; LacksPermission; NotAllowed: the last
            administrator would be none any more; LastOwnerLeaves: as `set_active`.
        """
        ...

    @action(idempotent=True, timeout=10.0)
    async def check_password(self, user_id: UserId, password: str) -> None:
        """Whether somebody who is signed in knows the password (plain, or its SHA-256 hex).

        Counts as a login where failures are limited. Raises: LoginRefused; NotAllowed.
        """
        ...

    @action(idempotent=True, timeout=120.0)
    async def set_active(
        self, actor_id: UserId, user_id: UserId, active: bool, confirmed: bool = False
    ) -> None:
        """Activate or deactivate; a deactivated user's tokens are gone, personal ones too.

        `confirmed`: rooms that would be left without an owner get another one.

        Raises: UserNotFound; LacksPermission: no
            `edit-other-user-active-status`; NotAllowed: the last administrator; LastOwnerLeaves.
        """
        ...

    @action(idempotent=True, timeout=120.0)
    async def delete_user(self, actor_id: UserId, user_id: UserId, confirmed: bool = False) -> None:
        """Remove an account and what it holds in rooms. One that is not there is no error.

        `confirmed`: rooms that would be left without an owner get another one, those with
        nobody else in them go.

        Raises: LacksPermission: no `delete-user`; NotAllowed: the built-in bot, the last
            administrator; LastOwnerLeaves.
        """
        ...

    @action(timeout=120.0)
    async def delete_own_account(
        self, user_id: UserId, password: str, confirmed: bool = False
    ) -> None:
        """Remove the own account, as `delete_user` does. `password`: plain, or SHA-256 hex.

        Raises: NotAllowed: `error-not-allowed`, the setting does not allow it;
            `error-invalid-password`; as `delete_user`.
        """
        ...

    @action(idempotent=True)
    async def sign_out(self, actor_id: UserId, user_id: UserId) -> None:
        """End every login of a user. Personal access tokens stay.

        Raises: LacksPermission: somebody else's, without `logout-other-user`.
        """
        ...

    @action(idempotent=True)
    async def preferences(self, user_id: UserId) -> Document:
        """The user's preferences over the workspace's. Raises: UserNotFound."""
        ...

    @action(idempotent=True)
    async def set_preferences(
        self, actor_id: UserId, user_id: UserId, preferences: dict[str, Any]
    ) -> Document:
        """Change some preferences; all of them.

        Raises: UserNotFound; BadRequest: `invalid-params`; NotAllowed: somebody else's,
            without `edit-other-user-info`.
        """
        ...

    # -- tokens that programs use

    @action()
    async def add_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        """Make a personal access token, which never expires; its plain text, told only once.

        Raises: NotAllowed: `not-authorized`, no `create-personal-access-tokens`; BadRequest:
            `error-token-already-exists`.
        """
        ...

    @action()
    async def renew_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool | None = None
    ) -> str:
        """Replace a personal access token; None: as the former one was.

        Raises: NotAllowed: `not-authorized`; BadRequest: `error-token-does-not-exists`.
        """
        ...

    @action(idempotent=True)
    async def remove_personal_token(self, user_id: UserId, token_name: str) -> None:
        """Forget a personal access token. Raises: NotAllowed: `not-authorized`; BadRequest:
        `error-token-does-not-exists`."""
        ...

    @action(idempotent=True)
    async def personal_tokens(self, user_id: UserId) -> list[PersonalToken]:
        """The user's personal access tokens, without their secrets. Raises: NotAllowed:
        `not-authorized`."""
        ...

    @action()
    async def create_token(
        self, actor_id: UserId, user_id: UserId, secret: str | None = None
    ) -> LoginResult:
        """Sign a user in without a password: oneself, or anybody with the server's secret.

        On a server without a secret, whoever holds `user-generate-access-token` may.

        Raises: UserNotFound; NotAllowed: `error-not-authorized`; deactivated.
        """
        ...
