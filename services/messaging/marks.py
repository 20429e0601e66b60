"""What a member notes about a room for themselves: read, hidden, favourite."""

from __future__ import annotations

from hubbub.ids import RoomId, UserId
from services.messaging.desk import Desk


class Marks:
    """The doors for a member's own marks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def read_room(self, user_id: UserId, room_id: RoomId, read_threads: bool = False) -> None:
        """See the contract."""
        await self._desk.store.memberships.mark_read(room_id, user_id, threads=read_threads)

    async def set_room_open(self, user_id: UserId, room_id: RoomId, is_open: bool) -> bool:
        """See the contract."""
        memberships = self._desk.store.memberships
        if is_open:
            return await memberships.set_fields(room_id, user_id, {"open": True})
        return await memberships.hide(room_id, user_id)

    async def set_favorite(self, user_id: UserId, room_id: RoomId, favorite: bool) -> bool:
        """See the contract."""
        memberships = self._desk.store.memberships
        return await memberships.set_fields(room_id, user_id, {"f": favorite})
