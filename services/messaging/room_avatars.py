"""Pictures of rooms: whoever keeps pictures draws and keeps them, the room has their tag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.errors import BadRequest, Unavailable
from hubbub.ids import RoomId
from services.messaging.desk import Desk
from services.messaging.domain.room_settings import AVATAR, RoomChange

_MESSAGE = ("room_changed_avatar", "")


async def avatar_changes(
    desk: Desk, room: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[RoomChange]:
    """What the wanted picture changes of `room`. The picture itself is kept when it returns.

    Called last: everything else that may refuse the change has had its say.

    Raises: BadRequest: `error-invalid-settings`, `error-avatar-invalid-image`; Unavailable.
    """
    if AVATAR not in settings:
        return []
    picture, present = settings[AVATAR], room.get("avatarETag")
    if not picture:
        # Whoever shows the room no longer asks for the old one, and it goes with the room.
        return [RoomChange({"avatarETag": None}, _MESSAGE, {})] if present else []
    if not isinstance(picture, str):
        raise BadRequest(f"Invalid settings: {AVATAR}", code="error-invalid-settings")
    if desk.pictures is None:
        raise Unavailable("No pictures are kept here")
    etag = await desk.pictures.keep_room_avatar(RoomId(str(room["_id"])), picture)
    return [RoomChange({"avatarETag": etag}, _MESSAGE, {})]
