"""Links that let their holders into a room."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from services.messaging.store.schema import Collections

_LIMIT = 5000  # invitations that one answer lists


class Invites:
    """Queries on `rocketchat_invites`. An invitation's id is what its link carries."""

    def __init__(self, collections: Collections) -> None:
        self._invites = collections.invites

    async def insert(self, invite: Mapping[str, Any]) -> None:
        """Keep a new invitation."""
        await self._invites.insert_one(dict(invite))

    async def one(self, invite_id: str) -> dict[str, Any] | None:
        """An invitation, valid or not."""
        return await self._invites.find_one({"_id": invite_id})

    async def alike(
        self, room_id: str, user_id: str, days: int, max_uses: int, now: datetime
    ) -> dict[str, Any] | None:
        """A valid invitation that the user made for the room with these limits."""
        return await self._invites.find_one(
            {
                "rid": room_id,
                "userId": user_id,
                "days": days,
                "maxUses": max_uses,
                **_valid(now),
            }
        )

    async def of(self, user_id: str) -> list[dict[str, Any]]:
        """The invitations that a user made."""
        return [invite async for invite in self._invites.find({"userId": user_id}).limit(_LIMIT)]

    async def into(self, room_ids: Collection[str]) -> list[dict[str, Any]]:
        """The invitations into rooms."""
        cursor = self._invites.find({"rid": {"$in": list(room_ids)}}).limit(_LIMIT)
        return [invite async for invite in cursor]

    async def every(self) -> list[dict[str, Any]]:
        """All invitations of the workspace."""
        cursor = self._invites.find({"rid": {"$gt": ""}}).sort("rid", 1).limit(_LIMIT)
        return [invite async for invite in cursor]

    async def use(self, invite_id: str, now: datetime) -> dict[str, Any] | None:
        """Take one use of an invitation; None: it is not valid (any more)."""
        used: dict[str, Any] | None = await self._invites.find_one_and_update(
            {"_id": invite_id, **_valid(now)},
            {"$inc": {"uses": 1}, "$currentDate": {"_updatedAt": True}},
            return_document=ReturnDocument.AFTER,
        )
        return used

    async def give_back(self, invite_id: str) -> None:
        """A use that was taken led to nothing."""
        await self._invites.update_one(
            {"_id": invite_id, "uses": {"$gt": 0}}, {"$inc": {"uses": -1}}
        )

    async def remove(self, invite_id: str) -> None:
        """Make an invitation invalid for good."""
        await self._invites.delete_one({"_id": invite_id})

    async def remove_into(self, room_id: str) -> None:
        """Forget the invitations into a room that is gone."""
        await self._invites.delete_many({"rid": room_id})

    async def remove_of(self, user_id: str) -> None:
        """Forget the invitations of a user who is gone."""
        await self._invites.delete_many({"userId": user_id})


def _valid(now: datetime) -> dict[str, Any]:
    return {
        "$and": [
            {"$or": [{"expires": None}, {"expires": {"$gt": now}}]},
            {"$or": [{"maxUses": 0}, {"$expr": {"$lt": ["$uses", "$maxUses"]}}]},
        ]
    }
