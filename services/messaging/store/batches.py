"""Storing a batch of messages of one room, all or none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pymongo import ReturnDocument, UpdateOne

from hubbub.errors import HubbubError
from services.messaging.domain.sending import Draft
from services.messaging.store.allocation import ROOM_PROJECTION, allocation, placed
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Session, Transactions

Judge: TypeAlias = Callable[
    [Mapping[str, Any] | None, Mapping[str, Any] | None, Draft], HubbubError | None
]

_MEMBERSHIP_FACTS = {"u._id": 1, "blocked": 1, "blocker": 1}


class Refused(Exception):
    """Some drafts may not be sent. Nothing of the batch was stored."""

    def __init__(self, reasons: Mapping[int, HubbubError]) -> None:
        super().__init__(f"{len(reasons)} refused")
        self.reasons = reasons
        """Index in the batch → why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a committed batch left behind."""

    messages: list[dict[str, Any]]
    """As stored, in the order of the batch."""
    room: Mapping[str, Any]
    """Facts of the room after it; `countedSeq` says up to where counters are done."""


class Batches:
    """Commits messages together with everything that has to agree with them."""

    def __init__(self, collections: Collections, transactions: Transactions) -> None:
        self._collections = collections
        self._transactions = transactions

    async def commit(
        self,
        room_id: str,
        drafts: Sequence[Draft],
        *,
        judge: Judge,
        store_last: bool,
        counted: int,
        deadline: float,
    ) -> Stored:
        """Store `drafts` of one room, in their order.

        In one transaction: the room's numbers, the messages, the authors' memberships, the
        threads that were replied to. The authors' memberships are *written*, not only read:
        so an end of a membership and a send of that member can never both succeed.

        Args:
            judge: says why a draft may not be sent, given room and membership as the
                transaction sees them.
            counted: `seq` up to which counters are known to be written.

        Raises:
            Refused, Duplicate, NotStored, OutcomeUnknown.
        """
        messages = [draft.message for draft in drafts]
        shown = [index for index, draft in enumerate(drafts) if draft.in_room]
        pipeline = allocation(
            messages,
            last_shown=shown[-1] if shown else None,
            store_last=store_last,
            counted=counted,
        )

        async def work(session: Session) -> Stored:
            room = await self._collections.rooms.find_one_and_update(
                {"_id": room_id},
                pipeline,
                projection=ROOM_PROJECTION,
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            complete = placed(messages, room) if room is not None else []
            memberships = await self._touch_authors(room_id, drafts, complete, session)
            self._ask(judge, room, memberships, drafts)
            await self._collections.messages.insert_many(complete, ordered=True, session=session)
            await self._touch_threads(room_id, drafts, complete, session)
            return Stored(complete, room or {})

        return await self._transactions.run(work, deadline=deadline)

    def _ask(
        self,
        judge: Judge,
        room: Mapping[str, Any] | None,
        memberships: Mapping[str, Mapping[str, Any]],
        drafts: Sequence[Draft],
    ) -> None:
        reasons = {
            index: reason
            for index, draft in enumerate(drafts)
            if (reason := judge(room, memberships.get(draft.author.user_id), draft)) is not None
        }
        if reasons:
            raise Refused(reasons)

    async def _touch_authors(
        self,
        room_id: str,
        drafts: Sequence[Draft],
        complete: Sequence[Mapping[str, Any]],
        session: Session,
    ) -> Mapping[str, Mapping[str, Any]]:
        """Mark the authors' memberships as read up to their own last message; the memberships.

        One write for all of them. Who is no member, or blocked, is found out only when it did
        not reach everybody; then nothing of the batch stays anyway.
        """
        if not complete:
            return {}
        authors = {
            draft.author.user_id: message for draft, message in zip(drafts, complete, strict=True)
        }
        replied = {draft.author.user_id for draft in drafts if draft.thread is not None}
        memberships = self._collections.memberships
        result = await memberships.update_many(
            {
                "rid": room_id,
                "u._id": {"$in": list(authors)},
                "blocked": {"$ne": True},
                "blocker": {"$ne": True},
            },
            _own_messages_read(authors, replied),
            session=session,
        )
        if result.matched_count == len(authors):
            return {user_id: {} for user_id in authors}
        cursor = memberships.find(
            {"rid": room_id, "u._id": {"$in": list(authors)}}, _MEMBERSHIP_FACTS, session=session
        )
        return {str(found["u"]["_id"]): found async for found in cursor}

    async def _touch_threads(
        self,
        room_id: str,
        drafts: Sequence[Draft],
        complete: Sequence[Mapping[str, Any]],
        session: Session,
    ) -> None:
        writes: list[UpdateOne] = []
        for draft, message in zip(drafts, complete, strict=True):
            if draft.thread is not None:
                writes.append(
                    UpdateOne(
                        {"_id": draft.thread.thread_id, "rid": room_id},
                        {
                            "$inc": {"tcount": 1},
                            "$max": {"tlm": message["ts"]},
                            "$set": {"_updatedAt": message["ts"]},
                            "$addToSet": {"replies": {"$each": list(draft.thread.followers)}},
                        },
                    )
                )
        if writes:
            await self._collections.messages.bulk_write(writes, ordered=True, session=session)


def _own_messages_read(
    authors: Mapping[str, Mapping[str, Any]], replied: Collection[str]
) -> list[dict[str, Any]]:
    """Who writes has read: the update of authors' memberships.

    Args:
        authors: user id → their last message.
        replied: those who replied in a thread.
    """
    ids = list(authors)
    index = {"$indexOfArray": [{"$literal": ids}, "$u._id"]}

    def own(field: str) -> dict[str, Any]:
        return {"$arrayElemAt": [[message[field] for message in authors.values()], "$$own"]}

    moment = {"$let": {"vars": {"own": index}, "in": own("ts")}}
    number = {"$let": {"vars": {"own": index}, "in": own("seq")}}
    fields: dict[str, Any] = {
        "ls": moment,
        "alert": False,
        "open": True,
        "unread": 0,
        "userMentions": 0,
        "groupMentions": 0,
        "countedSeq": {"$max": ["$countedSeq", number]},
        "_updatedAt": moment,
    }
    if replied:
        has_replied = {"$in": ["$u._id", {"$literal": list(replied)}]}
        fields["lr"] = {"$cond": [has_replied, moment, {"$ifNull": ["$lr", "$$REMOVE"]}]}
    return [{"$set": fields}]
