"""Who has a picture, and who may change it. The pictures themselves are kept by the gateway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from hubbub.contracts.authorization import Authorization
from hubbub.contracts.avatars import AvatarOwner
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from hubbub.workspace_settings import WorkspaceSettings
from services.account.refusals import user_not_found
from services.account.store.users import MongoUserStore

_FIELDS = ["username", "avatarETag"]
_OTHERS = "edit-other-user-avatar"


class AvatarKeeper:
    """Knows who has a picture, and who may change it."""

    def __init__(
        self,
        users: MongoUserStore,
        authorization: Authorization,
        workspace: WorkspaceSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._users = users
        self._authorization = authorization
        self._workspace = workspace
        self._now = now

    async def owner(self, user_id: str | None, username: str | None) -> AvatarOwner | None:
        """See the contract."""
        if user_id is not None:
            user = await self._users.find(user_id, _FIELDS)
        elif username is not None:
            user = await self._users.find_named(username, _FIELDS)
        else:
            return None
        if user is None or not user.get("username"):
            return None
        etag = user.get("avatarETag")
        return AvatarOwner(
            user_id=UserId(user["_id"]),
            username=user["username"],
            etag=etag if isinstance(etag, str) else None,
        )

    async def permitted(
        self, actor_id: UserId, user_id: str | None, username: str | None
    ) -> AvatarOwner:
        """See the contract."""
        if user_id is None and username is None:
            user_id = actor_id
        owner = await self.owner(user_id, username)
        is_own = owner is not None and owner.user_id == actor_id
        is_open = is_own and await self._workspace.flag("Accounts_AllowUserAvatarChange")
        if not is_open and not await self._authorization.has_all_permissions(actor_id, [_OTHERS]):
            raise NotAllowed("Change avatar is not allowed" if is_own else "Not allowed")
        if owner is None:
            raise user_not_found()
        return owner

    async def change(self, user_id: UserId, etag: str | None, origin: str) -> None:
        """Write down that there is another picture, or none. Raises: UserNotFound."""
        fields: dict[str, Any] = {"_updatedAt": self._now()}
        change: dict[str, Any] = {"$set": fields}
        if etag is None:
            change["$unset"] = {"avatarETag": 1, "avatarOrigin": 1}
        else:
            fields |= {"avatarETag": etag, "avatarOrigin": origin}
        if not await self._users.update(user_id, change):
            raise user_not_found()


class Avatars:
    """The doors for avatars."""

    _avatar_keeper: AvatarKeeper

    async def avatar_owner(
        self, user_id: str | None = None, username: str | None = None
    ) -> AvatarOwner | None:
        """See the contract."""
        return await self._avatar_keeper.owner(user_id, username)

    async def may_set_avatar(
        self, actor_id: UserId, user_id: str | None = None, username: str | None = None
    ) -> AvatarOwner:
        """See the contract."""
        return await self._avatar_keeper.permitted(actor_id, user_id, username)

    async def set_avatar(
        self,
        actor_id: UserId,
        user_id: UserId,
        etag: str | None,
        origin: Literal["rest", "url", "upload"] = "rest",
    ) -> None:
        """See the contract."""
        await self._avatar_keeper.permitted(actor_id, user_id, None)
        await self._avatar_keeper.change(user_id, etag, origin)
