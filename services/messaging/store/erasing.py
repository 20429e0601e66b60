"""Erasing a room: the room at once, what is in it in portions."""

from __future__ import annotations

from typing import Final

from services.messaging.store.chores import Chores, files_of
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session, Transactions
from services.messaging.store.trash import Trash

_MEMBERSHIPS: Final = 250  # per transaction: its documents are written twice
_MESSAGES: Final = 1000  # per portion


class Erasing:
    """Writes that end a room. Each can be repeated."""

    def __init__(
        self, collections: Collections, transactions: Transactions, trash: Trash, chores: Chores
    ) -> None:
        self._collections = collections
        self._transactions = transactions
        self._trash = trash
        self._chores = chores

    async def remove_room(self, room_id: str, deadline: float, *, noted: bool = False) -> list[str]:
        """Delete the room itself: from then on nobody can reach or write what was in it.

        Unless it is `noted` already, the rest is noted as a chore in the same transaction: its
        id is returned.
        """

        async def work(session: Session) -> list[str]:
            room = await self._collections.rooms.find_one_and_delete(
                {"_id": room_id}, session=session
            )
            if room is None:
                return []
            await self._trash.keep("room", [room], await self._collections.now(), session)
            return [] if noted else await self._chores.erase_rooms([room_id], session)

        return await self._transactions.run(work, deadline=deadline)

    async def remove_memberships(self, room_id: str, deadline: float) -> bool:
        """End some memberships of a room that is gone; whether there may be more."""

        async def work(session: Session) -> bool:
            memberships = self._collections.memberships
            cursor = memberships.find({"rid": room_id}, session=session).limit(_MEMBERSHIPS)
            ended = [membership async for membership in cursor]
            await self._trash.keep("subscription", ended, await self._collections.now(), session)
            ids = [membership["_id"] for membership in ended]
            await memberships.delete_many({"_id": {"$in": ids}}, session=session)
            return len(ended) == _MEMBERSHIPS

        return await self._transactions.run(work, deadline=deadline)

    async def remove_messages(self, room_id: str, deadline: float) -> tuple[bool, list[str]]:
        """Delete some messages of a room that is gone; whether there may be more, and chores.

        Nobody can ask what was deleted there, so the trash does not keep them.
        """

        async def work(session: Session) -> tuple[bool, list[str]]:
            messages = self._collections.messages
            cursor = messages.find({"rid": room_id}, {"file": 1, "files": 1}, session=session)
            gone = [message async for message in cursor.limit(_MESSAGES)]
            chores = await self._chores.forget_files(files_of(gone), session)
            ids = [message["_id"] for message in gone]
            await messages.delete_many({"_id": {"$in": ids}}, session=session)
            return len(gone) == _MESSAGES, chores

        return await self._transactions.run(work, deadline=deadline)

    async def remove_traces(self, room_id: str) -> None:
        """The message that a discussion hung on leads nowhere any more."""
        await self._collections.messages.update_many(
            {"drid": room_id},
            {
                "$unset": {"drid": "", "dcount": "", "dlm": ""},
                "$currentDate": {"_updatedAt": True},
            },
        )
