"""What other services ask of the gateway about pictures."""

from __future__ import annotations

from datetime import datetime

from hubbub.contracts.account import Account
from hubbub.contracts.documents import Changes
from hubbub.contracts.pictures import Pictures
from hubbub.ids import RoomId, UserId
from services.gateway.files.emoji import CustomEmoji
from services.gateway.files.portraits import Portraits, decoded


class PictureService(Pictures):
    """The doors for pictures beside HTTP."""

    def __init__(self, portraits: Portraits, emoji: CustomEmoji, account: Account) -> None:
        self._portraits = portraits
        self._emoji = emoji
        self._account = account

    async def set_user_avatar(self, user_id: UserId, picture: str) -> None:
        """See the contract."""
        owner = await self._account.may_set_avatar(user_id)
        await self._portraits.set_from_address(user_id, owner, picture)

    async def reset_user_avatar(self, actor_id: UserId, user_id: UserId | None = None) -> None:
        """See the contract."""
        owner = await self._account.may_set_avatar(actor_id, user_id)
        await self._portraits.reset_of_user(actor_id, owner)

    async def keep_room_avatar(self, room_id: RoomId, picture: str) -> str:
        """See the contract."""
        return await self._portraits.set_of_room(room_id, decoded(picture))

    async def forget_room_avatar(self, room_id: RoomId) -> None:
        """See the contract."""
        await self._portraits.forget("room", room_id)

    async def custom_emoji(self, updated_since: datetime | None = None) -> Changes:
        """See the contract."""
        return await self._emoji.changes(updated_since)
