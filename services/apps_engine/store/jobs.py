"""What apps want to be woken for."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT

LISTED = 1000
"""Jobs of one app that are looked at."""


class MongoJobStore:
    """One document per job, under `<app>/<id>`. `due` is when it runs next, or, while somebody
    runs it, when it is taken for abandoned; the claim says which of both it is."""

    def __init__(self, database: Database) -> None:
        self._jobs: AsyncCollection[Document] = database["hubbub_app_jobs"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with answering():
            await self._jobs.create_index([("app", 1), ("due", 1)])

    async def save(self, app_id: str, job_id: str, job: dict[str, Any], *, limit: int) -> bool:
        """Store a job over the one with its id. False: it is new and the app has `limit`."""
        name = {"_id": f"{app_id}/{job_id}"}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            if (
                await self._jobs.find_one(name, {"_id": 1}) is None
                and await self._jobs.count_documents({"app": app_id}, limit=limit) >= limit
            ):
                return False
            await self._jobs.replace_one(name, {"app": app_id, "id": job_id, **job}, upsert=True)
        return True

    async def of_app(self, app_id: str) -> list[Document]:
        """The jobs of an app, the next one first."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._jobs.find({"app": app_id}).sort([("due", 1)])
            return await found.to_list(LISTED)

    async def remove(self, app_id: str, job_id: str) -> bool:
        """Forget a job. False: there was none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            result = await self._jobs.delete_one({"_id": f"{app_id}/{job_id}"})
        return bool(result.deleted_count)

    async def remove_app(self, app_id: str) -> None:
        """Forget the jobs of an app."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._jobs.delete_many({"app": app_id})

    async def next_due(self, app_ids: Collection[str]) -> datetime | None:
        """When the next job of one of these apps is due; None: they have none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            dates = []
            for app_id in app_ids:
                job = await self._jobs.find_one({"app": app_id}, {"due": 1}, sort=[("due", 1)])
                if job is not None:
                    dates.append(job["due"])
        return min(dates, default=None)

    async def claim(
        self, app_id: str, now: datetime, until: datetime, claim: str
    ) -> Document | None:
        """Take the job of an app that has been due for longest, as it was before.

        Until `until` nobody else gets it; after that it counts as abandoned and is due again.
        """
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            taken: Document | None = await self._jobs.find_one_and_update(
                {"app": app_id, "due": {"$lte": now}},
                {"$set": {"due": until, "claim": claim}, "$inc": {"tries": 1}},
                sort=[("due", 1)],
            )
        return taken

    async def finish(self, app_id: str, job_id: str, claim: str, due: datetime | None) -> None:
        """The job has run: it is due again then, or (None) gone. Nothing if the claim is lost,
        or the app planned it anew meanwhile."""
        held = {"_id": f"{app_id}/{job_id}", "claim": claim}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            if due is None:
                await self._jobs.delete_one(held)
            else:
                free = {"claim": 1, "tries": 1}
                await self._jobs.update_one(held, {"$set": {"due": due}, "$unset": free})

    async def postpone(self, app_id: str, job_id: str, claim: str, due: datetime) -> None:
        """The job could not run: try again then."""
        held = {"_id": f"{app_id}/{job_id}", "claim": claim}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._jobs.update_one(held, {"$set": {"due": due}, "$unset": {"claim": 1}})
