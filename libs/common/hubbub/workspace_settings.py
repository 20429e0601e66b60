"""Settings of the workspace (the collection `rocketchat_settings`) as other services read them.

Values are kept for some seconds and forgotten when `SettingsChanged` says so. A setting without
a document, or with a value of another type, has the value that a new workspace starts with.
"""

from __future__ import annotations

from typing import TypeVar

from hubbub.cache import Cache, LoadMany
from hubbub.clock import Clock
from hubbub.contracts.workspace import SETTINGS, SettingValue

T = TypeVar("T", bool, int, str)

MAX_AGE = 30.0
"""Seconds after which a value is read anew even if no event told of a change."""
STALE_FOR = 3600.0
"""Seconds that a value may be old while the database does not answer."""


class WorkspaceSettings:
    """Typed values by id. Close it."""

    def __init__(
        self, load: LoadMany[str, SettingValue | None], *, clock: Clock | None = None
    ) -> None:
        """
        Args:
            load: stored values by id, None where there is no document.
        """
        self._values: Cache[str, SettingValue | None] = Cache(
            load, max_age=MAX_AGE, size=len(SETTINGS), clock=clock
        )

    async def flag(self, setting_id: str) -> bool:
        """Raises: Unavailable: the value is not known."""
        return await self._value(setting_id, bool)

    async def number(self, setting_id: str) -> int:
        """Raises: Unavailable: the value is not known."""
        return await self._value(setting_id, int)

    async def text(self, setting_id: str) -> str:
        """Raises: Unavailable: the value is not known."""
        return await self._value(setting_id, str)

    def forget(self, setting_id: str) -> None:
        """The setting changed."""
        self._values.forget(setting_id)

    async def close(self) -> None:
        """Stop what is being loaded."""
        await self._values.close()

    async def _value(self, setting_id: str, kind: type[T]) -> T:
        stored = await self._values.get(setting_id, stale_for=STALE_FOR)
        for value in (stored, SETTINGS[setting_id].value):
            if type(value) is kind:  # not isinstance: True is no number here
                return value
        raise TypeError(f"setting {setting_id} is no {kind.__name__}")
