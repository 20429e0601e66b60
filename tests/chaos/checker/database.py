"""What the database holds when everything is over. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of a room, or a system message."""

    id: str
    body: str
    """`msg`. Of a system message about a member: the username."""
    ts: int
    """Milliseconds since 1970."""
    seq: int | None
    """Place in the room's log."""
    kind: str | None = None
    """`t`: None, or what a system message is about (`ru`, `ul`, `au`, `uj`, ...)."""


@dataclass(frozen=True, slots=True)
class Room:
    """A closed room: only its members may read it."""

    messages: tuple[Stored, ...]
    """All of them, in any order."""
    members: frozenset[str]
    """Usernames."""


@dataclass(frozen=True, slots=True)
class Database:
    """Read after the last fault is healed and everything is quiet."""

    rooms: Mapping[str, Room]
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Username → the status that others see (`online`, `offline`, ...). Who is not in it is
    not judged."""
