"""Tokens: checking, exchanging and ending them, and those that programs use."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hubbub.contracts.account import (
    MAX_RESUMED,
    Identity,
    LoginResult,
    PersonalToken,
    StoredToken,
)
from hubbub.errors import BadRequest, NotAllowed, Unauthenticated, Unavailable
from hubbub.ids import UserId, hash_token, login_token
from hubbub.mongo import Document
from services.account import profile, rights
from services.account.audit import Audit
from services.account.domain import PERSONAL_TOKEN, Token, check_token, moment, token_of
from services.account.login import Login
from services.account.rights import Rights
from services.account.settings import AccountSettings
from services.account.store.fields import TOKENS
from services.account.store.logins import MongoLoginStore
from services.account.store.users import MongoUserStore

_IDENTITY_FIELDS = ["username", "name", "roles", "active", TOKENS]
_LONGEST_NAME = 128  # characters of a personal token's name


class TokenKeeper:
    """Everything about tokens that exist."""

    def __init__(
        self,
        users: MongoUserStore,
        store: MongoLoginStore,
        login: Login,
        held: Rights,
        audit: Audit,
        settings: AccountSettings,
    ) -> None:
        self._users = users
        self._store = store
        self._login = login
        self._rights = held
        self._audit = audit
        self._settings = settings

    # -- login tokens ---------------------------------------------------------------------------

    async def verify(self, user_id: UserId, hashed_token: str) -> Identity:
        """See `Account.verify_token`."""
        user = await self._users.find(user_id, _IDENTITY_FIELDS) or {}
        return await self._identity(user, user_id, hashed_token)

    async def are_good(self, tokens: Sequence[StoredToken]) -> list[bool]:
        """See `Account.verify_tokens`."""
        users = await self._users.find_all({one.user_id for one in tokens}, _IDENTITY_FIELDS)
        good = []
        for one in tokens:
            try:
                await self._identity(users.get(one.user_id, {}), one.user_id, one.hashed_token)
            except Unavailable:
                raise
            except Exception:
                good.append(False)
            else:
                good.append(True)
        return good

    async def _identity(self, user: Document, user_id: UserId, hashed_token: str) -> Identity:
        await self._good(user, hashed_token)
        if user.get("active") is not True:
            raise Unauthenticated("Invalid user")
        return Identity(
            user_id=user_id,
            username=user.get("username") or "",
            name=user.get("name"),
            roles=user.get("roles") or [],
            hashed_token=hashed_token,
        )

    async def exchange(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """See `Account.new_token`."""
        user = await self._signed_in(user_id, hashed_token)
        plain, now = login_token(), self._login.now()
        exchanged = await self._store.exchange_token(
            user_id, hashed_token, hash_token(plain), now=now, limit=self._settings.token_limit
        )
        if not exchanged:
            raise Unauthenticated("Invalid user")
        return await self._result(user, plain)

    async def end_others_soon(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """See `Account.logout_other_clients`."""
        user = await self._signed_in(user_id, hashed_token)
        plain, now = login_token(), self._login.now()
        ended = await self._store.end_other_tokens(
            user_id,
            hashed_token,
            hash_token(plain),
            now=now,
            ends_at=now + timedelta(seconds=self._settings.logout_delay),
        )
        if not ended:
            raise Unauthenticated("Invalid user")
        await self._audit.note("token.others-removed", actor=user_id, target=user_id)
        return await self._result(user, plain)

    async def end_others(self, user_id: UserId, hashed_token: str) -> None:
        """See `Account.remove_other_tokens`."""
        await self._store.remove_other_tokens(user_id, hashed_token)
        await self._audit.note("token.others-removed", actor=user_id, target=user_id)

    async def create_for(
        self, actor_id: UserId, user_id: UserId, secret: str | None
    ) -> LoginResult:
        """See `Account.create_token`."""
        if actor_id != user_id and not await self._may_sign_in_others(actor_id, secret):
            await self._audit.note(
                "token.created", actor=actor_id, target=user_id, result="refused"
            )
            raise NotAllowed("Not authorized", code="error-not-authorized")
        result = await self._login.without_password(user_id)
        await self._audit.note("token.created", actor=actor_id, target=user_id)
        return result

    async def _may_sign_in_others(self, actor_id: UserId, secret: str | None) -> bool:
        right = self._settings.token_secret.get_secret_value()
        if not right:
            return await self._rights.may(actor_id, rights.MAKE_TOKENS)
        return hmac.compare_digest((secret or "").encode("utf-8", "replace"), right.encode())

    async def _good(self, user: Mapping[str, Any], hashed: str) -> Token:
        """Raises: Unauthenticated."""
        lifetime = await self._login.lifetime()
        return check_token(token_of(user, hashed), lifetime, self._login.now())

    async def _signed_in(self, user_id: UserId, hashed_token: str) -> Document:
        """Raises: Unauthenticated."""
        user = await self._users.find(user_id, [*profile.KEPT_BY_CLIENTS, "active", TOKENS]) or {}
        await self._good(user, hashed_token)
        if user.get("active") is not True:
            raise Unauthenticated("Invalid user")
        return user

    async def _result(self, user: Document, plain: str) -> LoginResult:
        return LoginResult(
            user_id=UserId(user["_id"]),
            token=plain,
            hashed_token=hash_token(plain),
            token_expires=self._login.now() + await self._login.lifetime(),
            type="resume",
            user=profile.picked(user, profile.KEPT_BY_CLIENTS),
        )

    # -- personal access tokens -----------------------------------------------------------------

    async def add_personal(self, user_id: UserId, name: str, *, bypass: bool) -> str:
        """See `Account.add_personal_token`."""
        await self._check_personal(user_id)
        plain, token = self._personal(name, bypass=bypass)
        if not await self._store.add_personal_token(user_id, token):
            raise BadRequest(
                "A token with this name already exists", code="error-token-already-exists"
            )
        await self._audit.note(
            "token.made", actor=user_id, target=user_id, name=token["name"], bypass=bypass
        )
        return plain

    async def renew_personal(self, user_id: UserId, name: str, *, bypass: bool | None) -> str:
        """See `Account.renew_personal_token`."""
        await self._check_personal(user_id)
        plain, token = self._personal(name, bypass=bypass is True)
        if bypass is None:
            del token["bypassTwoFactor"]
        if not await self._store.replace_personal_token(user_id, token):
            raise _no_such_token()
        await self._audit.note("token.renewed", actor=user_id, target=user_id, name=token["name"])
        return plain

    async def remove_personal(self, user_id: UserId, name: str) -> None:
        """See `Account.remove_personal_token`."""
        await self._check_personal(user_id)
        if not await self._store.remove_personal_token(user_id, name.strip()):
            raise _no_such_token()
        await self._audit.note("token.removed", actor=user_id, target=user_id, name=name.strip())

    async def personal(self, user_id: UserId) -> list[PersonalToken]:
        """See `Account.personal_tokens`."""
        await self._check_personal(user_id)
        return [
            PersonalToken(
                name=str(token.get("name", "")),
                created_at=moment(token.get("createdAt")) or self._login.now(),
                last_token_part=str(token.get("lastTokenPart", "")),
                bypass_two_factor=token.get("bypassTwoFactor") is True,
            )
            for token in await self._store.personal_tokens(user_id)
        ]

    async def _check_personal(self, user_id: UserId) -> None:
        if not await self._rights.may(user_id, rights.PERSONAL_TOKENS):
            raise NotAllowed("Not Authorized", code="not-authorized")

    def _personal(self, name: str, *, bypass: bool) -> tuple[str, dict[str, Any]]:
        """A new personal token: its plain text, and what is stored of it."""
        name = name.strip()
        if not 0 < len(name) <= _LONGEST_NAME or "\x00" in name:
            raise BadRequest("The 'tokenName' param is required", code="error-invalid-params")
        plain = login_token()
        return plain, {
            "type": PERSONAL_TOKEN,
            "hashedToken": hash_token(plain),
            "createdAt": self._login.now(),
            "lastTokenPart": plain[-6:],
            "name": name,
            "bypassTwoFactor": bypass,
        }


def _no_such_token() -> BadRequest:
    return BadRequest("Token does not exist", code="error-token-does-not-exists")


class Tokens:
    """The doors for tokens."""

    _tokens: MongoLoginStore
    _token_keeper: TokenKeeper

    async def logout(self, user_id: UserId, hashed_token: str) -> None:
        """See the contract."""
        await self._tokens.remove_token(user_id, hashed_token)

    async def authenticate(self, user_id: UserId, token: str) -> Identity:
        """See the contract."""
        return await self._token_keeper.verify(user_id, hash_token(token))

    async def verify_token(self, user_id: UserId, hashed_token: str) -> Identity:
        """See the contract."""
        return await self._token_keeper.verify(user_id, hashed_token)

    async def verify_tokens(self, tokens: list[StoredToken]) -> list[bool]:
        """See the contract."""
        if len(tokens) > MAX_RESUMED:
            raise BadRequest(f"at most {MAX_RESUMED} tokens at once")
        return await self._token_keeper.are_good(tokens)

    async def new_token(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """See the contract."""
        return await self._token_keeper.exchange(user_id, hashed_token)

    async def logout_other_clients(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """See the contract."""
        return await self._token_keeper.end_others_soon(user_id, hashed_token)

    async def remove_other_tokens(self, user_id: UserId, hashed_token: str) -> None:
        """See the contract."""
        await self._token_keeper.end_others(user_id, hashed_token)

    async def create_token(
        self, actor_id: UserId, user_id: UserId, secret: str | None = None
    ) -> LoginResult:
        """See the contract."""
        return await self._token_keeper.create_for(actor_id, user_id, secret)

    async def add_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        """See the contract."""
        return await self._token_keeper.add_personal(user_id, token_name, bypass=bypass_two_factor)

    async def renew_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool | None = None
    ) -> str:
        """See the contract."""
        return await self._token_keeper.renew_personal(
            user_id, token_name, bypass=bypass_two_factor
        )

    async def remove_personal_token(self, user_id: UserId, token_name: str) -> None:
        """See the contract."""
        await self._token_keeper.remove_personal(user_id, token_name)

    async def personal_tokens(self, user_id: UserId) -> list[PersonalToken]:
        """See the contract."""
        return await self._token_keeper.personal(user_id)
