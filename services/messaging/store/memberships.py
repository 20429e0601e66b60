"""Reading memberships, and the writes that concern one membership alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from services.messaging.domain.lists import Order
from services.messaging.store.schema import USERS, Collections

_WATCHING = {"u": 1, "desktopNotifications": 1, "disableNotifications": 1, "userHighlights": 1}


class Memberships:
    """Queries on `rocketchat_subscription`."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self._memberships = collections.memberships

    async def one(self, room_id: str, user_id: str) -> dict[str, Any] | None:
        """A user's membership in a room."""
        return await self._memberships.find_one({"rid": room_id, "u._id": user_id})

    async def of(self, user_id: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """A user's memberships, those changed since."""
        query: dict[str, Any] = {"u._id": user_id}
        if since is not None:
            # Also those with a date that is none.
            query["_updatedAt"] = {"$not": {"$lte": since}}
        return [membership async for membership in self._memberships.find(query)]

    async def places(self, user_id: str) -> list[dict[str, Any]]:
        """`{"rid", "t", "name", "ts"}` of a user's memberships."""
        cursor = self._memberships.find({"u._id": user_id}, {"rid": 1, "t": 1, "name": 1, "ts": 1})
        return [membership async for membership in cursor]

    async def users_in(self, room_id: str, user_ids: Collection[str]) -> set[str]:
        """Those of `user_ids` that are members."""
        cursor = self._memberships.find(
            {"rid": room_id, "u._id": {"$in": list(user_ids)}}, {"u._id": 1}
        )
        return {str(membership["u"]["_id"]) async for membership in cursor}

    async def page(
        self, room_id: str, order: Order, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a room's members as `{"_id", "username", "name", "roles"}`; how many."""
        query = {"rid": room_id}
        cursor = (
            self._memberships.find(query, {"u": 1, "roles": 1})
            .sort([(f"u.{key}" if key != "_id" else key, way) for key, way in order])
            .skip(offset)
            .limit(limit)
        )
        total = await self._memberships.count_documents(query)
        return [_member(membership) async for membership in cursor], total

    async def search(
        self,
        room_id: str,
        order: Order,
        offset: int,
        limit: int,
        *,
        text: str | None,
        online_only: bool,
        statuses: Collection[str] | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the members whose name holds `text`, or who are not offline, or have one of
        some statuses; how many.

        Names and statuses come from `users`, so this reads all members of the room.
        """
        pipeline: list[dict[str, Any]] = [
            {"$match": {"rid": room_id}},
            {"$project": {"u": 1, "roles": 1}},
            {
                "$lookup": {
                    "from": USERS,
                    "localField": "u._id",
                    "foreignField": "_id",
                    "pipeline": [{"$project": {"username": 1, "name": 1, "status": 1}}],
                    "as": "user",
                }
            },
            {"$set": {"user": {"$first": "$user"}}},
        ]
        if text:
            literal = {"$regex": re.escape(text), "$options": "i"}
            either = [{"user.username": literal}, {"user.name": literal}]
            pipeline.append({"$match": {"$or": either}})
        if online_only:
            pipeline.append({"$match": {"user.status": {"$exists": True, "$ne": "offline"}}})
        if statuses:
            # Who never came has no status.
            listed: list[str | None] = [*statuses, None] if "offline" in statuses else [*statuses]
            pipeline.append({"$match": {"user.status": {"$in": listed}}})
        by = {f"user.{key}" if key != "_id" else "_id": way for key, way in order}
        page = [{"$sort": by}, {"$skip": offset}, {"$limit": limit}]
        pipeline.append({"$facet": {"page": page, "total": [{"$count": "n"}]}})
        cursor = await self._memberships.aggregate(pipeline)
        async for answer in cursor:
            total = answer["total"][0]["n"] if answer["total"] else 0
            return [_member(membership) for membership in answer["page"]], int(total)
        return [], 0

    async def beginning_with(
        self, room_id: str, text: str, left_out: Collection[str], limit: int
    ) -> list[str]:
        """User ids of members whose username begins with `text`, literally, by username."""
        username: dict[str, Any] = {"$nin": list(left_out)}
        if text:
            username |= {"$regex": f"^{re.escape(text)}"}
        cursor = self._memberships.find({"rid": room_id, "u.username": username}, {"u._id": 1})
        page = cursor.sort([("u.username", 1), ("_id", 1)]).limit(limit)
        return [str(membership["u"]["_id"]) async for membership in page]

    async def with_roles(self, room_id: str) -> list[dict[str, Any]]:
        """`{"_id", "rid", "u", "roles"}` of a room's memberships that hold roles."""
        cursor = self._memberships.find(
            {"rid": room_id, "roles": {"$exists": True, "$nin": [None, []]}},
            {"rid": 1, "u": 1, "roles": 1},
        )
        return [membership async for membership in cursor]

    async def watching(self, room_id: str) -> list[dict[str, Any]]:
        """Memberships of a room that want to hear of every message, or of certain words."""
        found: dict[str, dict[str, Any]] = {}
        for query in (
            {"rid": room_id, "desktopNotifications": "all"},
            {"rid": room_id, "userHighlights": {"$exists": True, "$gt": ""}},
        ):
            async for membership in self._memberships.find(query, _WATCHING).limit(5000):
                found[str(membership["_id"])] = membership
        return list(found.values())

    async def to_notify(
        self, room_id: str, user_ids: Collection[str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Memberships that may be notified, all of the room's when `user_ids` is None."""
        query: dict[str, Any] = {"rid": room_id, "disableNotifications": {"$ne": True}}
        if user_ids is not None:
            query["u._id"] = {"$in": list(user_ids)}
        cursor = self._memberships.find(query, {"u": 1, "muteGroupMentions": 1, "name": 1})
        return [membership async for membership in cursor.limit(limit)]

    async def mark_read(self, room_id: str, user_id: str, *, threads: bool) -> None:
        """Everything said so far has been seen. Without a membership: nothing happens.

        Not written when nothing would change but a last look that is less than a second old.
        """
        room = await self._collections.rooms.find_one(
            {"_id": room_id}, {"seq": 1, "countedSeq": 1, "tsHigh": 1}
        )
        if room is None:
            return
        seq = room.get("seq")
        counted = [{"$ifNull": ["$countedSeq", 0]}, seq if isinstance(seq, int) else 0]
        unread_threads: Any = {"$gt": [{"$size": {"$ifNull": ["$tunread", []]}}, 0]}
        fields: dict[str, Any] = {
            # A very busy room's clock may be ahead; what it gave out so far is seen.
            "ls": {"$max": ["$$NOW", room.get("tsHigh")]},
            "open": True,
            "alert": False if threads else unread_threads,
            "unread": 0,
            "userMentions": 0,
            "groupMentions": 0,
            "countedSeq": {"$max": counted},
            "_updatedAt": "$$NOW",
        }
        if threads:
            fields |= dict.fromkeys(("tunread", "tunreadUser", "tunreadGroup"), "$$REMOVE")
        await self._memberships.update_one(
            {"rid": room_id, "u._id": user_id, "$or": _something_unread(threads=threads)},
            [{"$set": fields}],
        )

    async def mark_thread_read(self, room_id: str, user_id: str, thread_id: str) -> None:
        """The replies of a thread have been seen."""
        left: dict[str, Any] = {}
        for name in ("tunread", "tunreadUser", "tunreadGroup"):
            known = {"$cond": [{"$isArray": f"${name}"}, f"${name}", []]}
            others = {"$setDifference": [known, [{"$literal": thread_id}]]}
            left[name] = {"$cond": [{"$eq": [others, []]}, "$$REMOVE", others]}
        others_unread: dict[str, Any] = {"$gt": [{"$size": {"$ifNull": ["$tunread", []]}}, 0]}
        something: dict[str, Any] = {
            "$or": [
                others_unread,
                {"$gt": ["$unread", 0]},
                {"$gt": ["$userMentions", 0]},
                {"$gt": ["$groupMentions", 0]},
            ]
        }
        await self._memberships.update_one(
            {"rid": room_id, "u._id": user_id, "tunread": thread_id},
            [
                {"$set": {**left, "_updatedAt": "$$NOW"}},
                {"$set": {"alert": {"$and": ["$alert", something]}}},
            ],
        )

    async def hide(self, room_id: str, user_id: str) -> bool:
        """Hide a room until something new is said in it; whether there is such a membership."""
        room = await self._collections.rooms.find_one({"_id": room_id}, {"seq": 1})
        seq = (room or {}).get("seq")
        result = await self._memberships.update_one(
            {"rid": room_id, "u._id": user_id},
            {
                "$set": {"open": False, "alert": False},
                # Counters that are still to come for what was said before do not open it again.
                "$max": {"countedSeq": seq if isinstance(seq, int) else 0},
                "$currentDate": {"_updatedAt": True},
            },
        )
        return result.matched_count > 0

    async def set_fields(self, room_id: str, user_id: str, fields: Mapping[str, Any]) -> bool:
        """Set plain fields of a membership; whether there is one."""
        stage = {key: {"$literal": value} for key, value in fields.items()}
        result = await self._memberships.update_one(
            {"rid": room_id, "u._id": user_id}, [{"$set": {**stage, "_updatedAt": "$$NOW"}}]
        )
        return result.matched_count > 0


def _something_unread(*, threads: bool) -> list[dict[str, Any]]:
    """True for every membership that `mark_read` would change noticeably."""
    unread: list[dict[str, Any]] = [
        {"open": {"$ne": True}},
        {"unread": {"$ne": 0}},
        {"userMentions": {"$ne": 0}},
        {"groupMentions": {"$ne": 0}},
        {"ls": {"$exists": False}},
        {"$expr": {"$lt": ["$ls", {"$subtract": ["$$NOW", 1000]}]}},
        {"alert": {"$ne": False}},
    ]
    return [*unread, {"tunread": {"$exists": True}}] if threads else unread


def _member(membership: Mapping[str, Any]) -> dict[str, Any]:
    user = membership.get("u")
    member = dict(user) if isinstance(user, Mapping) else {}
    member |= {
        key: value
        for key, value in (membership.get("user") or {}).items()
        if key in {"username", "name", "status"}
    }
    if membership.get("roles"):
        member["roles"] = membership["roles"]
    return member
