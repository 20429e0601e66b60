"""One time of leading: its number, its log, how far it got, and whether it still lasts."""

from __future__ import annotations

from collections.abc import Iterator

from hubbub.clock import Clock
from services.stream_hub.store import Checkpoint, Lease, LogIdentity


class LeadershipLost(Exception):
    """This process must not publish any more. The text is the reason, one word."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups; of a lone one, itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


class Term:
    """One time of leading, from a lease to its end."""

    def __init__(
        self, lease: Lease, *, holder: str, clock: Clock, sent: float, fence: float
    ) -> None:
        self.epoch = lease.epoch
        self.holder = holder
        self.checkpoint: Checkpoint = lease.checkpoint
        """How far the work is done; whoever does it writes it here, renewals save it."""
        self.log: LogIdentity = lease.log
        self.announced = lease.log.epoch
        """How the last marker in the log calls it. Empty while the next one is on its way: two
        names in turn would make all clients load anew for each."""
        self._clock = clock
        self._fence = fence
        self._until = sent + fence
        self._ended = ""

    @property
    def held(self) -> bool:
        """Whether this process may publish at this very moment."""
        return not self._ended and self._clock.monotonic() < self._until

    def check(self) -> None:
        """Raises: LeadershipLost: this process must not publish any more."""
        if not self.held:
            raise LeadershipLost(self._ended or "expired")

    def extend(self, sent: float) -> None:
        """The lease was renewed by a request sent at `sent` (monotonic seconds)."""
        self._until = sent + self._fence

    def end(self, reason: str) -> None:
        """Publish nothing from now on."""
        self._ended = self._ended or reason
