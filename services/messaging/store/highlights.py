"""Copying the words that users want to be told of into their memberships."""

from __future__ import annotations

from typing import Any, Final

from services.messaging.store.schema import Collections

_MOST: Final = 100  # words of one user that count
_PREFERENCE: Final = "settings.preferences.highlights"


class Highlights:
    """Writes that can be repeated: what is in place already is not written again."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def copy(self, user_id: str, room_id: str | None = None) -> None:
        """Copy a user's words to their memberships, or to the one in a room.

        A user who never chose any has nothing to copy: one reading by id.
        """
        user = await self._collections.users.find_one({"_id": user_id}, {_PREFERENCE: 1})
        settings = (user or {}).get("settings")
        preferences = settings.get("preferences") if isinstance(settings, dict) else None
        chosen = preferences.get("highlights") if isinstance(preferences, dict) else None
        if not isinstance(chosen, list):
            return
        words = [word for word in chosen if isinstance(word, str) and word.strip()][:_MOST]
        query: dict[str, Any] = {"u._id": user_id}
        if room_id is not None:
            query["rid"] = room_id
        if words:
            query["userHighlights"] = {"$ne": words}
            change: dict[str, Any] = {"$set": {"userHighlights": words}}
        else:
            query["userHighlights"] = {"$exists": True}
            change = {"$unset": {"userHighlights": ""}}
        await self._collections.memberships.update_many(query, change)
