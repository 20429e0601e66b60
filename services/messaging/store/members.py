"""Writing what members are to a room: roles, mutes, blocks, what they noted for themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from services.messaging.domain.members import OWNER, RANKS
from services.messaging.store.batches import Stored
from services.messaging.store.schema import USERS, Collections
from services.messaging.store.touching import touch_room, without
from services.messaging.store.transactions import Missing, Session, Transactions
from services.messaging.store.trash import Trash

Roles: TypeAlias = Callable[[Mapping[str, Any] | None, int], Sequence[str]]
"""Called with a membership and the number of other owners: its roles after the change.
May raise."""

Silence: TypeAlias = Callable[[Mapping[str, Any], bool], Mapping[str, Any] | None]
"""Called with a room and whether the user is a member: the fields to set, None for no change.
May raise."""

_SHOWN = {"username": 1, "name": 1, "status": 1}
_SPEECH = {"t": 1, "ro": 1, "muted": 1, "unmuted": 1}


class Members:
    """Transactions on `rocketchat_subscription` and the room they belong to."""

    def __init__(self, collections: Collections, transactions: Transactions, trash: Trash) -> None:
        self._collections = collections
        self._memberships = collections.memberships
        self._transactions = transactions
        self._trash = trash

    async def change_roles(
        self,
        room_id: str,
        member_id: str,
        decide: Roles,
        announcement: Mapping[str, Any],
        deadline: float,
    ) -> Stored:
        """Give a membership the roles that `decide` says, announced by a system message.

        Raises: Missing: there is no such room; what `decide` raises.
        """

        async def work(session: Session) -> Stored:
            # First the room: two owners who take each other's role must notice each other.
            stored = await touch_room(self._collections, room_id, [announcement], {}, session)
            identity = {"rid": room_id, "u._id": member_id}
            membership = await self._memberships.find_one(identity, {"roles": 1}, session=session)
            owners = await self._memberships.count_documents(
                {"rid": room_id, "roles": OWNER, "u._id": {"$ne": member_id}}, session=session
            )
            roles = list(decide(membership, owners))
            change: dict[str, Any] = (
                {"$set": {"roles": roles}} if roles else {"$unset": {"roles": ""}}
            )
            await self._memberships.update_one(
                identity, {**change, "$currentDate": {"_updatedAt": True}}, session=session
            )
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def change_speech(
        self,
        room_id: str,
        member_id: str,
        decide: Silence,
        announcement: Mapping[str, Any],
        deadline: float,
    ) -> Stored | None:
        """Change who may speak in a room, announced by a system message; None: no change.

        Raises: Missing: there is no such room; what `decide` raises.
        """

        async def work(session: Session) -> Stored | None:
            room = await self._collections.rooms.find_one(
                {"_id": room_id}, _SPEECH, session=session
            )
            if room is None:
                raise Missing(room_id)
            there = await self._memberships.find_one(
                {"rid": room_id, "u._id": member_id}, {"_id": 1}, session=session
            )
            fields = decide(room, there is not None)
            if fields is None:
                return None
            literal = {name: {"$literal": value} for name, value in fields.items()}
            return await touch_room(self._collections, room_id, [announcement], literal, session)

        return await self._transactions.run(work, deadline=deadline)

    async def block(
        self, room_id: str, user_id: str, other_id: str, deadline: float, *, blocked: bool
    ) -> bool:
        """Note on both sides of a direct room that one refuses the other; whether both are there.

        Both memberships are written in one transaction, as every send writes its author's: so
        nothing that is sent later gets past it.
        """

        async def work(session: Session) -> bool:
            found = 0
            for member_id, field in ((user_id, "blocker"), (other_id, "blocked")):
                change: dict[str, Any] = (
                    {"$set": {field: True}} if blocked else {"$unset": {field: ""}}
                )
                result = await self._memberships.update_one(
                    {"rid": room_id, "u._id": member_id},
                    {**change, "$currentDate": {"_updatedAt": True}},
                    session=session,
                )
                found += result.matched_count
            if found != 2:
                raise Missing(room_id)
            return True

        return await self._transactions.run(work, deadline=deadline)

    async def ignore(self, room_id: str, user_id: str, other_id: str, *, ignored: bool) -> None:
        """Note in a membership whose messages its user does not want to see."""
        if ignored:
            query: dict[str, Any] = {"ignored": {"$ne": other_id}}
            change: dict[str, Any] = {"$addToSet": {"ignored": other_id}}
        else:
            query, change = {"ignored": other_id}, {"$pull": {"ignored": other_id}}
        await self._memberships.update_one(
            {"rid": room_id, "u._id": user_id, **query},
            {**change, "$currentDate": {"_updatedAt": True}},
        )

    async def set_or_remove(self, room_id: str, user_id: str, fields: Mapping[str, Any]) -> bool:
        """Set fields of a membership, remove those that are None; whether there is one."""
        values = {
            name: "$$REMOVE" if value is None else {"$literal": value}
            for name, value in fields.items()
        }
        result = await self._memberships.update_one(
            {"rid": room_id, "u._id": user_id}, [{"$set": {**values, "_updatedAt": "$$NOW"}}]
        )
        return result.matched_count > 0

    async def begin_many(
        self,
        room_id: str,
        memberships: Sequence[Mapping[str, Any]],
        announcements: Sequence[Mapping[str, Any]],
        deadline: float,
    ) -> Stored:
        """Add several members, each announced by a system message.

        Raises: Duplicate: one of them is there already; Missing: there is no such room.
        """

        async def work(session: Session) -> Stored:
            more = {"$add": [{"$ifNull": ["$usersCount", 0]}, len(memberships)]}
            stored = await touch_room(
                self._collections, room_id, announcements, {"usersCount": more}, session
            )
            counted = stored.room.get("seq") or 0
            await self._memberships.insert_many(
                [{**membership, "countedSeq": counted} for membership in memberships],
                ordered=False,
                session=session,
            )
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def end_direct(
        self,
        room_id: str,
        user_id: str,
        username: str,
        announcement: Mapping[str, Any],
        deadline: float,
    ) -> Stored | None:
        """End a membership in a direct room of several; None when there was none.

        Raises: Missing: there is no such room.
        """

        async def work(session: Session) -> Stored | None:
            gone = await self._memberships.find_one_and_delete(
                {"rid": room_id, "u._id": user_id}, session=session
            )
            if gone is None:
                return None
            fewer = {"$max": [0, {"$subtract": [{"$ifNull": ["$usersCount", 1]}, 1]}]}
            fields: dict[str, Any] = {
                "usersCount": fewer,
                "uids": without("$uids", user_id),
                "usernames": without("$usernames", username),
            }
            stored = await touch_room(self._collections, room_id, [announcement], fields, session)
            await self._trash.keep("subscription", [gone], await self._collections.now(), session)
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def with_rights(self, user_id: str) -> list[str]:
        """Ids of the rooms in which a user holds roles."""
        cursor = self._memberships.find(
            {"u._id": user_id, "roles": {"$exists": True, "$nin": [None, []]}}, {"rid": 1}
        )
        return [str(membership["rid"]) async for membership in cursor]

    async def by_role(
        self,
        room_id: str,
        offset: int,
        limit: int,
        *,
        text: str | None = None,
        statuses: Collection[str] | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of a room's members, those with the roles of `RANKS` first; how many.

        Reads all members of the room; where a name or a status is asked for, also their users.
        """
        pipeline: list[dict[str, Any]] = [
            {"$match": {"rid": room_id}},
            {"$project": {"u": 1, "roles": 1}},
        ]
        if text or statuses:
            pipeline += [
                {
                    "$lookup": {
                        "from": USERS,
                        "localField": "u._id",
                        "foreignField": "_id",
                        "pipeline": [{"$project": _SHOWN}],
                        "as": "user",
                    }
                },
                {"$set": {"user": {"$first": "$user"}}},
                {"$match": _wanted(text, statuses)},
            ]
        held = {"$cond": [{"$isArray": "$roles"}, "$roles", []]}
        ranks = [{"case": {"$in": [role, held]}, "then": place} for place, role in enumerate(RANKS)]
        rank = {"$switch": {"branches": ranks, "default": len(RANKS)}}
        page = [
            {"$set": {"rank": rank}},
            {"$sort": {"rank": 1, "u.username": 1, "_id": 1}},
            {"$skip": offset},
            {"$limit": limit},
        ]
        pipeline.append({"$facet": {"page": page, "total": [{"$count": "n"}]}})
        answer = await (await self._memberships.aggregate(pipeline)).to_list()
        found = answer[0]
        total = int(found["total"][0]["n"]) if found["total"] else 0
        return [_member(membership) for membership in found["page"]], total


def _wanted(text: str | None, statuses: Collection[str] | None) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if text:
        literal = {"$regex": re.escape(text), "$options": "i"}
        query["$or"] = [{"user.username": literal}, {"user.name": literal}]
    if statuses:
        listed: list[str | None] = list(statuses)
        # Who never came has no status.
        query["user.status"] = {"$in": [*listed, None] if "offline" in listed else listed}
    return query


def _member(membership: Mapping[str, Any]) -> dict[str, Any]:
    user = membership.get("u")
    member = dict(user) if isinstance(user, Mapping) else {}
    if membership.get("roles"):
        member["roles"] = membership["roles"]
    return member
