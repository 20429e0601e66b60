"""How much happens during a fault."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Who talks where, and how often. Rates are per second, of all together."""

    rooms: int = 20
    sockets: int = 200
    guests_per_room: int = 3
    """Members who only read; they are removed and invited again."""
    sends: float = 200.0
    edits: float = 2.0
    removals: float = 5.0
    processes: int = 2
    """Of clients."""
    before: float = 8.0
    """Seconds of talk before the fault."""
    after: float = 8.0
    """Seconds of talk after it is healed."""


FULL = Load()
SMALL = Load(
    rooms=6, sockets=30, guests_per_room=2, sends=40.0, edits=1.0, removals=1.0, processes=1,
    before=3.0, after=4.0,
)  # fmt: skip
"""For machines with two cores that do something else as well."""
