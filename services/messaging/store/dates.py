"""The dates of changes: never before what a room's readers have been given already.

Dates come from the primary's clock, and a new primary's may be behind its predecessor's. Messages
go on from the room's youngest date then, and so does what happens to them: clients take a change
that is dated before what they have for an old one, and ask for what changed since the youngest
date that they know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session

Date: TypeAlias = dict[str, Any]
"""An expression for a date, within the update of a message."""

_YOUNGEST = {"lm": 1, "tsHigh": 1}
"""Fields of a room that its youngest date is made of."""


async def change_date(
    collections: Collections, room_id: str, session: Session | None = None
) -> Date:
    """Of a change to a message: now, unless the room or the message is ahead of the clock. No two
    changes of one message have the same date."""
    own = {"$convert": {"input": "$_updatedAt", "to": "date", "onError": None, "onNull": None}}
    room = await _youngest(collections, room_id, session)
    return {"$max": ["$$NOW", room, {"$add": [own, 1]}]}


async def deletion_date(
    collections: Collections, room_id: str, session: Session | None = None
) -> datetime:
    """Of the deletion of a message: now, unless the room is ahead of the clock."""
    now = await collections.now()
    return max(now, await _youngest(collections, room_id, session) or now)


async def _youngest(
    collections: Collections, room_id: str, session: Session | None
) -> datetime | None:
    """The youngest date that the room has given out; foreign tools write other things there."""
    room = await collections.rooms.find_one({"_id": room_id}, _YOUNGEST, session=session)
    dates = [(room or {}).get(field) for field in _YOUNGEST]
    return max((date for date in dates if isinstance(date, datetime)), default=None)
