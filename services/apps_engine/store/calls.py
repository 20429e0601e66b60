"""Calls of outgoing webhooks: what was done for each, and what is still to be done.

Both are one document, so that a call that was begun is known after a restart together with every
step that it took.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pymongo
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.contracts.documents import Page, Paging
from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT

KEPT: Final = 30 * 86_400
"""Seconds for which history is kept; longer than all repetitions of a call may take."""
_STEPS: Final = 200  # that are kept of one call
_WAITING: Final = {"pending.due": {"$exists": True}}


class MongoCallStore:
    """One document per event, integration and address."""

    def __init__(self, database: Database) -> None:
        self._calls: AsyncCollection[Document] = database["rocketchat_integration_history"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with answering():
            await self._calls.create_index("_createdAt", expireAfterSeconds=KEPT)
            await self._calls.create_index([("integration._id", 1), ("_updatedAt", -1)])
            waiting: dict[str, Any] = {"partialFilterExpression": _WAITING}
            await self._calls.create_index("pending.due", **waiting)
            await self._calls.create_index([("integration._id", 1), ("pending.due", 1)], **waiting)

    async def add(self, call: Mapping[str, Any]) -> bool:
        """Store a call that is to be made. False: it is stored already."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                await self._calls.insert_one(dict(call))
            except DuplicateKeyError:
                return False
        return True

    async def take(
        self, now: datetime, lease: timedelta, besides: Collection[str]
    ) -> Document | None:
        """A call that is due, to work on for `lease`; after that somebody else may take it.

        Args:
            besides: integrations whose calls have to wait.
        """
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            taken: Document | None = await self._calls.find_one_and_update(
                {"pending.due": {"$lte": now}, "integration._id": {"$nin": list(besides)}},
                {"$set": {"pending.due": now + lease}},
                sort=[("pending.due", ASCENDING)],
                return_document=pymongo.ReturnDocument.AFTER,
            )
        return taken

    async def hold(self, calls: Mapping[str, int], until: datetime) -> None:
        """Work on some calls for longer.

        Args:
            calls: the ids, and which repetition of each is being made. One that has ended, or
                waits for the next, is left as it is.
        """
        held = [{"_id": call_id, "pending.tries": tries} for call_id, tries in calls.items()]
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._calls.update_many({"$or": held}, {"$set": {"pending.due": until}})

    async def next_due(self, besides: Collection[str]) -> datetime | None:
        """When the next call is due; None: none is waiting."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._calls.find_one(
                {**_WAITING, "integration._id": {"$nin": list(besides)}},
                {"pending.due": 1},
                sort=[("pending.due", ASCENDING)],
            )
        due: datetime | None = None if found is None else found["pending"]["due"]
        return due

    async def waiting(self, integration_id: str, most: int) -> int:
        """How many calls of an integration are still to be made, or `most` if there are more."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._calls.count_documents(
                {"integration._id": integration_id, **_WAITING}, limit=most
            )

    async def note(
        self,
        call_id: str,
        step: str,
        now: datetime,
        fields: Mapping[str, Any] | None = None,
        *,
        due: datetime | None = None,
        ends: bool = False,
    ) -> None:
        """Write down a step of a call, and what is known since.

        Args:
            due: when it is tried again.
            ends: nothing is left to be done.
        """
        change: Document = {
            "$set": {"step": step, "_updatedAt": now, **(fields or {})},
            "$push": {"steps": {"$each": [{"step": step, "at": now}], "$slice": -_STEPS}},
        }
        if due is not None:
            change["$set"]["pending.due"] = due
            change["$inc"] = {"pending.tries": 1}
        if ends:
            change["$set"]["finished"] = True
            change["$unset"] = {"pending": ""}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._calls.update_one({"_id": call_id}, change)

    async def history(
        self, integration_id: str, paging: Paging, made_by: str | None = None
    ) -> Page:
        """What an integration did, latest first; of one made by `made_by` alone, if given."""
        match: Document = {"integration._id": integration_id}
        if made_by is not None:
            match["integration._createdBy._id"] = made_by
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._calls.find(match, {"pending": 0})
            found = found.sort([("_updatedAt", DESCENDING)]).skip(paging.offset)
            items = await found.limit(paging.count).to_list() if paging.count else []
            total = await self._calls.count_documents(match)
        return Page(items=items, total=total)

    async def remove_of(self, integration_id: str) -> None:
        """Forget what an integration did and still had to do."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._calls.delete_many({"integration._id": integration_id})
