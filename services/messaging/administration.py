"""Settings of the workspace, for those who may see and change them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hubbub.contracts.documents import Changes, Page, Paging
from hubbub.contracts.settings import SettingNotFound, SettingReadOnly, WrongSettingValue
from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import LacksPermission
from hubbub.ids import UserId
from services.messaging.desk import Desk
from services.messaging.domain import lists
from services.messaging.domain.setting_values import (
    WrongValue,
    checked,
    checked_editor,
    is_secret,
    kind_of,
)

VIEW = "view-privileged-setting"
EDIT = "edit-privileged-setting"


class Administration:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def setting_values(self, setting_ids: list[str]) -> dict[str, Any]:
        """See the contract."""
        values = {}
        for setting_id in setting_ids:
            stored = await self._desk.facts.setting(setting_id)
            if stored is None and setting_id in SETTINGS:
                stored = SETTINGS[setting_id].value
            if stored is not None:
                values[setting_id] = stored
        return values

    async def list_settings(
        self, user_id: UserId, paging: Paging, setting_ids: list[str] | None = None
    ) -> Page:
        """See the contract."""
        sees_all = bool(await self._desk.held(user_id, [VIEW]))
        page, total = await self._desk.store.workspace.list_settings(
            setting_ids,
            lists.order(paging, ("_id",), {"_id": 1}),
            lists.offset(paging),
            lists.limit(paging),
            only_public=not sees_all,
        )
        return Page(items=page, total=total)

    async def get_setting(self, user_id: UserId, setting_id: str) -> dict[str, Any]:
        """See the contract."""
        await self._require(user_id, VIEW)
        return await self._setting(setting_id)

    async def set_setting(
        self, user_id: UserId, setting_id: str, value: Any, editor: str | None = None
    ) -> None:
        """See the contract."""
        await self._require(user_id, EDIT)
        stored = await self._setting(setting_id)
        kind = kind_of(stored)
        if kind.read_only:
            raise SettingReadOnly("This setting cannot be changed")
        try:
            fields = {"value": checked(kind, value)}
            if (shown_as := checked_editor(kind, editor)) is not None:
                fields["editor"] = shown_as
        except WrongValue as problem:
            raise WrongSettingValue(
                f"{setting_id}: {problem}", details={"problem": str(problem)}
            ) from None
        if all(_is_same(stored.get(name), new) for name, new in fields.items()):
            return
        if not await self._desk.store.workspace.change(setting_id, fields, await self._desk.now()):
            raise _not_found()
        # Clients and the other services hear of it through the change stream.
        self._desk.facts.forget_settings()
        shown = {} if is_secret(stored) else {"old": stored.get("value"), "new": fields["value"]}
        await self._desk.audit.tell("setting.changed", actor=user_id, target=setting_id, **shown)

    async def private_settings(
        self, user_id: UserId, updated_since: datetime | None = None
    ) -> Changes:
        """See the contract."""
        if not await self._desk.held(user_id, [VIEW]):
            return Changes(update=[], remove=[])
        since = None if updated_since is None else updated_since - lists.LOOK_BACK
        return Changes(update=await self._desk.store.workspace.private(since), remove=[])

    async def _require(self, user_id: UserId, permission: str) -> None:
        if not await self._desk.held(user_id, [permission]):
            raise LacksPermission

    async def _setting(self, setting_id: str) -> dict[str, Any]:
        found = await self._desk.store.workspace.one(setting_id)
        if found is None:
            raise _not_found()
        return found


def _is_same(stored: Any, new: Any) -> bool:
    return type(stored) is type(new) and stored == new


def _not_found() -> SettingNotFound:
    return SettingNotFound("There is no such setting")
