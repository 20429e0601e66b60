"""Changing and deleting messages, together with the room's copy of the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pymongo import ReturnDocument

from services.messaging.domain.changing import Deletion, emptied_fields
from services.messaging.store.chores import Chores, files_of
from services.messaging.store.dates import Date, change_date, deletion_date
from services.messaging.store.numbers import as_last, uncount
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session, Transactions
from services.messaging.store.trash import Trash

Stages: TypeAlias = list[dict[str, Any]]


class Edits:
    """Writes to stored messages, each one transaction."""

    def __init__(
        self, collections: Collections, transactions: Transactions, trash: Trash, chores: Chores
    ) -> None:
        self._collections = collections
        self._transactions = transactions
        self._trash = trash
        self._chores = chores

    async def edit(
        self,
        message: Mapping[str, Any],
        fields: Mapping[str, Any],
        editor: Mapping[str, Any] | None,
        deadline: float,
    ) -> dict[str, Any] | None:
        """Set `fields` of a message that is still as `message` says; the message after it.

        None: somebody else edited it in between, or it is gone.

        Args:
            editor: `{"_id", "username"}` of who is shown as the editor, None for nobody.
        """
        shown: dict[str, Any] = {key: {"$literal": value} for key, value in fields.items()}
        if editor is not None:
            shown["editedBy"] = {"$literal": dict(editor)}
        unchanged = {"_id": message["_id"], "editedAt": message.get("editedAt")}

        def stages(date: Date) -> Stages:
            edited = {} if editor is None else {"editedAt": date}
            return [{"$set": {**shown, **edited, "_updatedAt": date}}]

        return await self._apply(message, unchanged, stages, deadline)

    async def react(
        self, message: Mapping[str, Any], emoji: str, username: str, *, add: bool, deadline: float
    ) -> dict[str, Any] | None:
        """Add or remove a reaction; the message after it, None when nothing is to change."""
        known = f"$reactions.{emoji}.usernames"
        usernames: dict[str, Any] = {"$cond": [{"$isArray": known}, known, []]}
        name = {"$literal": [username]}
        after: dict[str, Any]
        if add:
            # A union would sort the names; clients show them in the order of reacting.
            already = {"$in": [{"$literal": username}, usernames]}
            after = {"$cond": [already, usernames, {"$concatArrays": [usernames, name]}]}
        else:
            after = {"$filter": {"input": usernames, "cond": {"$not": [{"$in": ["$$this", name]}]}}}
        none_left: dict[str, Any] = {"$eq": [after, []]}
        emoji_value = {"$cond": [none_left, "$$REMOVE", {"usernames": after}]}
        none = {"$cond": [{"$eq": ["$reactions", {}]}, "$$REMOVE", "$reactions"]}

        def stages(date: Date) -> Stages:
            changed = {f"reactions.{emoji}": emoji_value, "_updatedAt": date}
            return [{"$set": changed}, {"$set": {"reactions": none}}]

        has_not = {f"reactions.{emoji}.usernames": {"$ne": username} if add else username}
        return await self._apply(message, {"_id": message["_id"], **has_not}, stages, deadline)

    async def delete(
        self,
        message: Mapping[str, Any],
        how: Deletion,
        editor: Mapping[str, Any],
        *,
        copy_id: str | None,
        deadline: float,
    ) -> list[str]:
        """Delete a message as `how` says. One that is gone already is no error.

        The room's count and last message, and the count of its thread, follow. Returned are ids
        of chores: its files are to be forgotten, unless the message is kept.

        Args:
            copy_id: id of the hidden copy to keep when the message is emptied, None for none.
        """
        if how is Deletion.EMPTIED:
            return await self._empty(message, editor, copy_id, deadline)

        async def work(session: Session) -> list[str]:
            messages = self._collections.messages
            identity, room_id = {"_id": message["_id"]}, str(message["rid"])
            if how is Deletion.REMOVED:
                gone = await messages.find_one_and_delete(identity, session=session)
                if gone is not None:
                    now = await deletion_date(self._collections, room_id, session)
                    await self._trash.keep("message", [gone], now, session)
            else:
                date = await change_date(self._collections, room_id, session)
                gone = await messages.find_one_and_update(
                    identity | {"_hidden": {"$ne": True}},
                    [
                        {
                            "$set": {
                                "_hidden": True,
                                "editedBy": {"$literal": dict(editor)},
                                "editedAt": date,
                                "_updatedAt": date,
                            }
                        }
                    ],
                    session=session,
                )
            if gone is None:
                return []
            await self._forget(gone, session)
            if how is not Deletion.REMOVED:
                return []
            return await self._chores.forget_files(files_of([gone]), session)

        return await self._transactions.run(work, deadline=deadline)

    async def _empty(
        self,
        message: Mapping[str, Any],
        editor: Mapping[str, Any],
        copy_id: str | None,
        deadline: float,
    ) -> list[str]:
        fields = {key: {"$literal": value} for key, value in emptied_fields(editor).items()}
        copy = None
        if copy_id is not None:
            copy = {
                key: value for key, value in message.items() if key not in {"seq", "tmid", "tcount"}
            } | {"_id": copy_id, "_hidden": True, "parent": message["_id"]}
        query = {"_id": message["_id"], "t": {"$ne": "rm"}}
        gone = dict.fromkeys(("file", "files", "starred"), "$$REMOVE")
        if message.get("pinned") is True:
            fields["pinned"] = {"$literal": False}

        def stages(date: Date) -> Stages:
            return [{"$set": {**fields, **gone, "editedAt": date, "_updatedAt": date}}]

        async def work(session: Session) -> list[str]:
            after = await self._apply_in(message, query, stages, session, copy)
            if after is None:
                return []
            await self._forget(message, session)
            if copy is not None:
                return []
            return await self._chores.forget_files(files_of([message]), session)

        return await self._transactions.run(work, deadline=deadline)

    async def _apply(
        self,
        message: Mapping[str, Any],
        query: Mapping[str, Any],
        stages: Callable[[Date], Stages],
        deadline: float,
    ) -> dict[str, Any] | None:
        """`stages`: of the update, given the date of the change."""

        async def work(session: Session) -> dict[str, Any] | None:
            return await self._apply_in(message, query, stages, session)

        return await self._transactions.run(work, deadline=deadline)

    async def _apply_in(
        self,
        message: Mapping[str, Any],
        query: Mapping[str, Any],
        stages: Callable[[Date], Stages],
        session: Session,
        copy: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        date = await change_date(self._collections, str(message["rid"]), session)
        after: dict[str, Any] | None = await self._collections.messages.find_one_and_update(
            query, stages(date), return_document=ReturnDocument.AFTER, session=session
        )
        if after is None:
            return None
        if copy is not None:
            await self._collections.messages.insert_one(dict(copy), session=session)
        await self._collections.rooms.update_one(
            {"_id": message["rid"], "lastMessage._id": message["_id"]},
            {"$set": {"lastMessage": as_last(after), "_updatedAt": after["_updatedAt"]}},
            session=session,
        )
        return after

    async def _forget(self, gone: Mapping[str, Any], session: Session) -> None:
        """Take a message that is gone out of its room's and its thread's numbers."""
        # One that was emptied before was taken out then.
        counted = gone.get("t") != "rm"
        room_id = str(gone["rid"])
        await uncount(self._collections, room_id, [gone["_id"]], int(counted), session)
        if not (counted and gone.get("tmid")):
            return
        last = await self._collections.messages.find_one(
            {"tmid": gone["tmid"], "_hidden": {"$ne": True}, "t": {"$exists": False}},
            {"ts": 1},
            sort=[("ts", -1)],
            session=session,
        )
        left = {
            # 0 instead of nothing: some clients only ever add to what they know.
            "tcount": {"$subtract": ["$tcount", 1]},
            "tlm": "$$REMOVE" if last is None else last["ts"],
            "_updatedAt": await change_date(self._collections, room_id, session),
        }
        await self._collections.messages.update_one(
            {"_id": gone["tmid"], "tcount": {"$gt": 0}}, [{"$set": left}], session=session
        )
