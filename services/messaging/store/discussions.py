"""Discussions: rooms that hang on another one, and on a message in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.messaging.domain.lists import Order
from services.messaging.store.batches import Stored
from services.messaging.store.schema import Collections
from services.messaging.store.touching import touch_room
from services.messaging.store.transactions import Session, Transactions


class Discussions:
    """Queries on rooms with a parent."""

    def __init__(self, collections: Collections, transactions: Transactions) -> None:
        self._collections = collections
        self._transactions = transactions

    async def create(
        self,
        room: Mapping[str, Any],
        memberships: Sequence[Mapping[str, Any]],
        announcement: Mapping[str, Any],
        deadline: float,
    ) -> Stored:
        """Store a new discussion with its members; what the parent got as an announcement.

        Raises: Duplicate: its id is taken, or its message has a discussion; Missing: no parent.
        """

        async def work(session: Session) -> Stored:
            stored = await touch_room(
                self._collections, str(room["prid"]), [announcement], {}, session
            )
            await self._collections.rooms.insert_one(dict(room), session=session)
            if memberships:
                await self._collections.memberships.insert_many(
                    [{**membership, "countedSeq": 0} for membership in memberships],
                    ordered=False,
                    session=session,
                )
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def of_message(self, message_id: str) -> dict[str, Any] | None:
        """The discussion that hangs on a message."""
        return await self._collections.rooms.find_one(
            {"pmid": {"$exists": True, "$eq": message_id}}
        )

    async def recent(
        self, parent_id: str, name: str, creator_id: str, since: datetime
    ) -> dict[str, Any] | None:
        """The youngest discussion of that name that somebody began in a room since."""
        return await self._collections.rooms.find_one(
            {
                "prid": {"$exists": True, "$eq": parent_id},
                "fname": name,
                "u._id": creator_id,
                "ts": {"$gt": since},
            },
            sort=[("lm", -1), ("_id", -1)],
        )

    async def page(
        self, parent_id: str, order: Order, offset: int, limit: int, text: str | None
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a room's discussions, those whose name holds `text`; how many there are."""
        query: dict[str, Any] = {"prid": {"$exists": True, "$eq": parent_id}}
        if text:
            query["fname"] = {"$regex": re.escape(text), "$options": "i"}
        cursor = self._collections.rooms.find(query).sort(order).skip(offset).limit(limit)
        total = await self._collections.rooms.count_documents(query)
        return [room async for room in cursor], total

    async def report(self, room_id: str) -> None:
        """Show in the parent how much is said in a discussion, and since when nothing more.

        Nothing is written when that is shown already.
        """
        room = await self._collections.rooms.find_one({"_id": room_id}, {"msgs": 1, "lm": 1})
        if room is None:
            return
        shown = {"dcount": room.get("msgs") or 0, "dlm": room.get("lm")}
        await self._collections.messages.update_many(
            {
                "drid": {"$exists": True, "$eq": room_id},
                "$or": [{name: {"$ne": value}} for name, value in shown.items()],
            },
            {"$set": shown, "$currentDate": {"_updatedAt": True}},
        )
