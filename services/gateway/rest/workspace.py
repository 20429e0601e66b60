"""Settings of the workspace that the gateway itself obeys, read through messaging."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import listen
from hubbub.contracts.events import SettingsChanged
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import HubbubError
from services.gateway.rest.cors import Cors
from services.gateway.rest.paging import PagingRules
from services.gateway.rest.rate_limit import RateRule

_DEFAULT_COUNT: Final = "API_Default_Count"
_UPPER_COUNT: Final = "API_Upper_Count_Limit"
_INFINITE: Final = "API_Allow_Infinite_Count"
_PRESENCE_OFF: Final = "Presence_broadcast_disabled"
_LIMIT: Final = "API_Enable_Rate_Limiter"
_LIMIT_CALLS: Final = "API_Enable_Rate_Limiter_Limit_Calls_Default"
_LIMIT_TIME: Final = "API_Enable_Rate_Limiter_Limit_Time_Default"
_CORS: Final = "API_Enable_CORS"
_CORS_ORIGIN: Final = "API_CORS_Origin"
_WANTED: Final = (
    _DEFAULT_COUNT,
    _UPPER_COUNT,
    _INFINITE,
    _PRESENCE_OFF,
    _LIMIT,
    _LIMIT_CALLS,
    _LIMIT_TIME,
    _CORS,
    _CORS_ORIGIN,
)

_TTL = 30.0  # seconds a value is believed even if the event of its change is lost
_PATIENCE = 1.0  # seconds that a call waits for messaging
_RETRY = 2.0  # seconds until messaging is asked again after it did not answer


class Workspace:
    """A few settings, remembered until the event that tells of a change.

    While messaging does not answer, the last known values hold, or those of a new workspace.
    """

    def __init__(
        self,
        messaging: Messaging,
        *,
        cors_origin: str = "",
        rate_rule: RateRule | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            cors_origin: whoever runs the server decided: the settings about origins do not count.
            rate_rule: likewise for the number of calls.
        """
        self._messaging = messaging
        self._clock = clock or SystemClock()
        self._values: dict[str, Any] = {id_: SETTINGS[id_].value for id_ in _WANTED}
        self._fresh_until = 0.0  # monotonic seconds
        self._changes = 0
        self._known = False
        self._fixed_origin = cors_origin
        self._fixed_rule = rate_rule
        self._origin = cors_origin
        self._cors = Cors(cors_origin)

    async def paging_rules(self) -> PagingRules:
        """How many items a page may have."""
        await self._refresh()
        return PagingRules(
            default_count=self._positive(_DEFAULT_COUNT),
            upper_count=self._positive(_UPPER_COUNT),
            allow_infinite=self._flag(_INFINITE),
        )

    async def presence_is_off(self) -> bool:
        """Whether the workspace shows nobody's status."""
        await self._refresh()
        return self._flag(_PRESENCE_OFF)

    async def rate_rule(self) -> RateRule | None:
        """How many calls one address may make; None: any number."""
        await self._refresh()
        if not self._flag(_LIMIT):
            return None
        if self._fixed_rule is not None:
            return self._fixed_rule
        return RateRule(self._positive(_LIMIT_CALLS), self._positive(_LIMIT_TIME) / 1000)

    async def cors(self) -> Cors:
        """Which pages may call."""
        if self._fixed_origin:
            return self._cors
        await self._refresh()
        origin = str(self._values[_CORS_ORIGIN]) if self._flag(_CORS) else ""
        if origin != self._origin:
            self._origin, self._cors = origin, Cors(origin)
        return self._cors

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
            async with asyncio.timeout(_PATIENCE):
                found = await self._messaging.setting_values(list(_WANTED))
        except (HubbubError, TimeoutError):
            return
        self._values.update((id_, found[id_]) for id_ in _WANTED if id_ in found)
        if changes == self._changes:
            self._fresh_until = now + _TTL

    def _flag(self, setting_id: str) -> bool:
        return bool(self._values[setting_id])

    def _positive(self, setting_id: str) -> int:
        """The setting's number; the usual one where a tool stored what is no number."""
        for value in (self._values[setting_id], SETTINGS[setting_id].value):
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        raise LookupError(setting_id)
