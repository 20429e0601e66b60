"""What is left to do after a commit, written down with it.

Work that is too much for one transaction, or that only others can do, is noted as a *chore* in
the transaction that makes it necessary. Whoever dies in between leaves the note behind, and
another process does the work: at least once, so everything a chore asks for can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias

from pymongo import ReturnDocument

from hubbub.ids import random_id
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session

Kind: TypeAlias = Literal["erase-room", "orphaned-files"]

_FILES: Final = 500  # file ids of one chore
_HEAD_START: Final = timedelta(seconds=10)


class Chores:
    """Queries on `hubbub_chores`."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self._chores = collections.chores

    async def erase_rooms(self, room_ids: Sequence[str], session: Session) -> list[str]:
        """Note that rooms are to be erased with everything in them; the chores' ids."""
        return await self._note("erase-room", [{"rid": one} for one in room_ids], session)

    async def forget_files(self, file_ids: Sequence[str], session: Session) -> list[str]:
        """Note that whoever keeps these files is to be told that their messages are gone."""
        parts = [file_ids[start : start + _FILES] for start in range(0, len(file_ids), _FILES)]
        return await self._note(
            "orphaned-files", [{"files": list(part)} for part in parts], session
        )

    async def take(self, chore_id: str | None, lease: float) -> dict[str, Any] | None:
        """A chore, for `lease` seconds nobody else's; None: there is none.

        Args:
            chore_id: this one; None for the one that is due longest.
        """
        query: dict[str, Any] = (
            {"due": {"$lte": await self._collections.now()}}
            if chore_id is None
            else {"_id": chore_id}
        )
        taken: dict[str, Any] | None = await self._chores.find_one_and_update(
            query,
            _due_in(lease),
            sort=[("due", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return taken

    async def strike(self, chore_id: str) -> None:
        """A chore is done."""
        await self._chores.delete_one({"_id": chore_id})

    async def postpone(self, chore_id: str, delay: float) -> None:
        """Leave a chore to whoever looks after `delay` seconds."""
        await self._chores.update_one({"_id": chore_id}, _due_in(delay))

    async def _note(
        self, kind: Kind, wanted: Sequence[Mapping[str, Any]], session: Session
    ) -> list[str]:
        if not wanted:
            return []
        # Who notes a chore does it at once; others look after it when that takes too long.
        due = await self._collections.now() + _HEAD_START
        chores = [{"_id": random_id(), "kind": kind, "due": due, **fields} for fields in wanted]
        await self._chores.insert_many(chores, session=session)
        return [str(chore["_id"]) for chore in chores]


def _due_in(seconds: float) -> list[dict[str, Any]]:
    return [{"$set": {"due": {"$add": ["$$NOW", round(seconds * 1000)]}}}]


def files_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ids of the files that hang on `messages`, each once."""
    found: dict[str, None] = {}
    for message in messages:
        several = message.get("files")
        for file in [message.get("file"), *(several if isinstance(several, list) else [])]:
            if isinstance(file, Mapping) and isinstance(file.get("_id"), str):
                found.setdefault(file["_id"])
    return list(found)
