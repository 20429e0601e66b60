"""Contract of the keeper of pictures, which the gateway serves: avatars and custom emoji."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Changes, Text
from hubbub.ids import RoomId, UserId


class Pictures(Contract, Protocol, name="pictures"):
    """Pictures that come by other ways than a form: as text within a call.

    A picture is a `data:` address with base64 in it. PNG, JPEG, GIF, WebP and SVG are drawn
    anew, 200 × 200 pixels; nothing of the file itself is kept.
    """

    @action(idempotent=True, timeout=20.0, running=8, waiting=64)
    async def set_user_avatar(self, user_id: UserId, picture: Text) -> None:
        """Give a user a picture: a `data:` address, or the address of one on the web.

        Raises: NotAllowed; BadRequest: `error-avatar-invalid-image`,
            `error-avatar-invalid-url`: unknown, private, too slow or too large.
        """
        ...

    @action(idempotent=True)
    async def reset_user_avatar(self, actor_id: UserId, user_id: UserId | None = None) -> None:
        """Take the picture of a user away; without `user_id` the actor's own.

        Raises: NotAllowed; UserNotFound.
        """
        ...

    @action(idempotent=True, timeout=20.0, running=8, waiting=64)
    async def keep_room_avatar(self, room_id: RoomId, picture: Text) -> str:
        """Keep a room's picture; the tag that names it. The caller has checked who may.

        Raises: BadRequest: `error-avatar-invalid-image`.
        """
        ...

    @action(idempotent=True)
    async def forget_room_avatar(self, room_id: RoomId) -> None:
        """Remove a room's picture. The caller has checked who may."""
        ...

    @action(idempotent=True)
    async def custom_emoji(self, updated_since: datetime | None = None) -> Changes:
        """`{"_id", "name", "aliases", "extension", "etag", "_updatedAt"}`: all, or what changed
        and what went since."""
        ...
