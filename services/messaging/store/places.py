"""Making rooms, and beginning and ending memberships: transactions over several collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from pymongo import ReturnDocument, UpdateOne

from services.messaging.domain.room_settings import RoomChange
from services.messaging.store.batches import Stored
from services.messaging.store.schema import Collections
from services.messaging.store.touching import touch_room, without
from services.messaging.store.transactions import Session, Transactions
from services.messaging.store.trash import Trash

Check: TypeAlias = Callable[[Mapping[str, Any], int], None]
"""Called with the membership that is to end and the number of other owners; may raise."""


class Places:
    """Every write that changes who is where."""

    def __init__(self, collections: Collections, transactions: Transactions, trash: Trash) -> None:
        self._collections = collections
        self._transactions = transactions
        self._trash = trash

    async def now(self) -> datetime:
        """The database's time. Clocks of other machines decide nothing."""
        return await self._collections.now()

    async def create(
        self,
        room: Mapping[str, Any],
        memberships: Sequence[Mapping[str, Any]],
        deadline: float,
    ) -> None:
        """Store a new room with its members. Raises: Duplicate: its id or name is taken."""

        async def work(session: Session) -> None:
            await self._collections.rooms.insert_one(dict(room), session=session)
            if memberships:
                await self._collections.memberships.insert_many(
                    [{**membership, "countedSeq": 0} for membership in memberships],
                    ordered=False,
                    session=session,
                )

        await self._transactions.run(work, deadline=deadline)

    async def create_direct(
        self,
        room: Mapping[str, Any],
        memberships: Sequence[Mapping[str, Any]],
        opened_by: str,
        deadline: float,
    ) -> dict[str, Any]:
        """The direct room, made if need be, with every membership; opened for one user.

        Memberships that exist stay as they are. Repeating it changes nothing.
        """

        async def work(session: Session) -> dict[str, Any]:
            rooms = self._collections.rooms
            fields = {key: value for key, value in room.items() if key != "_id"}
            stored = await rooms.find_one_and_update(
                {"_id": room["_id"]},
                {"$setOnInsert": fields},
                upsert=True,
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            assert stored is not None  # noqa: S101  an upsert that returns what is after it
            counted = stored.get("seq") or 0
            writes = [
                UpdateOne(
                    {"rid": room["_id"], "u._id": membership["u"]["_id"]},
                    {"$setOnInsert": _without_identity(membership) | {"countedSeq": counted}},
                    upsert=True,
                )
                for membership in memberships
            ]
            writes.append(
                UpdateOne(
                    {"rid": room["_id"], "u._id": opened_by, "open": {"$ne": True}},
                    {"$set": {"open": True}, "$currentDate": {"_updatedAt": True}},
                )
            )
            await self._collections.memberships.bulk_write(writes, session=session)
            return dict(stored)

        return await self._transactions.run(work, deadline=deadline)

    async def direct_among(self, user_ids: Sequence[str]) -> dict[str, Any] | None:
        """The direct room of exactly these users, if there is one."""
        return await self._collections.rooms.find_one(
            {
                "uids": {"$exists": True, "$all": sorted(user_ids), "$size": len(user_ids)},
                "t": "d",
            }
        )

    async def begin(
        self,
        membership: Mapping[str, Any],
        announcement: Mapping[str, Any],
        deadline: float,
    ) -> Stored:
        """Add a member, announced by a system message.

        Raises: Duplicate: is one already; Missing: there is no such room.
        """

        async def work(session: Session) -> Stored:
            stored = await self._touch_room(
                str(membership["rid"]),
                [announcement],
                {"usersCount": {"$add": [{"$ifNull": ["$usersCount", 0]}, 1]}},
                session,
            )
            counted = stored.room.get("seq") or 0
            await self._collections.memberships.insert_one(
                {**membership, "countedSeq": counted}, session=session
            )
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def end(
        self,
        room_id: str,
        user_id: str,
        announcement: Mapping[str, Any],
        check: Check,
        deadline: float,
    ) -> Stored | None:
        """End a membership; None when there was none. Raises: Missing: no such room.

        When it returns, a majority knows: a send of that user that commits later is refused.
        """

        async def work(session: Session) -> Stored | None:
            memberships = self._collections.memberships
            gone = await memberships.find_one_and_delete(
                {"rid": room_id, "u._id": user_id}, session=session
            )
            if gone is None:
                return None
            username = (gone.get("u") or {}).get("username")
            # Writing the room makes two owners who leave at once notice each other.
            stored = await self._touch_room(
                room_id,
                [announcement],
                {
                    "usersCount": {
                        "$max": [0, {"$subtract": [{"$ifNull": ["$usersCount", 1]}, 1]}]
                    },
                    "muted": without("$muted", username),
                    "unmuted": without("$unmuted", username),
                },
                session,
            )
            owners = await memberships.count_documents(
                {"rid": room_id, "roles": "owner"}, session=session
            )
            check({**gone, "usersLeft": stored.room.get("usersCount") or 0}, owners)
            await self._trash.keep("subscription", [gone], await self._collections.now(), session)
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def change(
        self,
        room_id: str,
        changes: Sequence[RoomChange],
        announcements: Sequence[Mapping[str, Any]],
        deadline: float,
    ) -> Stored:
        """Change a room and what its memberships copy of it, with system messages about it.

        Raises: Duplicate: a name that is taken; Missing: there is no such room.
        """
        fields: dict[str, Any] = {}
        copied: dict[str, Any] = {}
        for change in changes:
            for name, value in change.fields.items():
                fields[name] = "$$REMOVE" if value is None else {"$literal": value}
            copied |= change.membership_fields

        async def work(session: Session) -> Stored:
            stored = await self._touch_room(room_id, announcements, fields, session)
            if "fname" in fields:
                # What leads to a discussion bears its name.
                await self._collections.messages.update_many(
                    {"drid": {"$exists": True, "$eq": room_id}},
                    [{"$set": {"msg": fields["fname"], "_updatedAt": "$$NOW"}}],
                    session=session,
                )
            if copied:
                await self._collections.memberships.update_many(
                    {"rid": room_id},
                    {"$set": copied, "$currentDate": {"_updatedAt": True}},
                    session=session,
                )
            return stored

        return await self._transactions.run(work, deadline=deadline)

    async def _touch_room(
        self,
        room_id: str,
        messages: Sequence[Mapping[str, Any]],
        fields: Mapping[str, Any],
        session: Session,
    ) -> Stored:
        return await touch_room(self._collections, room_id, messages, fields, session)


def _without_identity(membership: Mapping[str, Any]) -> dict[str, Any]:
    """What an upsert inserts beside the fields of its filter."""
    fields = {key: value for key, value in membership.items() if key not in {"rid", "u"}}
    person = {key: value for key, value in membership["u"].items() if key != "_id"}
    return fields | {f"u.{key}": value for key, value in person.items()}
