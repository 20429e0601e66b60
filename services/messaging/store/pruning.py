"""Removing what was said in a stretch of time: one portion of it per transaction.

A portion is remembered in the trash twice: message by message, so that clients that were away
learn of it, and as one record of the whole portion, which tells those that are there. The
messages name that record, so that nobody is told twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne

from hubbub.ids import random_id
from services.messaging.domain import pruning
from services.messaging.domain.pruning import Selection
from services.messaging.store.chores import Chores, files_of
from services.messaging.store.numbers import as_last, uncount
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session, Transactions
from services.messaging.store.trash import Trash

PORTION: Final = 250
"""Messages per transaction: each is written twice, and the room's sends wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What one transaction removed."""

    count: int
    """Messages that people saw."""
    found: int
    """Messages in all, hidden ones too."""
    chores: list[str]
    """Ids of what is left to do."""


class Pruning:
    """Queries that remove stretches of messages."""

    def __init__(
        self, collections: Collections, transactions: Transactions, trash: Trash, chores: Chores
    ) -> None:
        self._collections = collections
        self._transactions = transactions
        self._trash = trash
        self._chores = chores

    async def remove(
        self, room_id: str, selection: Selection, limit: int, deadline: float
    ) -> Portion:
        """Delete the oldest selected messages, at most `limit`, with their files and discussions.

        The room's numbers, threads and everybody's unread threads follow.
        """

        async def work(session: Session) -> Portion:
            gone = await self._selected(room_id, selection, limit, session)
            if not gone:
                return Portion(0, 0, [])
            ids = [str(message["_id"]) for message in gone]
            now = await self._collections.now()
            record = pruning.record(random_id(), room_id, gone, selection) | {"_deletedAt": now}
            marked = [{**message, pruning.PRUNED_BY: record["_id"]} for message in gone]
            await self._trash.keep("message", marked, now, session)
            await self._collections.trash.insert_one(record, session=session)
            await self._collections.messages.delete_many({"_id": {"$in": ids}}, session=session)
            # Emptied ones left the room's numbers when they were emptied.
            shown = sum(1 for one in gone if not one.get("_hidden") and one.get("t") != "rm")
            await uncount(self._collections, room_id, ids, shown, session)
            await self._mend_threads(gone, session)
            await self._forget_unread(room_id, ids, session)
            chores = await self._chores.forget_files(files_of(gone), session)
            discussions = [str(one["drid"]) for one in gone if isinstance(one.get("drid"), str)]
            chores += await self._chores.erase_rooms(list(dict.fromkeys(discussions)), session)
            return Portion(shown, len(gone), chores)

        return await self._transactions.run(work, deadline=deadline)

    async def remove_files(
        self, room_id: str, selection: Selection, limit: int, deadline: float
    ) -> Portion:
        """Take the files from the oldest selected messages that have some, at most `limit`."""

        async def work(session: Session) -> Portion:
            found = await self._selected(room_id, selection, limit, session)
            if not found:
                return Portion(0, 0, [])
            writes = [
                UpdateOne(
                    {"_id": message["_id"]},
                    {
                        "$set": {"attachments": pruning.without_files(message)},
                        "$unset": {"file": "", "files": ""},
                        "$currentDate": {"_updatedAt": True},
                    },
                )
                for message in found
            ]
            await self._collections.messages.bulk_write(writes, session=session)
            await self._show_last(room_id, [message["_id"] for message in found], session)
            chores = await self._chores.forget_files(files_of(found), session)
            return Portion(len(found), len(found), chores)

        return await self._transactions.run(work, deadline=deadline)

    async def _selected(
        self, room_id: str, selection: Selection, limit: int, session: Session
    ) -> list[dict[str, Any]]:
        cursor = (
            self._collections.messages.find(_query(room_id, selection), session=session)
            .sort([("ts", 1), ("_id", 1)])
            .limit(min(limit, PORTION))
        )
        return [message async for message in cursor]

    async def _mend_threads(self, gone: Sequence[Mapping[str, Any]], session: Session) -> None:
        """Count again what is left in threads that lost replies."""
        removed = {message["_id"] for message in gone}
        threads = {one["tmid"] for one in gone if isinstance(one.get("tmid"), str)} - removed
        if not threads:
            return
        left: dict[str, dict[str, Any]] = {}
        cursor = await self._collections.messages.aggregate(
            [
                {
                    "$match": {
                        "tmid": {"$in": sorted(threads)},
                        "_hidden": {"$ne": True},
                        "t": {"$ne": "rm"},
                    }
                },
                {"$group": {"_id": "$tmid", "tcount": {"$sum": 1}, "tlm": {"$max": "$ts"}}},
            ],
            session=session,
        )
        async for thread in cursor:
            left[str(thread["_id"])] = {"tcount": thread["tcount"], "tlm": thread["tlm"]}
        writes = [
            UpdateOne(
                {"_id": thread},
                (
                    {"$set": left[thread], "$currentDate": {"_updatedAt": True}}
                    if thread in left
                    else {
                        "$unset": {"tcount": "", "tlm": "", "replies": ""},
                        "$currentDate": {"_updatedAt": True},
                    }
                ),
            )
            for thread in sorted(threads)
        ]
        await self._collections.messages.bulk_write(writes, ordered=False, session=session)

    async def _forget_unread(self, room_id: str, ids: Sequence[str], session: Session) -> None:
        """Nobody has unread replies in threads that are gone."""
        left: dict[str, Any] = {}
        for name in ("tunread", "tunreadUser", "tunreadGroup"):
            known = {"$cond": [{"$isArray": f"${name}"}, f"${name}", []]}
            others = {"$setDifference": [known, {"$literal": list(ids)}]}
            left[name] = {"$cond": [{"$eq": [others, []]}, "$$REMOVE", others]}
        await self._collections.memberships.update_many(
            {"rid": room_id, "tunread": {"$in": list(ids)}},
            [{"$set": {**left, "_updatedAt": "$$NOW"}}],
            session=session,
        )

    async def _show_last(self, room_id: str, ids: Sequence[Any], session: Session) -> None:
        """The room's copy of its last message, if that is among `ids`, as it is now."""
        room = await self._collections.rooms.find_one(
            {"_id": room_id}, {"lastMessage._id": 1}, session=session
        )
        last = (room or {}).get("lastMessage")
        last_id = last.get("_id") if isinstance(last, Mapping) else None
        if last_id not in ids:
            return
        message = await self._collections.messages.find_one({"_id": last_id}, session=session)
        if message is not None:
            await self._collections.rooms.update_one(
                {"_id": room_id},
                {"$set": {"lastMessage": as_last(message)}, "$currentDate": {"_updatedAt": True}},
                session=session,
            )


def _query(room_id: str, selection: Selection) -> dict[str, Any]:
    below, above = ("$lte", "$gte") if selection.inclusive else ("$lt", "$gt")
    query: dict[str, Any] = {
        "rid": room_id,
        "ts": {above: selection.oldest, below: selection.latest},
    }
    if selection.exclude_pinned:
        query["pinned"] = {"$ne": True}
    if selection.usernames:
        query["u.username"] = {"$in": list(selection.usernames)}
    if selection.ignore_threads:
        query |= {"tmid": {"$exists": False}, "tcount": {"$exists": False}}
    if selection.ignore_discussions:
        query["drid"] = {"$exists": False}
    if selection.files_only:
        query["$or"] = [{"file._id": {"$exists": True}}, {"files._id": {"$exists": True}}]
    return query
