"""Public settings; what a new workspace begins with."""

from __future__ import annotations

from datetime import datetime

from hubbub.contracts.documents import Changes, Page, Paging
from hubbub.contracts.workspace import SETTINGS
from hubbub.ids import random_id
from services.messaging.desk import Desk
from services.messaging.domain import lists, records
from services.messaging.store import Store


async def furnish(store: Store) -> None:
    """Insert the settings and the first room that a workspace lacks. Repeating it is cheap."""
    now = await store.places.now()
    await store.workspace.insert_missing(SETTINGS, {"uniqueID": random_id()}, now)
    # A workspace of an older version has it empty.
    await store.workspace.replace_empty("uniqueID", random_id(), now)
    await store.rooms.insert_if_missing(records.general_room(now))


class Configuration:
    """The doors for the workspace as a whole."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def public_settings(self, updated_since: datetime | None = None) -> Changes:
        """See the contract."""
        since = None if updated_since is None else updated_since - lists.LOOK_BACK
        found = await self._desk.store.workspace.public(since)
        return Changes(update=[{**setting, "enterprise": False} for setting in found], remove=[])

    async def list_public_settings(self, paging: Paging, ids: list[str] | None = None) -> Page:
        """See the contract."""
        page, total = await self._desk.store.workspace.list_public(
            ids,
            lists.order(paging, ("_id",), {"_id": 1}),
            lists.offset(paging),
            lists.limit(paging),
        )
        shown = [
            {key: setting[key] for key in ("_id", "value", "type") if key in setting}
            for setting in page
        ]
        return Page(items=shown, total=total)
