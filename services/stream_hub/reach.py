"""Is NATS there at all? A leader that cannot reach it must let another one lead.

That the log does not answer is no reason: while JetStream elects a leader of its own, nobody
else would fare better. So the server itself is asked, which answers whatever the log does.
"""

from __future__ import annotations

from typing import Final

from hubbub.clock import Clock
from services.stream_hub.jetstream import EventLog
from services.stream_hub.term import LeadershipLost

_TRIES: Final = 2  # a connection that was just lost is back in milliseconds
_SPACING: Final = 1.0  # seconds from one try to the next


class Reach:
    """Knows when NATS was heard last, and asks it when the log does not answer."""

    def __init__(self, log: EventLog, clock: Clock, *, patience: float) -> None:
        """
        Args:
            patience: seconds of silence until it is enough.
        """
        self._log = log
        self._clock = clock
        self._patience = patience
        self._heard_at = clock.monotonic()

    async def test(self, since: float) -> None:
        """Ask NATS for a sign of life; somebody has waited since `since` (monotonic seconds).

        Raises: LeadershipLost: nothing was heard for too long.
        """
        for left in reversed(range(_TRIES)):
            asked = self._clock.monotonic()
            if await self._log.answers():
                self._heard_at = self._clock.monotonic()
                return
            if left:
                took = self._clock.monotonic() - asked
                await self._clock.sleep(max(0.0, _SPACING - took))
        if self._clock.monotonic() - max(self._heard_at, since) >= self._patience:
            raise LeadershipLost("cut_off")
