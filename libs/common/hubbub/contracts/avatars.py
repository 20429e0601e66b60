"""The part of the account contract about avatars."""

from __future__ import annotations

from typing import Literal, Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Frozen
from hubbub.ids import UserId


class AvatarOwner(Frozen):
    """A user, as far as avatars go."""

    user_id: UserId
    username: str
    etag: str | None = None
    """Names the present picture; None: there is none, or one is made of initials."""


class AvatarActions(Contract, Protocol):
    """The gateway stores the images; the account knows that there is one."""

    @action(idempotent=True, timeout=3.0)
    async def avatar_owner(
        self, user_id: str | None = None, username: str | None = None
    ) -> AvatarOwner | None:
        """The user with this id, or name in any case; None: there is none, or one without a name.

        Everybody may ask.
        """
        ...

    @action(idempotent=True)
    async def may_set_avatar(
        self, actor_id: UserId, user_id: str | None = None, username: str | None = None
    ) -> AvatarOwner:
        """The user whose picture `actor_id` wants to change; without a name the actor.

        Raises:
            NotAllowed: `error-not-allowed`: somebody else's without `edit-other-user-avatar`, or
                the own one while `Accounts_AllowUserAvatarChange` is off.
            UserNotFound.
        """
        ...

    @action(idempotent=True)
    async def set_avatar(
        self,
        actor_id: UserId,
        user_id: UserId,
        etag: str | None,
        origin: Literal["rest", "url", "upload"] = "rest",
    ) -> None:
        """The user has another picture now, or with `etag` None none any more. Everybody who is
        signed in is told.

        Raises: NotAllowed, UserNotFound, as `may_set_avatar`.
        """
        ...
