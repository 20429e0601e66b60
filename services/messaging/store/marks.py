"""Stars, pins and followers on messages, and the lists that are made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import ReturnDocument

from services.messaging.domain.lists import Order
from services.messaging.store.batches import Stored
from services.messaging.store.dates import change_date
from services.messaging.store.numbers import as_last
from services.messaging.store.schema import Collections
from services.messaging.store.touching import touch_room
from services.messaging.store.transactions import Session, Transactions

NOTICE: Final = "pinNotice"
"""Of a pinned message: the id of the system message that told of it. Never sent."""

_RECEIPTS: Final = 1000


@dataclass(frozen=True, slots=True)
class PinnedNow:
    """What pinning wrote."""

    message: dict[str, Any]
    stored: Stored
    """With the system message."""


class Marks:
    """Queries on what members put on messages."""

    def __init__(self, collections: Collections, transactions: Transactions) -> None:
        self._collections = collections
        self._messages = collections.messages
        self._transactions = transactions

    async def star(self, room_id: str, message_id: str, user_id: str, *, starred: bool) -> None:
        """Put one user's star on a message or take it off. The same again changes nothing."""
        others = {
            "$filter": {
                "input": _array("$starred"),
                "cond": {"$ne": ["$$this._id", {"$literal": user_id}]},
            }
        }
        own: list[Any] = [{"_id": {"$literal": user_id}}] if starred else []
        after = {"$concatArrays": [others, own]}
        has_not = {"starred._id": {"$ne": user_id} if starred else user_id}
        # An empty list would keep the message in the index of starred ones.
        await self._messages.update_one(
            {"_id": message_id, **has_not},
            [
                {
                    "$set": {
                        "starred": {"$cond": [{"$eq": [after, []]}, "$$REMOVE", after]},
                        "_updatedAt": await change_date(self._collections, room_id),
                    }
                }
            ],
        )

    async def pin(
        self,
        message: Mapping[str, Any],
        announcement: Mapping[str, Any],
        actor: Mapping[str, Any],
        deadline: float,
    ) -> PinnedNow | None:
        """Pin a message that is still as `message` says, with a system message in its room.

        None: somebody else did in between, or it is gone. Raises: Missing: the room is gone.
        """
        room_id = str(message["rid"])

        async def work(session: Session) -> PinnedNow | None:
            fields = {
                "pinned": True,
                "pinnedAt": "$$NOW",
                "pinnedBy": {"$literal": dict(actor)},
                NOTICE: {"$literal": announcement["_id"]},
                "_updatedAt": await change_date(self._collections, room_id, session),
            }
            after = await self._messages.find_one_and_update(
                _unchanged(message),
                [{"$set": fields}],
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            if after is None:
                return None
            stored = await touch_room(self._collections, room_id, [announcement], {}, session)
            await self._copy_to_room(after, session)
            return PinnedNow(after, stored)

        return await self._transactions.run(work, deadline=deadline)

    async def unpin(self, message: Mapping[str, Any], deadline: float) -> None:
        """Take the pin off. One that is not pinned stays as it is."""

        async def work(session: Session) -> None:
            date = await change_date(self._collections, str(message["rid"]), session)
            # False instead of nothing: some clients only ever add to what they know.
            after = await self._messages.find_one_and_update(
                {"_id": message["_id"], "pinned": True},
                [
                    {"$set": {"pinned": False, "_updatedAt": date}},
                    {"$unset": ["pinnedAt", "pinnedBy", NOTICE]},
                ],
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            if after is not None:
                await self._copy_to_room(after, session)

        await self._transactions.run(work, deadline=deadline)

    async def follow(self, room_id: str, thread_id: str, user_id: str, *, following: bool) -> None:
        """Add a user to those who hear of a thread, or take them out."""
        has_not = {"replies": {"$ne": user_id} if following else user_id}
        others = {
            "$filter": {
                "input": _array("$replies"),
                "cond": {"$ne": ["$$this", {"$literal": user_id}]},
            }
        }
        own = [{"$literal": user_id}] if following else []
        after = {
            "replies": {"$concatArrays": [others, own]},
            "_updatedAt": await change_date(self._collections, room_id),
        }
        await self._messages.update_one({"_id": thread_id, **has_not}, [{"$set": after}])

    async def starred(
        self, room_id: str, user_id: str, hidden: Sequence[str], order: Order, part: slice
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the messages with a user's star, and how many there are."""
        return await self._page(_shown(room_id, hidden) | {"starred._id": user_id}, order, part)

    async def pinned(
        self, room_id: str, hidden: Sequence[str], order: Order, part: slice
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the pinned messages, and how many there are."""
        return await self._page(_shown(room_id, hidden) | {"pinned": True}, order, part)

    async def mentioning(
        self, room_id: str, user_id: str, hidden: Sequence[str], order: Order, part: slice
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the messages that mention a user, and how many there are."""
        return await self._page(_shown(room_id, hidden) | {"mentions._id": user_id}, order, part)

    async def leading_to_discussions(
        self, room_id: str, text: str | None, hidden: Sequence[str], order: Order, part: slice
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the messages that lead to discussions, and how many there are."""
        query = _shown(room_id, hidden) | {"drid": {"$exists": True}} | _holding(text)
        # The index by `drid` would do as well, but reads the whole workspace's discussions.
        return await self._page(query, order, part, "discussions")

    async def threads(
        self,
        room_id: str,
        order: Order,
        part: slice,
        *,
        follower: str | None = None,
        among: Collection[str] | None = None,
        text: str | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the first messages of threads, and how many there are.

        Args:
            follower: only those that this user follows.
            among: only those with these ids.
            text: only those that hold it, literally, in any case.
        """
        query = _shown(room_id, ()) | {"tcount": {"$exists": True, "$gt": 0}} | _holding(text)
        if follower is not None:
            query["replies"] = follower
        if among is not None:
            query["_id"] = {"$in": list(among)}
        return await self._page(query, order, part)

    async def seen_by(self, room_id: str, moment: datetime) -> list[dict[str, Any]]:
        """`{"u", "ls"}` of memberships whose user has looked into the room since a moment."""
        cursor = self._collections.memberships.find(
            {"rid": room_id, "ls": {"$gte": moment}}, {"u": 1, "ls": 1}
        )
        return [membership async for membership in cursor.limit(_RECEIPTS)]

    async def _copy_to_room(self, message: Mapping[str, Any], session: Session) -> None:
        await self._collections.rooms.update_one(
            {"_id": message["rid"], "lastMessage._id": message["_id"]},
            {"$set": {"lastMessage": as_last(message), "_updatedAt": message["_updatedAt"]}},
            session=session,
        )

    async def _page(
        self, query: Mapping[str, Any], order: Order, part: slice, index: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        skipped, end = int(part.start), int(part.stop)
        cursor = self._messages.find(query).sort(order).skip(skipped).limit(end - skipped)
        if index is not None:
            cursor = cursor.hint(index)
        hint: dict[str, Any] = {} if index is None else {"hint": index}
        total = await self._messages.count_documents(query, **hint)
        return [message async for message in cursor], total


def _shown(room_id: str, hidden: Sequence[str]) -> dict[str, Any]:
    query: dict[str, Any] = {"rid": room_id, "_hidden": {"$ne": True}}
    return query | ({"t": {"$nin": list(hidden)}} if hidden else {})


def _holding(text: str | None) -> dict[str, Any]:
    return {"msg": {"$regex": re.escape(text), "$options": "i"}} if text else {}


def _unchanged(message: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_id": message["_id"],
        "_hidden": {"$ne": True},
        "t": {"$exists": False},
        "pinned": message.get("pinned"),
        NOTICE: message.get(NOTICE),
    }


def _array(field: str) -> dict[str, Any]:
    return {"$cond": [{"$isArray": field}, field, []]}
