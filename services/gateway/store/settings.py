"""Settings of the workspace, as the gateway's rules about files read them."""

from __future__ import annotations

from collections.abc import Iterable

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.contracts.workspace import SettingValue
from hubbub.mongo import Database, Document, answering
from services.gateway.store.blobs import QUERY_TIMEOUT


class SettingsStore:
    """Values by id."""

    def __init__(self, database: Database) -> None:
        self._settings: AsyncCollection[Document] = database["rocketchat_settings"]

    async def values(self, ids: Iterable[str]) -> dict[str, SettingValue | None]:
        """Values of settings; None for those that have no document."""
        values: dict[str, SettingValue | None] = dict.fromkeys(ids)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async for setting in self._settings.find({"_id": {"$in": list(values)}}, {"value": 1}):
                values[setting["_id"]] = setting.get("value")
        return values
