"""How late the event loop runs its timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import Histogram

from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_INTERVAL = 0.25  # seconds between two timers
_STALLED = 1.0  # seconds of lag that are worth a line in the log


async def watch_loop(lag: Histogram, beat: Callable[[], None]) -> None:
    """Measure the lag of the running loop into `lag`, until cancelled; `beat` after each turn."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _INTERVAL
        await asyncio.sleep(_INTERVAL)
        late = max(0.0, loop.time() - due)
        lag.observe(late)
        beat()
        if late >= _STALLED:
            log.warning("event_loop_stalled", seconds=round(late, 3))
