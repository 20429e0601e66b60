"""Settings of the workspace that the gateway itself obeys, read through messaging."""

from __future__ import annotations

from typing import Any, Final

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Paging
from hubbub.contracts.events import SettingsChanged
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import Timeout, Unavailable
from services.gateway.rest.paging import PagingRules

_DEFAULT_COUNT: Final = "API_Default_Count"
_UPPER_COUNT: Final = "API_Upper_Count_Limit"
_INFINITE: Final = "API_Allow_Infinite_Count"
_PRESENCE_OFF: Final = "Presence_broadcast_disabled"
_WANTED: Final = (_DEFAULT_COUNT, _UPPER_COUNT, _INFINITE, _PRESENCE_OFF)

_USUAL: Final = PagingRules()

_TTL = 30.0  # seconds a value is believed even if the event of its change is lost
_RETRY = 2.0  # seconds until messaging is asked again after it did not answer


class Workspace:
    """A few settings, remembered until the event that tells of a change.

    While messaging does not answer, the last known values hold, or those of a new workspace.
    """

    def __init__(self, messaging: Messaging, *, clock: Clock | None = None) -> None:
        self._messaging = messaging
        self._clock = clock or SystemClock()
        self._values: dict[str, Any] = {id_: SETTINGS[id_].value for id_ in _WANTED}
        self._fresh_until = 0.0  # monotonic seconds
        self._changes = 0
        self._known = False

    async def paging_rules(self) -> PagingRules:
        """How many items a page may have."""
        await self._refresh()
        return PagingRules(
            default_count=_positive(self._values[_DEFAULT_COUNT], _USUAL.default_count),
            upper_count=_positive(self._values[_UPPER_COUNT], _USUAL.upper_count),
            allow_infinite=bool(self._values[_INFINITE]),
        )

    async def presence_is_off(self) -> bool:
        """Whether the workspace shows nobody's status."""
        await self._refresh()
        return bool(self._values[_PRESENCE_OFF])

    def forget(self) -> None:
        """Ask again at the next occasion."""
        self._changes += 1
        self._known = False

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """A setting has another value now."""
        if event.setting_id in self._values:
            self.forget()

    async def _refresh(self) -> None:
        now = self._clock.monotonic()
        if self._known and now < self._fresh_until:
            return
        changes = self._changes
        # Only one call asks; those beside it use what is known meanwhile.
        self._known, self._fresh_until = True, now + _RETRY
        try:
            page = await self._messaging.list_public_settings(
                Paging(count=len(_WANTED)), list(_WANTED)
            )
        except (Unavailable, Timeout):
            return
        for setting in page.items:
            if setting.get("_id") in self._values and "value" in setting:
                self._values[setting["_id"]] = setting["value"]
        if changes == self._changes:
            self._fresh_until = now + _TTL


def _positive(value: Any, default: int) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_count else default
