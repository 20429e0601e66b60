"""Workspace settings as documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from hubbub.contracts.workspace import Setting
from services.messaging.domain.lists import Order
from services.messaging.store.schema import Collections

_NOT_HIDDEN: Mapping[str, Any] = {"hidden": {"$ne": True}}
_SHOWN = {"value": 1, "type": 1, "_updatedAt": 1, "enterprise": 1, "valueSource": 1}


class Workspace:
    """Queries on `rocketchat_settings`: a few hundred documents, never more."""

    def __init__(self, collections: Collections) -> None:
        self._settings = collections.settings

    async def insert_missing(
        self, settings: Mapping[str, Setting], values: Mapping[str, Any], now: datetime
    ) -> None:
        """Insert the settings that do not exist. Existing ones stay as they are.

        Args:
            values: first values that differ from the package's.
        """
        writes = [
            UpdateOne(
                {"_id": setting.id},
                {
                    "$setOnInsert": {
                        "value": values.get(setting.id, setting.value),
                        "type": setting.type,
                        "public": setting.public,
                        "hidden": False,
                        "group": setting.group,
                        **({"values": _choices(setting)} if setting.choices else {}),
                        "packageValue": setting.value,
                        "createdAt": now,
                        "_updatedAt": now,
                        "ts": now,
                    }
                },
                upsert=True,
            )
            for setting in settings.values()
        ]
        await self._settings.bulk_write(writes, ordered=False)

    async def replace_empty(self, setting_id: str, value: Any, now: datetime) -> None:
        """Give a setting that is still an empty text its value."""
        await self._settings.update_one(
            {"_id": setting_id, "value": ""}, {"$set": {"value": value, "_updatedAt": now}}
        )

    async def values(self) -> dict[str, Any]:
        """The value of every setting, by id."""
        cursor = self._settings.find({}, {"value": 1})
        return {str(setting["_id"]): setting.get("value") async for setting in cursor}

    async def public(self, since: datetime | None) -> list[dict[str, Any]]:
        """Public settings, those changed since."""
        query: dict[str, Any] = {"public": True, "hidden": {"$ne": True}}
        if since is not None:
            # Also those with a date that is none.
            query["_updatedAt"] = {"$not": {"$lte": since}}
        return [setting async for setting in self._settings.find(query, _SHOWN)]

    async def list_public(
        self, ids: Collection[str] | None, order: Order, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of public settings, and how many there are."""
        query: dict[str, Any] = {"public": True, "hidden": {"$ne": True}}
        if ids is not None:
            query["_id"] = {"$in": list(ids)}
        cursor = self._settings.find(query, _SHOWN).sort(order).skip(offset).limit(limit)
        total = await self._settings.count_documents(query)
        return [setting async for setting in cursor], total

    async def one(self, setting_id: str) -> dict[str, Any] | None:
        """A setting that is not hidden."""
        return await self._settings.find_one({"_id": setting_id, **_NOT_HIDDEN})

    async def list_settings(
        self,
        ids: Collection[str] | None,
        order: Order,
        offset: int,
        limit: int,
        *,
        only_public: bool,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the settings that are not hidden, and how many there are."""
        query: dict[str, Any] = dict(_NOT_HIDDEN)
        if only_public:
            query["public"] = True
        if ids is not None:
            query["_id"] = {"$in": list(ids)}
        cursor = self._settings.find(query).sort(order).skip(offset).limit(limit)
        total = await self._settings.count_documents(query)
        return [setting async for setting in cursor], total

    async def private(self, since: datetime | None) -> list[dict[str, Any]]:
        """Settings that are neither public nor hidden, those changed since."""
        query: dict[str, Any] = {"public": {"$ne": True}, **_NOT_HIDDEN}
        if since is not None:
            # Also those with a date that is none.
            query["_updatedAt"] = {"$not": {"$lte": since}}
        return [setting async for setting in self._settings.find(query)]

    async def change(self, setting_id: str, fields: Mapping[str, Any], now: datetime) -> bool:
        """Change a setting. False: there is none, or it is hidden."""
        result = await self._settings.update_one(
            {"_id": setting_id, **_NOT_HIDDEN},
            {"$set": {**fields, "valueSource": "customValue", "_updatedAt": now}},
        )
        return result.matched_count == 1

    async def furnished_at(self) -> datetime | None:
        """When the workspace was made."""
        found = await self._settings.find_one({"_id": "uniqueID"}, {"createdAt": 1})
        made = (found or {}).get("createdAt")
        return made if isinstance(made, datetime) else None


def _choices(setting: Setting) -> list[dict[str, str]]:
    return [{"key": choice, "i18nLabel": choice} for choice in setting.choices]
