"""Doing without the least important while the event loop is too late.

A loop that runs late for some seconds has more to do than it can. Presence is put off first
(it is a state: what is true then is told when the load has gone), then typing is forgotten.
Messages are never given up for load.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from hubbub.clock import Clock, SystemClock
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

LATE: Final = 0.25
"""Seconds: a timer that runs later than this shows a loop with too much to do."""
LASTING: Final = 5.0
"""Seconds that it must be so, or not be so any more, before something is done about it."""
_INTERVAL: Final = 0.25  # seconds between two timers


class Level(IntEnum):
    """What is done without. Each includes those before it."""

    NOTHING = 0
    PRESENCE = 1
    TYPING = 2


class Shedding:
    """Judges how late the loop is; `run` is its task."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        on_change: Callable[[Level], None] = lambda level: None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._on_change = on_change
        self._was_late = False
        self._since = self._clock.monotonic()  # that it has been late, or in time
        self.level = Level.NOTHING

    async def run(self) -> None:
        """Measure and judge, until cancelled."""
        while True:
            due = self._clock.monotonic() + _INTERVAL
            await self._clock.sleep(_INTERVAL)
            now = self._clock.monotonic()
            self.observe(now - due, now)

    def observe(self, late: float, now: float) -> None:
        """A timer ran `late` seconds after its moment."""
        is_late = late > LATE
        if is_late is not self._was_late:
            # From now on: one long stop, of a process that was frozen, is no load.
            self._was_late, self._since = is_late, now
        if now - self._since < LASTING:
            return
        self._since = now
        wanted = Level(min(Level.TYPING, max(Level.NOTHING, self.level + (1 if is_late else -1))))
        if wanted is not self.level:
            self.level = wanted
            log.warning("shedding", level=wanted.name.lower(), late=round(late, 3))
            self._on_change(wanted)
