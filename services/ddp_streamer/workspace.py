"""The settings of the workspace that a streamer obeys."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_REAL_NAMES: Final = "UI_Use_Real_Name"
_ANONYMOUS_READ: Final = "Accounts_AllowAnonymousRead"
_AGAIN = 2.0  # seconds; whoever answers may have heard of a change a little later than we
_LONGEST_PAUSE = 10.0


class Workspace:
    """What was read last; until then, what a new workspace starts with."""

    def __init__(self, messaging: Messaging, *, clock: Clock | None = None) -> None:
        self._messaging = messaging
        self._clock = clock or SystemClock()
        self._changed = asyncio.Event()
        self._changed.set()
        self.real_names = False
        """Clients show names and not usernames."""
        self.anonymous_read = False
        """Whoever is not signed in may read public rooms, for as long as they like."""

    def settings_changed(self) -> None:
        """Read them again."""
        self._changed.set()

    async def run(self) -> None:
        """Read them whenever they may have changed, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._read()
            await self._clock.sleep(_AGAIN)
            await self._read()

    async def _read(self) -> None:
        pause = 0.2
        while True:
            try:
                values = await self._messaging.setting_values([_REAL_NAMES, _ANONYMOUS_READ])
            except HubbubError as error:
                log.warning("settings_not_read", reason=type(error).__name__)
                await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            self.real_names = values.get(_REAL_NAMES) is True
            self.anonymous_read = values.get(_ANONYMOUS_READ) is True
            return
