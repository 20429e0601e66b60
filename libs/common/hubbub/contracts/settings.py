"""The part of the messaging contract about the settings of the workspace."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Changes, Document, Identifier, JsonValue, Page, Paging
from hubbub.errors import BadRequest, NotAllowed, NotFound
from hubbub.ids import UserId


class SettingNotFound(NotFound):
    """No such setting, or a hidden one."""

    default_code = "error-invalid-setting"


class WrongSettingValue(BadRequest):
    """The value is not of the setting's type, or none of its choices.

    `details["problem"]` says what is expected: `must be boolean`.
    """

    default_code = "error-invalid-setting-value"


class SettingReadOnly(NotAllowed):
    """Nobody changes this setting: it states a fact about the server."""

    default_code = "error-action-not-allowed"


class SettingActions(Contract, Protocol):
    """Reading and changing settings. `user_id` is who acts."""

    @action(idempotent=True)
    async def setting_values(self, setting_ids: list[str]) -> Document:
        """Values by id, for services that obey them; unknown ids are left out.

        A setting without a document has the value that a new workspace starts with.
        """
        ...

    @action(idempotent=True)
    async def list_settings(
        self, user_id: UserId, paging: Paging, setting_ids: list[str] | None = None
    ) -> Page:
        """Settings by id: all for who holds `view-privileged-setting`, else the public ones.

        Hidden ones never.
        """
        ...

    @action(idempotent=True)
    async def get_setting(self, user_id: UserId, setting_id: Identifier) -> Document:
        """One setting. Raises: NotAllowed: no `view-privileged-setting`; SettingNotFound."""
        ...

    @action(idempotent=True)
    async def set_setting(
        self,
        user_id: UserId,
        setting_id: Identifier,
        value: JsonValue,
        editor: str | None = None,
    ) -> None:
        """Change a setting; clients and services hear of it through the change stream.

        Args:
            editor: how a colour was entered, `color` or `expression`.

        Raises: NotAllowed: no `edit-privileged-setting`; SettingNotFound; SettingReadOnly;
        WrongSettingValue. Nothing has happened then.
        """
        ...

    @action(idempotent=True)
    async def private_settings(
        self, user_id: UserId, updated_since: datetime | None = None
    ) -> Changes:
        """Settings that are not public and not hidden, those changed since.

        Nothing for who lacks `view-privileged-setting`.
        """
        ...
