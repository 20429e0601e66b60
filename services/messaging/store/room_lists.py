"""Lists of rooms, users and messages by what somebody looks for."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from hubbub.contracts.room_lists import MessageFilter
from services.messaging.domain.lists import Order
from services.messaging.store.schema import Collection as Documents
from services.messaging.store.schema import Collections

_SHOWN_USER: Final = dict.fromkeys(
    ("username", "name", "nickname", "createdAt", "avatarETag", "status", "statusText"), 1
)


class RoomLists:
    """Queries that read. Texts of strangers are taken literally."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def rooms(
        self,
        order: Order,
        offset: int,
        limit: int,
        *,
        name_part: str | None = None,
        types: Collection[str] | None = None,
        discussions: bool | None = None,
        among: Collection[str] | None = None,
        timeout: float,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of rooms, and how many there are.

        Args:
            name_part: only rooms with this text in a name of theirs, or of somebody in a direct
                room.
            types: only rooms of these types.
            discussions: True: discussions count as wanted whatever their type; False: none.
            among: only rooms with these ids.
        """
        conditions: list[dict[str, Any]] = []
        if types is not None:
            of_type: dict[str, Any] = {"t": {"$in": sorted(types)}}
            if discussions:
                conditions.append({"$or": [of_type, {"prid": {"$exists": True}}]})
            else:
                conditions.append(of_type)
        if discussions is False:
            conditions.append({"prid": {"$exists": False}})
        if among is not None:
            conditions.append({"_id": {"$in": list(among)}})
        if name_part:
            literal = {"$regex": re.escape(name_part), "$options": "i"}
            names = ("name", "fname", "usernames")
            conditions.append({"$or": [{name: literal} for name in names]})
        query: dict[str, Any] = {"$and": conditions} if conditions else {}
        return await _page(self._collections.rooms, query, order, offset, limit, timeout)

    async def users(
        self,
        order: Order,
        offset: int,
        limit: int,
        *,
        name_part: str | None,
        with_emails: bool,
        timeout: float,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of active users with a username, and how many there are."""
        query: dict[str, Any] = {"username": {"$exists": True}, "active": {"$ne": False}}
        if name_part:
            literal = {"$regex": re.escape(name_part), "$options": "i"}
            names = ["username", "name", "nickname"] + (["emails.address"] if with_emails else [])
            query["$or"] = [{name: literal} for name in names]
        shown = _SHOWN_USER | ({"emails": 1} if with_emails else {})
        return await _page(self._collections.users, query, order, offset, limit, timeout, shown)

    async def messages(
        self,
        room_id: str,
        wanted: MessageFilter,
        hidden: Collection[str],
        order: Order,
        offset: int,
        limit: int,
        timeout: float,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a room's messages that are as wanted, and how many there are."""
        query: dict[str, Any] = {"rid": room_id, "_hidden": {"$ne": True}}
        if hidden:
            query["t"] = {"$nin": sorted(hidden)}
        if wanted.message_id is not None:
            query["_id"] = wanted.message_id
        if wanted.author is not None:
            query["u.username"] = wanted.author
        if wanted.text is not None:
            query["msg"] = _text(wanted)
        if wanted.at is not None:
            query["ts"] = wanted.at
        if wanted.mentioned:
            query["mentions._id"] = {"$in": wanted.mentioned}
        if wanted.starred_by:
            query["starred._id"] = {"$in": wanted.starred_by}
        if wanted.pinned is not None:
            query["pinned"] = True if wanted.pinned else {"$ne": True}
        return await _page(self._collections.messages, query, order, offset, limit, timeout)


def _text(wanted: MessageFilter) -> Any:
    text = wanted.text or ""
    if not wanted.text_part:
        return text
    return {"$regex": re.escape(text), "$options": "i" if wanted.ignore_case else ""}


async def _page(
    collection: Documents,
    query: Mapping[str, Any],
    order: Order,
    offset: int,
    limit: int,
    timeout: float,
    shown: Mapping[str, int] | None = None,
) -> tuple[list[dict[str, Any]], int]:
    milliseconds = round(timeout * 1000)
    cursor = collection.find(query, shown).sort(order).skip(offset).limit(limit)
    page = [document async for document in cursor.max_time_ms(milliseconds)]
    if len(page) < limit and (page or not offset):
        return page, offset + len(page)
    if not query:
        return page, await collection.estimated_document_count(maxTimeMS=milliseconds)
    return page, await collection.count_documents(query, maxTimeMS=milliseconds)
