"""Keeping a room's own document in step when messages go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session


async def uncount(
    collections: Collections,
    room_id: str,
    gone: Sequence[str],
    shown: int,
    session: Session,
) -> None:
    """Take messages that are gone out of a room's count, and out of its last message.

    Args:
        gone: their ids.
        shown: how many of them the room counted.
    """
    last = await collections.messages.find_one(
        {
            "rid": room_id,
            "_hidden": {"$ne": True},
            "t": {"$exists": False},
            "$or": [{"tmid": {"$exists": False}}, {"tshow": True}],
        },
        sort=[("ts", -1), ("_id", -1)],
        session=session,
    )
    was_last = {"$in": ["$lastMessage._id", {"$literal": list(gone)}]}
    new_last: Any = "$$REMOVE" if last is None else {"$literal": as_last(last)}
    await collections.rooms.update_one(
        {"_id": room_id},
        [
            {
                "$set": {
                    "msgs": {"$max": [0, {"$subtract": ["$msgs", shown]}]},
                    "lastMessage": {"$cond": [was_last, new_last, "$lastMessage"]},
                    "_updatedAt": "$$NOW",
                }
            }
        ],
        session=session,
    )


def as_last(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as its room keeps it."""
    return {key: value for key, value in message.items() if key != "seq"}
