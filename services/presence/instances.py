"""Rules about streamers: which are alive, and when one counts as gone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Heard(Enum):
    """What a sign of life means."""

    AS_BEFORE = "as-before"
    NEW = "new"
    REBOOTED = "rebooted"
    """Another start of a streamer with the same name: what the old one had is over."""
    RETURNED = "returned"
    """It counted as gone, but was not: what it has must be told anew."""


@dataclass(slots=True)
class _Instance:
    seen: float  # monotonic seconds
    boot_id: str | None = None  # None: only known from connections, never heard


class Instances:
    """Signs of life per streamer.

    Nothing is declared gone while observing: for `observation` seconds after a start, or after
    signs of life may have been missed. All times are monotonic seconds.
    """

    def __init__(self, now: float, *, lease: float, observation: float) -> None:
        self._lease = lease
        self._observation = observation
        self._known: dict[str, _Instance] = {}
        self._gone: dict[str, None] = {}  # oldest first
        self._began = now

    def observe_anew(self, now: float) -> None:
        """Signs of life may have been missed: nobody is gone for that."""
        self._began = now
        for instance in self._known.values():
            instance.seen = now

    def is_observing(self, now: float) -> bool:
        """Whether it is too early to declare anybody gone."""
        return now - self._began < self._observation

    def heard(self, name: str, boot_id: str, now: float) -> Heard:
        """A streamer gave a sign of life."""
        known = self._known.setdefault(name, _Instance(now))
        known.seen = now
        before, known.boot_id = known.boot_id, boot_id
        if name in self._gone:
            del self._gone[name]
            return Heard.RETURNED
        if before is None:
            return Heard.NEW
        return Heard.AS_BEFORE if before == boot_id else Heard.REBOOTED

    def noticed(self, name: str, now: float) -> None:
        """There are connections of a streamer; it has a lease's time to give a sign of life."""
        self._known.setdefault(name, _Instance(now))

    def silent(self, now: float) -> list[str]:
        """Streamers that gave no sign of life for a lease's time. Empty while observing."""
        if self.is_observing(now):
            return []
        return [name for name, known in self._known.items() if now - known.seen >= self._lease]

    def declare_gone(self, name: str) -> None:
        """The streamer is gone; forget it, but not that it was there."""
        self._known.pop(name, None)
        self._gone[name] = None
        while len(self._gone) > 1000:
            del self._gone[next(iter(self._gone))]
