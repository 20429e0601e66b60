"""Which hub's events count, and whether the log is still the same log. Pure."""

from __future__ import annotations

from hubbub.contracts.event_log import Epochs, Marker
from services.ddp_streamer.audiences.event import Event

_TO_SECONDS = len("2026-01-01T00:00:00")


class Leaders:
    """What markers and events told about the hubs that lead, and about the log's continuity."""

    def __init__(self) -> None:
        self._epochs = Epochs()
        self.highest = 0
        """The highest epoch that was seen."""
        self.log_epoch: str | None = None
        """Name of the log's continuity; None: not told yet."""
        self.valid_from = 0
        """Positions of before prove nothing: behind them a leader told clients to load anew."""

    def counts(self, event: Event) -> bool:
        """Whether `event` is of the hub that led at its place in the log.

        An event of an unknown higher epoch proves a marker in front of it that was not seen:
        from here on lower epochs do not count either way.
        """
        if event.epoch > self.highest:
            self.highest = event.epoch
            self._epochs.mark(event.epoch, event.sequence)
        return self._epochs.counts(event.epoch, event.sequence)

    def is_past(self, epoch: int, log_epoch: str) -> bool:
        """Whether this is said by a hub that does not know yet that it leads no more: it speaks
        of the same log, or of one before it, with a lower epoch."""
        if self.log_epoch is None or epoch >= self.highest:
            return False
        return _created(log_epoch) <= _created(self.log_epoch)

    def is_new_log(self, log_epoch: str) -> bool:
        """Whether positions of before prove nothing any more; takes note of the new name."""
        before, self.log_epoch = self.log_epoch, log_epoch
        return before is not None and before != log_epoch

    def mark(self, marker: Marker, sequence: int) -> None:
        """A leader begins at `sequence`."""
        self.highest = max(self.highest, marker.epoch)
        self._epochs.mark(marker.epoch, sequence)
        if marker.resync:
            self.valid_from = max(self.valid_from, sequence)

    def forget_before(self, sequence: int) -> None:
        """Drop what can no longer matter: no event from before `sequence` will come."""
        self._epochs.forget_before(sequence)

    def restart(self) -> None:
        """The log was replaced: its sequences mean something else now."""
        self._epochs = Epochs()
        self.highest = 0
        self.valid_from = 0


def _created(log_epoch: str) -> str:
    """The second in which the log was created; as NATS writes them they compare as texts."""
    return log_epoch.rpartition("/")[0][:_TO_SECONDS]
