"""What happened in one conversation, as its clients saw it. Pure records; times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a client was given it. Dates in milliseconds since 1970."""

    id: str
    text: str
    ts: int
    updated_at: int


def message_of(document: Mapping[str, Any]) -> Message:
    """A message from DDP (`{"$date": n}`) or from REST (ISO 8601)."""
    return Message(
        id=document["_id"],
        text=document["msg"],
        ts=_milliseconds(document["ts"]),
        updated_at=_milliseconds(document["_updatedAt"]),
    )


def _milliseconds(date: Any) -> int:
    if isinstance(date, Mapping):
        return int(date["$date"])
    return round(datetime.fromisoformat(date).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that one client did or saw."""

    at: float
    """Monotonic clock of the test."""
    client: str


@dataclass(frozen=True, slots=True)
class Joined(Event):
    """A client begins to read."""


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """A client sent a message for the first time."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Acked(Event):
    """The server answered a send with success."""

    id: str
    ts: int


@dataclass(frozen=True, slots=True)
class Repeated(Event):
    """A send had no answer, or one that says "try again"; it is sent once more."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """An answer that no repetition cures, or no answer at all on a socket that stayed open."""

    what: str


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """A new socket is signed in and its subscription is ready."""

    socket: int


@dataclass(frozen=True, slots=True)
class Frame(Event):
    """A message came by itself."""

    socket: int
    message: Message


@dataclass(frozen=True, slots=True)
class CaughtUp(Event):
    """The answer to "what did I miss?"."""

    socket: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The socket has ended, with this code."""

    socket: int
    code: int | None


@dataclass(slots=True)
class History:
    """All events in the order of time, and what the room holds in the end."""

    events: list[Event] = field(default_factory=list)
    stored: list[Message] = field(default_factory=list)
    """The room's history as REST tells it, oldest first."""
    counted: int = 0
    """How many messages the room itself says it has. It is written with each message, in one
    transaction with the room's sequence number."""

    @property
    def readers(self) -> list[str]:
        """Who reads, until the end; each asked for everything since the beginning once."""
        return [event.client for event in self.events if isinstance(event, Joined)]
