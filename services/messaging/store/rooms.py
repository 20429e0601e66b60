"""Reading rooms."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.messaging.domain.lists import Order
from services.messaging.store.schema import Collections


class Rooms:
    """Queries on `rocketchat_room`."""

    def __init__(self, collections: Collections) -> None:
        self._rooms = collections.rooms

    async def one(self, room_id: str) -> dict[str, Any] | None:
        """A room by id."""
        return await self._rooms.find_one({"_id": room_id})

    async def by_name(self, name: str) -> dict[str, Any] | None:
        """The channel or private group of that name."""
        return await self._rooms.find_one({"name": name, "t": {"$in": ["c", "p"]}})

    async def public_by_names(self, names: Collection[str]) -> list[dict[str, Any]]:
        """`{"_id", "name", "fname"}` of public channels, those that exist."""
        if not names:
            return []
        cursor = self._rooms.find(
            {"name": {"$in": list(names), "$type": "string"}, "t": "c"}, {"name": 1, "fname": 1}
        )
        return [room async for room in cursor]

    async def by_ids(
        self, room_ids: Collection[str], since: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Rooms by id, those changed since."""
        query: dict[str, Any] = {"_id": {"$in": list(room_ids)}}
        if since is not None:
            # Also those with a date that is none.
            query["_updatedAt"] = {"$not": {"$lte": since}}
        return [room async for room in self._rooms.find(query)]

    async def facts(self, room_ids: Collection[str]) -> list[dict[str, Any]]:
        """`{"_id", "t", "name"}` of rooms."""
        cursor = self._rooms.find({"_id": {"$in": list(room_ids)}}, {"t": 1, "name": 1})
        return [room async for room in cursor]

    async def default_rooms(self) -> list[dict[str, Any]]:
        """Rooms that new users join."""
        return [room async for room in self._rooms.find({"default": True, "t": "c"})]

    async def page(
        self,
        room_type: str,
        order: Order,
        offset: int,
        limit: int,
        *,
        among: Collection[str] | None = None,
        name: str | None = None,
        name_part: str | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the rooms of one type, and how many there are.

        Args:
            among: only rooms with these ids.
            name: only the room of exactly this name.
            name_part: only rooms whose name holds this text, literally, in any case.
        """
        query: dict[str, Any] = {"t": room_type}
        if among is not None:
            query["_id"] = {"$in": list(among)}
        if name is not None:
            query["name"] = name
        elif name_part is not None:
            query["name"] = {"$regex": re.escape(name_part), "$options": "i"}
        cursor = self._rooms.find(query).sort(order).skip(offset).limit(limit)
        total = await self._rooms.count_documents(query)
        return [room async for room in cursor], total

    async def find(
        self,
        text: str,
        limit: int,
        *,
        among: Sequence[str],
        public: bool,
        timeout: float,
    ) -> list[dict[str, Any]]:
        """Rooms whose name begins with `text`, then such that hold it, literally.

        Args:
            among: ids of rooms that may be found whatever their type.
            public: whether any public channel may be found.
        """
        found: dict[str, dict[str, Any]] = {}
        literal = re.escape(text)
        for pattern, options in ((f"^{literal}", ""), (literal, "i")):
            for where in self._places(among, public=public):
                query: Mapping[str, Any] = {
                    **where,
                    "name": {"$regex": pattern, "$options": options, "$type": "string"},
                    "archived": {"$ne": True},
                }
                cursor = (
                    self._rooms.find(query, {"name": 1, "fname": 1, "t": 1, "lastMessage.ts": 1})
                    .sort("name", 1)
                    .limit(limit)
                    .max_time_ms(round(timeout * 1000))
                )
                async for room in cursor:
                    found.setdefault(str(room["_id"]), room)
            if len(found) >= limit:
                break
        return list(found.values())[:limit]

    async def insert_if_missing(self, room: Mapping[str, Any]) -> bool:
        """Whether the room was made. An existing one stays as it is."""
        result = await self._rooms.update_one(
            {"_id": room["_id"]},
            {"$setOnInsert": {key: value for key, value in room.items() if key != "_id"}},
            upsert=True,
        )
        return result.upserted_id is not None

    async def counts(self) -> dict[str, int]:
        """How many rooms there are of each type."""
        return {kind: await self._rooms.count_documents({"t": kind}) for kind in ("c", "p", "d")}

    def _places(self, among: Sequence[str], *, public: bool) -> list[dict[str, Any]]:
        places: list[dict[str, Any]] = []
        if among:
            places.append({"_id": {"$in": list(among)}})
        if public:
            places.append({"t": "c"})
        return places
