"""Integrations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pymongo
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.contracts.integrations import MOST_INTEGRATIONS, IntegrationKind
from hubbub.mongo import Database, Document, answering
from services.apps_engine.store.common import QUERY_TIMEOUT


class MongoIntegrationStore:
    """One document per integration; administrators make them, one by one."""

    def __init__(self, database: Database) -> None:
        self._integrations: AsyncCollection[Document] = database["rocketchat_integrations"]
        self._settings: AsyncCollection[Document] = database["rocketchat_settings"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with answering():
            await self._integrations.create_index("urls")
            await self._integrations.create_index("type")

    async def all(self, kind: IntegrationKind | None = None) -> list[Document]:
        """Every integration (at most `MOST_INTEGRATIONS`), or those of one kind."""
        match = {} if kind is None else {"type": kind.value}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._integrations.find(match).to_list(MOST_INTEGRATIONS)

    async def count(self) -> int:
        """How many there are, or `MOST_INTEGRATIONS` where there are more."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._integrations.find({}, {"_id": 1})
            return len(await found.to_list(MOST_INTEGRATIONS))

    async def one(self, integration_id: str) -> Document | None:
        """One integration."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._integrations.find_one({"_id": integration_id})

    async def calling(self, url: str) -> Document | None:
        """An outgoing integration that calls `url`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._integrations.find_one(
                {"urls": url, "type": IntegrationKind.OUTGOING.value}
            )

    async def add(self, integration: Mapping[str, Any]) -> None:
        """Store a new one."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._integrations.insert_one(dict(integration))

    async def change(self, integration_id: str, fields: Mapping[str, Any]) -> Document | None:
        """Set fields; the integration after it, or None when there is none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            changed: Document | None = await self._integrations.find_one_and_update(
                {"_id": integration_id},
                {"$set": dict(fields)},
                return_document=pymongo.ReturnDocument.AFTER,
            )
        return changed

    async def disable(self, integration_id: str, url: str, now: datetime) -> bool:
        """Switch one off, if it is on and still calls `url`; whether it was."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            done = await self._integrations.update_one(
                {"_id": integration_id, "urls": url, "enabled": True},
                {"$set": {"enabled": False, "_updatedAt": now}},
            )
        return done.modified_count > 0

    async def remove(self, integration_id: str) -> None:
        """Forget one."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._integrations.delete_one({"_id": integration_id})

    async def site_url(self) -> str:
        """Where this workspace is found; empty when nobody said it."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._settings.find_one({"_id": "Site_Url"}, {"value": 1})
        value = (found or {}).get("value")
        return value if isinstance(value, str) else ""
