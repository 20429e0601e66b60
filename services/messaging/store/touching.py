"""The write to a room's document that goes with what is changed around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReturnDocument

from services.messaging.store.allocation import ROOM_PROJECTION, allocation, placed
from services.messaging.store.batches import Stored
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Missing, Session


async def touch_room(
    collections: Collections,
    room_id: str,
    messages: Sequence[Mapping[str, Any]],
    fields: Mapping[str, Any],
    session: Session,
) -> Stored:
    """Set `fields` of a room and store system messages in it, in one transaction with the rest.

    Every change of who is what in a room writes the room, so that two of them at once notice
    each other.

    Args:
        fields: name → expression, computed from the room as it was.

    Raises: Missing: there is no such room.
    """
    pipeline: list[dict[str, Any]] = (
        allocation(messages, last_shown=None, store_last=False, extra=fields)
        if messages
        else [{"$set": {**fields, "_updatedAt": "$$NOW"}}]
    )
    room = await collections.rooms.find_one_and_update(
        {"_id": room_id},
        pipeline,
        projection=ROOM_PROJECTION,
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    if room is None:
        raise Missing(room_id)
    complete = placed(messages, room)
    if complete:
        await collections.messages.insert_many(complete, session=session)
    return Stored(complete, room)


def without(field: str, value: Any) -> dict[str, Any]:
    """The array without `value`; what is no array stays absent."""
    kept = {"$filter": {"input": field, "cond": {"$ne": ["$$this", {"$literal": value}]}}}
    return {"$cond": [{"$isArray": field}, kept, "$$REMOVE"]}
