"""Log lines that strangers cause: at most so many a second, and none forgotten silently."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from structlog.typing import FilteringBoundLogger


class Sparing:
    """Writes one event, sparingly: `burst` lines at once, `per_second` for ever.

    refused = Sparing(log, "refused")
    refused(conn=connection_id, reason="error-not-allowed")

    The first line after some were left out says how many, as `left_out`.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        event: str,
        *,
        per_second: float = 20.0,
        burst: int = 200,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._at = clock()
        self._left_out = 0

    def __call__(self, **keys: Any) -> None:
        """Write the line at level info, or count it as left out."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return
        self._left -= 1
        if self._left_out:
            keys["left_out"], self._left_out = self._left_out, 0
        self._log.info(self._event, **keys)
