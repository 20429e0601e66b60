"""Reports about messages, for the workspace's moderators."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.messaging.store.schema import Collections


class Reports:
    """Queries on `rocketchat_moderation_reports`."""

    def __init__(self, collections: Collections) -> None:
        self._reports = collections.reports

    async def keep(self, report_id: str, report: Mapping[str, Any]) -> None:
        """Store a report. One by the same user about the same message is replaced."""
        fields = {key: {"$literal": value} for key, value in report.items()}
        await self._reports.update_one(
            {
                "message._id": report["message"]["_id"],
                "reportedBy._id": report["reportedBy"]["_id"],
            },
            [
                {
                    "$set": {
                        "_id": {"$ifNull": ["$_id", report_id]},
                        **fields,
                        "ts": "$$NOW",
                        "_updatedAt": "$$NOW",
                    }
                },
                {"$unset": "_hidden"},
            ],
            upsert=True,
        )

    async def by_user(
        self,
        offset: int,
        limit: int,
        *,
        oldest: datetime | None,
        latest: datetime | None,
        username_part: str | None,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of those whose messages were reported, latest report first; how many."""
        query: dict[str, Any] = {"_hidden": {"$ne": True}}
        bounds = {
            operator: moment
            for operator, moment in (("$gte", oldest), ("$lte", latest))
            if moment is not None
        }
        if bounds:
            query["ts"] = bounds
        if username_part:
            query["message.u.username"] = {"$regex": re.escape(username_part), "$options": "i"}
        pipeline: list[dict[str, Any]] = [
            {"$match": query},
            {"$sort": {"ts": -1}},
            {
                "$group": {
                    "_id": "$message.u._id",
                    "username": {"$first": "$message.u.username"},
                    "name": {"$first": "$message.u.name"},
                    "message": {"$first": "$message.msg"},
                    "msgId": {"$first": "$message._id"},
                    "ts": {"$first": "$ts"},
                    "rooms": {"$addToSet": "$room"},
                    "count": {"$sum": 1},
                }
            },
            {"$sort": {"ts": -1, "_id": 1}},
        ]
        cursor = await self._reports.aggregate([*pipeline, {"$skip": offset}, {"$limit": limit}])
        page = [{**found, "userId": found.pop("_id")} async for found in cursor]
        counted = await (await self._reports.aggregate([*pipeline, {"$count": "n"}])).to_list()
        return page, int(counted[0]["n"]) if counted else 0

    async def about(
        self, field: str, value: str, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the reports in which `field` is `value`, newest first; how many."""
        query = {field: value, "_hidden": {"$ne": True}}
        cursor = self._reports.find(query).sort([("ts", -1), ("_id", 1)]).skip(offset).limit(limit)
        total = await self._reports.count_documents(query)
        return [report async for report in cursor], total

    async def dismiss(self, field: str, value: str) -> int:
        """Hide the reports in which `field` is `value`; how many."""
        result = await self._reports.update_many(
            {field: value, "_hidden": {"$ne": True}},
            {"$set": {"_hidden": True}, "$currentDate": {"_updatedAt": True}},
        )
        return result.modified_count
