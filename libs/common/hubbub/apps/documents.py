"""What apps are shown: messages, rooms and users, made of the documents that clients get. Pure.

Only what apps need has a name here; everything else a client would see is in `raw`.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class User:
    """Somebody. In messages only `id`, `username` and `name` are known."""

    id: str
    username: str
    name: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """A user from the wire."""
        return cls(
            id=_text(document, "_id"),
            username=_text(document, "username"),
            name=_text(document, "name"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Room:
    """Where messages are."""

    id: str
    name: str
    """Empty for direct conversations."""
    kind: str
    """`c` for channels, `p` for private groups, `d` for direct conversations."""
    topic: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """A room from the wire."""
        return cls(
            id=_text(document, "_id"),
            name=_text(document, "name"),
            kind=_text(document, "t"),
            topic=_text(document, "topic"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """Something said in a room."""

    id: str
    """Empty for one that is about to be sent and has none yet."""
    room: str
    """The room's id."""
    text: str
    user: User
    sent_at: datetime | None = None
    thread: str | None = None
    """The id of the message that it answers to in a thread."""
    attachments: list[dict[str, Any]] = field(default_factory=list)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """A message from the wire."""
        return cls(
            id=_text(document, "_id"),
            room=_text(document, "rid"),
            text=_text(document, "msg"),
            user=User.read(document.get("u") or {}),
            sent_at=moment(document.get("ts")),
            thread=document.get("tmid"),
            attachments=list(document.get("attachments") or ()),
            raw=document,
        )


def moment(value: object) -> datetime | None:
    """The moment that the wire writes as `{"$date": milliseconds}`; None for anything else."""
    milliseconds = value.get("$date") if isinstance(value, dict) else None
    if not isinstance(milliseconds, int | float):
        return None
    return datetime.fromtimestamp(milliseconds / _MILLISECONDS, UTC)


def date(value: datetime) -> dict[str, int]:
    """A moment for the wire.

    Raises: ValueError: it has no zone, so it is a different moment on another machine.
    """
    if value.tzinfo is None:
        raise ValueError("a moment needs a zone: datetime.now(UTC), or app.now()")
    return {"$date": round(value.timestamp() * _MILLISECONDS)}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
