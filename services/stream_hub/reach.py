"""Is NATS there at all? A leader that cannot reach it must let another one lead.

That the log does not answer is no reason: while JetStream elects a leader of its own, nobody
else would fare better. So the server itself is asked, which answers whatever the log does, and
from the moment at which somebody waits for the log: to try everything with the log first costs
seconds in which nobody leads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from hubbub.clock import Clock
from hubbub.tasks import heed_cancellation
from services.stream_hub.jetstream import EventLog
from services.stream_hub.term import LeadershipLost

_WAITS: Final = 0.25  # seconds without an acknowledgement that are nothing unusual
_SPACING: Final = 0.25  # seconds between two looks


class Reach:
    """Asks NATS for a sign of life while somebody waits for the log."""

    def __init__(self, log: EventLog, clock: Clock, *, patience: float) -> None:
        """
        Args:
            patience: seconds of silence until it is enough.
        """
        self._log = log
        self._clock = clock
        self._patience = patience

    async def watch(self, waited: Callable[[], float]) -> NoReturn:
        """Look until cancelled.

        Args:
            waited: seconds since the log gave a sign of life, while somebody waits for one;
                else 0.

        Raises: LeadershipLost: nothing was heard for too long.
        """
        silent_since: float | None = None
        while True:
            heed_cancellation()
            await self._clock.sleep(_SPACING)
            asked = self._clock.monotonic()
            if waited() < _WAITS or await self._log.answers():
                silent_since = None
                continue
            # Silence begins with a question: who stood still himself has asked nothing.
            silent_since = asked if silent_since is None else silent_since
            if self._clock.monotonic() - silent_since >= self._patience:
                raise LeadershipLost("cut_off")
