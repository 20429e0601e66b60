"""Carrying a user's new name to where rooms and memberships keep a copy of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pymongo import UpdateOne

from services.messaging.domain.members import direct_names
from services.messaging.domain.sending import Person
from services.messaging.store.schema import Collections

_AT_ONCE: Final = 500  # memberships
_COPIES: Final = ("muted", "unmuted", "usernames")


class Identities:
    """Writes that can be repeated: what is in place already is not written again."""

    def __init__(self, collections: Collections) -> None:
        self._rooms = collections.rooms
        self._memberships = collections.memberships

    async def outdated(self, person: Person) -> list[dict[str, Any]]:
        """Some memberships that know a user by another name: `{"_id", "rid", "u"}`."""
        query = {
            "u._id": person.user_id,
            "$or": [
                {"u.username": {"$ne": person.username}},
                {"u.name": {"$ne": person.name}},
            ],
        }
        cursor = self._memberships.find(query, {"rid": 1, "u": 1}).limit(_AT_ONCE)
        return [membership async for membership in cursor]

    async def carry(self, person: Person, memberships: Sequence[Mapping[str, Any]]) -> list[str]:
        """Bring a user's name into the rooms of `memberships`, then into these themselves.

        Since the memberships come last, what was interrupted is found again by `outdated`.

        Returns: ids of direct rooms of several, whose memberships are to be named anew.
        """
        room_ids = [membership["rid"] for membership in memberships if membership.get("rid")]
        before = {(membership.get("u") or {}).get("username") for membership in memberships}
        before -= {None, person.username}
        if before:
            await self._replace(room_ids, [str(name) for name in before], person.username)
        groups = await self._name_pairs(person, room_ids)
        name: dict[str, Any] = (
            {"$unset": {"u.name": ""}} if person.name is None else {"$set": {"u.name": person.name}}
        )
        name["$set"] = {**name.get("$set", {}), "u.username": person.username}
        await self._memberships.update_many(
            {"_id": {"$in": [membership["_id"] for membership in memberships]}},
            {**name, "$currentDate": {"_updatedAt": True}},
        )
        return groups

    async def members(self, room_ids: Collection[str]) -> list[dict[str, Any]]:
        """`{"_id", "rid", "u", "name", "fname"}` of the memberships of rooms."""
        fields = {"rid": 1, "u": 1, "name": 1, "fname": 1}
        cursor = self._memberships.find({"rid": {"$in": list(room_ids)}}, fields)
        return [membership async for membership in cursor]

    async def name_groups(
        self, memberships: Collection[Mapping[str, Any]], people: Mapping[str, Person]
    ) -> None:
        """Name memberships of direct rooms of several after the others in them.

        Args:
            memberships: all of these rooms, as `members` gives them.
        """
        rooms: dict[str, list[Person]] = {}
        for membership in memberships:
            found = people.get(str((membership.get("u") or {}).get("_id")))
            if found is not None:
                rooms.setdefault(str(membership["rid"]), []).append(found)
        writes = []
        for membership in memberships:
            user_id = str((membership.get("u") or {}).get("_id"))
            name, display_name = direct_names(user_id, rooms.get(str(membership["rid"]), []))
            if (membership.get("name"), membership.get("fname")) != (name, display_name):
                writes.append(
                    UpdateOne(
                        {"_id": membership["_id"]},
                        {
                            "$set": {"name": name, "fname": display_name},
                            "$currentDate": {"_updatedAt": True},
                        },
                    )
                )
        if writes:
            await self._memberships.bulk_write(writes, ordered=False)

    async def _replace(self, room_ids: Sequence[str], before: Sequence[str], after: str) -> None:
        for field in _COPIES:
            name = {"$literal": after}
            other = {"$in": ["$$this", {"$literal": list(before)}]}
            names: dict[str, Any] = {
                "$map": {"input": f"${field}", "in": {"$cond": [other, name, "$$this"]}}
            }
            if field == "usernames":
                names = {"$sortArray": {"input": names, "sortBy": 1}}
            await self._rooms.update_many(
                {"_id": {"$in": list(room_ids)}, field: {"$in": list(before)}},
                [{"$set": {field: names, "_updatedAt": "$$NOW"}}],
            )

    async def _name_pairs(self, person: Person, room_ids: Sequence[str]) -> list[str]:
        """Name direct rooms of one or two after the user; ids of those of several."""
        cursor = self._rooms.find({"_id": {"$in": list(room_ids)}, "t": "d"}, {"uids": 1})
        direct = [room async for room in cursor]
        sizes = {room["_id"]: len(room.get("uids") or ()) for room in direct}
        name, display_name = person.username, person.name or person.username
        alone = [room_id for room_id, size in sizes.items() if size == 1]
        pairs = [room_id for room_id, size in sizes.items() if size in (0, 2)]
        for chosen, whose in ((pairs, {"$ne": person.user_id}), (alone, {"$eq": person.user_id})):
            if chosen:
                await self._memberships.update_many(
                    {
                        "rid": {"$in": chosen},
                        "u._id": whose,
                        "$or": [{"name": {"$ne": name}}, {"fname": {"$ne": display_name}}],
                    },
                    {
                        "$set": {"name": name, "fname": display_name},
                        "$currentDate": {"_updatedAt": True},
                    },
                )
        return [str(room_id) for room_id, size in sizes.items() if size > 2]
