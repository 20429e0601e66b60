"""What is known of one message and one user, also of what is deleted."""

from __future__ import annotations

from typing import Any

from services.messaging.store.schema import Collections

_STAY = {"ts": 1, "_deletedAt": 1}
_MOST = 50  # times in a room


class Explaining:
    """Queries for those who ask why; seldom run."""

    def __init__(self, collections: Collections) -> None:
        self._trash = collections.trash

    async def deleted_message(self, message_id: str) -> dict[str, Any] | None:
        """A message that was deleted, as the trash keeps it."""
        return await self._trash.find_one({"_id": message_id, "__collection__": "message"})

    async def ended_stays(self, room_id: str, user_id: str) -> list[dict[str, Any]]:
        """`{"ts", "_deletedAt"}` of a user's memberships in a room that have ended, the latest
        first."""
        cursor = self._trash.find(
            {"__collection__": "subscription", "u._id": user_id, "rid": room_id}, _STAY
        )
        return [stay async for stay in cursor.sort("_deletedAt", -1).limit(_MOST)]
