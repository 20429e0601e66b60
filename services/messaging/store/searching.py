"""Finding messages of a room by their text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo.errors import ExecutionTimeout

from hubbub.contracts.marks import SEARCHED_LITERALLY
from services.messaging.domain.searching import Wanted
from services.messaging.store.schema import Collections

_FOUND: Final = 5000  # messages that one search gives, the newest
_ORDER: Final = {"ts": -1, "_id": -1}


class Searching:
    """Queries by text."""

    def __init__(self, collections: Collections) -> None:
        self._messages = collections.messages

    async def find(
        self,
        room_id: str,
        wanted: Wanted,
        hidden: Sequence[str],
        part: slice,
        timeout: float,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the messages that hold what is wanted, newest first, and how many there are.

        Args:
            hidden: system types to leave out.
            timeout: seconds for the index of words. A word that is in too many messages for
                that is looked for in the newest ones.
        """
        query: dict[str, Any] = {"rid": room_id, "_hidden": {"$ne": True}}
        if hidden:
            query["t"] = {"$nin": list(hidden)}
        if wanted.literally:
            found = await self._among_newest(query, wanted)
        else:
            try:
                found = await self._by_words(query, wanted, timeout)
            except ExecutionTimeout:
                found = await self._among_newest(query, wanted)
        page = found[part]
        cursor = self._messages.find({"_id": {"$in": page}, "_hidden": {"$ne": True}})
        messages = {message["_id"]: message async for message in cursor}
        return [messages[one] for one in page if one in messages], len(found)

    async def _by_words(
        self, query: Mapping[str, Any], wanted: Wanted, timeout: float
    ) -> list[Any]:
        cursor = self._messages.find({**query, "$text": {"$search": wanted.terms}}, {"_id": 1})
        cursor = cursor.sort(list(_ORDER.items())).limit(_FOUND)
        return [found["_id"] async for found in cursor.max_time_ms(round(timeout * 1000))]

    async def _among_newest(self, query: Mapping[str, Any], wanted: Wanted) -> list[Any]:
        holding = [{"msg": {"$regex": re.escape(part), "$options": "i"}} for part in wanted.parts]
        cursor = await self._messages.aggregate(
            [
                {"$match": {"rid": query["rid"]}},
                {"$sort": _ORDER},
                {"$limit": SEARCHED_LITERALLY},
                {"$match": {**query, "$and": holding}},
                {"$limit": _FOUND},
                {"$project": {"_id": 1}},
            ]
        )
        return [found["_id"] async for found in cursor]
