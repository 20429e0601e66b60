"""Counts of the workspace, now and day by day."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime
from typing import Any, Final

from hubbub.contracts.documents import Page, Paging
from hubbub.errors import HubbubError
from hubbub.mongo import Unreachable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.messaging.desk import Desk
from services.messaging.domain import lists

log = get_logger(__name__)

LOOK_INTERVAL: Final = 1800.0
"""Seconds between two looks whether the day's record is there. A day begins at midnight UTC."""


class Statistics:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def statistics(self, refresh: bool = False) -> dict[str, Any]:
        """See the contract."""
        now = await self._desk.now()
        counted = await self._count()
        if refresh:
            await self._desk.store.statistics.keep(_day(now), counted, now, replace=True)
        return {**counted, "createdAt": now}

    async def list_statistics(self, paging: Paging) -> Page:
        """See the contract."""
        page, total = await self._desk.store.statistics.page(
            lists.order(paging, ("createdAt",), {"createdAt": -1}),
            lists.offset(paging),
            lists.limit(paging),
        )
        return Page(items=page, total=total)

    async def keep_statistics(self) -> None:
        """See to it that every day has its record, until cancelled. Any number of processes may:
        the first one's record stays."""
        while True:
            heed_cancellation()
            try:
                await self._keep_todays()
            except (Unreachable, HubbubError) as error:
                log.warning("statistics_not_kept", err_type=type(error).__name__)
            heed_cancellation()  # the write above may have swallowed one, and the rest is long
            # Not all processes at the same moment.
            await self._desk.clock.sleep(LOOK_INTERVAL * random.uniform(0.8, 1.0))  # noqa: S311

    async def _keep_todays(self) -> None:
        store, now = self._desk.store.statistics, await self._desk.now()
        if not await store.has(_day(now)):
            await store.keep(_day(now), await self._count(), now, replace=False)

    async def _count(self) -> dict[str, Any]:
        store = self._desk.store
        users = await store.statistics.count_users()
        total, rooms = await store.users.count(), await store.rooms.counts()
        connected = users["online"] + users["away"] + users["busy"]
        unique_id = str(await self._desk.facts.setting("uniqueID") or "")
        site = str(await self._desk.facts.setting("Site_Url") or "")
        return {
            "uniqueId": unique_id,
            "wizard": {},
            "installedAt": await store.workspace.furnished_at(),
            # Another address or another copy of the data makes another deployment.
            "deploymentFingerprintHash": hashlib.sha256(f"{unique_id}{site}".encode()).hexdigest(),
            "deploymentFingerprintVerified": True,
            "totalUsers": total,
            "activeUsers": max(0, total - users["inactive"]),
            "nonActiveUsers": users["inactive"],
            "onlineUsers": users["online"],
            "awayUsers": users["away"],
            "busyUsers": users["busy"],
            "totalConnectedUsers": connected,
            "offlineUsers": max(0, total - connected),
            "totalRooms": sum(rooms.values()),
            "totalChannels": rooms.get("c", 0),
            "totalPrivateGroups": rooms.get("p", 0),
            "totalDirect": rooms.get("d", 0),
            "totalLivechat": 0,
            "totalMessages": await store.messages.count(),
        }


def _day(now: datetime) -> str:
    return now.strftime("%Y-%m-%d")
