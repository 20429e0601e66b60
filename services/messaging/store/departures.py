"""What a user leaves behind in rooms: ownerless rooms, memberships, messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from hubbub.contracts.workspace import BOT_USER_ID, GENERAL_ROOM_ID
from hubbub.ids import random_id
from services.messaging.domain import pruning
from services.messaging.domain.members import OWNER
from services.messaging.domain.pruning import Selection
from services.messaging.domain.sending import Person
from services.messaging.store.chores import Chores, files_of
from services.messaging.store.numbers import uncount
from services.messaging.store.schema import MEMBERSHIPS, ROOMS, USERS, Collections
from services.messaging.store.touching import without
from services.messaging.store.transactions import Session, Transactions
from services.messaging.store.trash import Trash

_MEMBERSHIPS: Final = 100  # per transaction: as many rooms are written with them
_MESSAGES: Final = 500  # per transaction
_UNLINKED: Final = 2000  # messages per write

_LEFT: Final = dict.fromkeys("rid ts u tmid tcount _hidden file files".split(), 1)


class Departures:
    """Queries on everything that is somebody's. Each write can be repeated."""

    def __init__(
        self, collections: Collections, transactions: Transactions, trash: Trash, chores: Chores
    ) -> None:
        self._collections = collections
        self._memberships = collections.memberships
        self._transactions = transactions
        self._trash = trash
        self._chores = chores

    async def held(self, user_id: str) -> list[dict[str, Any]]:
        """Rooms that would be left without an owner, or without anybody, were the user gone.

        `{"rid", "name", "alone"}` each. Direct rooms and those that everybody joins are not
        among them.
        """
        elsewhere = {"$type": "string", "$ne": GENERAL_ROOM_ID}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"u._id": user_id, "rid": elsewhere, "t": {"$ne": "d"}}},
            {"$project": {"rid": 1, "name": 1, "roles": 1}},
            _one_other("others", user_id),
            _one_other("owners", user_id, roles=OWNER),
            {
                "$match": {
                    "$or": [
                        {"others": []},
                        {"roles": OWNER, "owners": []},
                    ]
                }
            },
            {
                "$lookup": {
                    "from": ROOMS,
                    "localField": "rid",
                    "foreignField": "_id",
                    "pipeline": [{"$project": {"t": 1, "default": 1}}],
                    "as": "room",
                }
            },
            # Other tools may leave the type out of a membership.
            {"$match": {"room.t": {"$ne": "d"}, "room.default": {"$ne": True}}},
            {"$project": {"_id": 0, "rid": 1, "name": 1, "alone": {"$eq": ["$others", []]}}},
            {"$sort": {"name": 1, "rid": 1}},
        ]
        cursor = await self._memberships.aggregate(pipeline)
        return [room async for room in cursor]

    async def heir(self, room_id: str, user_id: str) -> dict[str, Any] | None:
        """The membership that has been there longest beside the user's: of somebody active,
        if there is such a person, else of anybody but a bot, else of anybody."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"rid": room_id, "u._id": {"$ne": user_id}}},
            {"$project": {"u": 1, "ts": 1}},
            {
                "$lookup": {
                    "from": USERS,
                    "localField": "u._id",
                    "foreignField": "_id",
                    "pipeline": [{"$project": {"active": 1, "type": 1}}],
                    "as": "user",
                }
            },
            {"$set": {"user": {"$first": "$user"}}},
            {
                "$set": {
                    "rank": {
                        "$switch": {
                            "branches": [
                                {"case": {"$in": ["$user.type", ["bot", "app"]]}, "then": 2},
                                {"case": {"$eq": ["$user.active", True]}, "then": 0},
                            ],
                            "default": 1,
                        }
                    }
                }
            },
            {"$sort": {"rank": 1, "ts": 1, "_id": 1}},
            {"$limit": 1},
        ]
        found = await (await self._memberships.aggregate(pipeline)).to_list()
        return found[0] if found else None

    async def direct_rooms(self, user_id: str) -> list[dict[str, Any]]:
        """`{"_id", "uids"}` of the direct rooms of a user."""
        cursor = self._collections.rooms.find(
            {"uids": {"$exists": True, "$eq": user_id}, "t": "d"}, {"uids": 1}
        )
        return [room async for room in cursor]

    async def set_read_only(self, room_ids: Collection[str], *, read_only: bool) -> None:
        """Let nobody, or everybody, write in direct rooms."""
        await self._collections.rooms.update_many(
            {"_id": {"$in": list(room_ids)}, "t": "d", "ro": {"$ne": read_only}},
            {"$set": {"ro": read_only}, "$currentDate": {"_updatedAt": True}},
        )

    async def end_some(self, user_id: str, deadline: float) -> tuple[list[str], bool]:
        """End some of a user's memberships, without a word in their rooms.

        In a direct room of two the other stays alone, and nobody can write there any more.

        Returns: ids of the direct rooms of several among them; whether there may be more.
        """

        async def work(session: Session) -> tuple[list[str], bool]:
            cursor = self._memberships.find({"u._id": user_id}, session=session)
            ended = [membership async for membership in cursor.limit(_MEMBERSHIPS)]
            if not ended:
                return [], False
            await self._trash.keep("subscription", ended, await self._collections.now(), session)
            await self._memberships.delete_many(
                {"_id": {"$in": [membership["_id"] for membership in ended]}}, session=session
            )
            groups = await self._leave_rooms(user_id, ended, session)
            return groups, len(ended) == _MEMBERSHIPS

        return await self._transactions.run(work, deadline=deadline)

    async def _leave_rooms(
        self, user_id: str, ended: Collection[Mapping[str, Any]], session: Session
    ) -> list[str]:
        rooms = self._collections.rooms
        room_ids = [membership["rid"] for membership in ended if membership.get("rid")]
        cursor = rooms.find(
            {"_id": {"$in": room_ids}, "t": "d"}, {"uids": 1, "usersCount": 1}, session=session
        )
        direct = [room async for room in cursor]
        groups = [room["_id"] for room in direct if len(room.get("uids") or ()) > 2]
        pairs = [room["_id"] for room in direct if room["_id"] not in set(groups)]
        fewer = {"$max": [0, {"$subtract": [{"$ifNull": ["$usersCount", 1]}, 1]}]}
        fields: dict[str, Any] = {"usersCount": fewer, "_updatedAt": "$$NOW"}
        for username in {(membership.get("u") or {}).get("username") for membership in ended}:
            fields |= {name: without(f"${name}", username) for name in ("muted", "unmuted")}
            if groups:
                await rooms.update_many(
                    {"_id": {"$in": groups}},
                    [{"$set": {"usernames": without("$usernames", username)}}],
                    session=session,
                )
        for chosen, more in (
            ({"$in": groups}, {"uids": without("$uids", user_id)}),
            ({"$in": pairs}, {"ro": True}),
            ({"$in": room_ids, "$nin": [*groups, *pairs]}, {}),
        ):
            await rooms.update_many(
                {"_id": chosen}, [{"$set": {**fields, **more}}], session=session
            )
        return [str(one) for one in groups]

    async def erase_messages(self, user_id: str, deadline: float) -> tuple[list[str], bool]:
        """Delete some of a user's messages; counts and last messages of their rooms follow.

        What was said is kept nowhere, only that the messages are gone.

        Returns: ids of chores; whether there may be more.
        """

        async def work(session: Session) -> tuple[list[str], bool]:
            messages = self._collections.messages
            cursor = messages.find({"u._id": user_id}, _LEFT, session=session)
            gone = [message async for message in cursor.sort("ts", 1).limit(_MESSAGES)]
            if not gone:
                return [], False
            chores = await self._chores.forget_files(files_of(gone), session)
            await messages.delete_many(
                {"_id": {"$in": [message["_id"] for message in gone]}}, session=session
            )
            rooms: dict[str, list[dict[str, Any]]] = {}
            for message in gone:
                if isinstance(message.get("rid"), str):
                    rooms.setdefault(message["rid"], []).append(message)
            for room_id, there in rooms.items():
                await self._tell(room_id, there, session)
                shown = sum(1 for message in there if not message.get("_hidden"))
                ids = [str(message["_id"]) for message in there]
                await uncount(self._collections, room_id, ids, shown, session)
            await self._mend_threads(gone, list(rooms), session)
            return chores, len(gone) == _MESSAGES

        return await self._transactions.run(work, deadline=deadline)

    async def _tell(
        self, room_id: str, gone: Sequence[Mapping[str, Any]], session: Session
    ) -> None:
        """Leave in the trash that messages are gone: one by one for clients that were away,
        and in one record for those that are there."""
        now = await self._collections.now()
        names = {str((message.get("u") or {}).get("username") or "") for message in gone} - {""}
        record = pruning.record(
            random_id(), room_id, gone, Selection(now, now, usernames=tuple(sorted(names)))
        )
        stubs = [
            {"_id": message["_id"], "rid": room_id, pruning.PRUNED_BY: record["_id"]}
            for message in gone
        ]
        await self._trash.keep("message", stubs, now, session)
        await self._collections.trash.insert_one({**record, "_deletedAt": now}, session=session)

    async def _mend_threads(
        self, gone: Sequence[Mapping[str, Any]], room_ids: Sequence[str], session: Session
    ) -> None:
        messages = self._collections.messages
        for thread_id, replies in Counter(one["tmid"] for one in gone if one.get("tmid")).items():
            await messages.update_one(
                {"_id": thread_id, "tcount": {"$gte": replies}},
                {"$inc": {"tcount": -replies}, "$currentDate": {"_updatedAt": True}},
                session=session,
            )
        begun = [one["_id"] for one in gone if one.get("tcount")]
        if begun:
            lists = {name: {"$in": begun} for name in ("tunread", "tunreadUser", "tunreadGroup")}
            await self._memberships.update_many(
                {"rid": {"$in": list(room_ids)}, "tunread": {"$in": begun}},
                {"$pull": lists, "$currentDate": {"_updatedAt": True}},
                session=session,
            )

    async def unlink_messages(self, user_id: str, heir: Person, alias: str) -> bool:
        """Make some of a user's messages somebody else's; whether there may be more."""
        messages = self._collections.messages
        cursor = messages.find({"u._id": user_id}, {"_id": 1}).limit(_UNLINKED)
        ids = [message["_id"] async for message in cursor]
        if ids:
            await messages.update_many(
                {"_id": {"$in": ids}},
                {
                    "$set": {"u": heir.reference, "alias": alias},
                    "$currentDate": {"_updatedAt": True},
                },
            )
        return len(ids) == _UNLINKED

    async def bot(self) -> Person:
        """The built-in bot, as it is called here."""
        found = await self._collections.users.find_one({"_id": BOT_USER_ID}, {"name": 1}) or {}
        name = found.get("name")
        return Person(BOT_USER_ID, BOT_USER_ID, name if isinstance(name, str) else None)


def _one_other(name: str, user_id: str, **wanted: Any) -> dict[str, Any]:
    """Whether there is another membership in the same room: a list of one, or of none."""
    return {
        "$lookup": {
            "from": MEMBERSHIPS,
            "localField": "rid",
            "foreignField": "rid",
            "pipeline": [
                {"$match": {"u._id": {"$ne": user_id}, **wanted}},
                {"$limit": 1},
                {"$project": {"_id": 1}},
            ],
            "as": name,
        }
    }
