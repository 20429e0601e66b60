"""One event as it comes from NATS: what its headers say and the bytes to forward."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from hubbub.contracts.event_log import (
    EPHEMERAL_SUBJECTS,
    LIVE_SUBJECTS,
    LOG_SUBJECTS,
    Audience,
    Header,
    Kind,
)

_LIVE_LENGTH: Final = len(LIVE_SUBJECTS)
_LOG_LENGTH: Final = len(LOG_SUBJECTS)
_EPHEMERAL_LENGTH: Final = len(EPHEMERAL_SUBJECTS)
_KINDS: Final = {kind.value: kind for kind in Kind}


class BadEvent(ValueError):
    """A message that is no event: a header is missing or makes no sense."""


@dataclass(slots=True)
class Event:
    """An event of one audience.

    `sequence` is its place in the log (0: it was never in the log), `last_sequence` the place
    of the event before it in the same audience (0: none that the log still has).
    """

    audience: Audience
    sequence: int
    last_sequence: int
    epoch: int
    id: str
    kind: Kind
    stream: str
    key: str
    headers: Mapping[str, str]
    payload: bytes
    arrived: float = field(default_factory=time.time, compare=False)
    """When it came here, seconds since 1970."""

    @property
    def committed(self) -> int | None:
        """When the change was committed, milliseconds since 1970; None when unknown."""
        return _number(self.headers, Header.COMMITTED)

    @property
    def published(self) -> int | None:
        """When the hub published it, milliseconds since 1970; None when unknown."""
        return _number(self.headers, Header.PUBLISHED)

    @property
    def room_name(self) -> str | None:
        """Name of the room of a room message; None for direct rooms."""
        name = self.headers.get(Header.ROOM_NAME)
        return None if name is None else unquote(name)


def live_event(subject: str, headers: Mapping[str, str], payload: bytes) -> Event:
    """An event as JetStream republished it. Raises: BadEvent."""
    audience = Audience(subject[_LIVE_LENGTH:])
    if Header.SEQUENCE not in headers:  # a watermark: published live and never stored
        return _event(audience, 0, 0, headers, payload)
    last = _number(headers, Header.LAST_SEQUENCE) or 0
    return _event(audience, _needed(headers, Header.SEQUENCE), last, headers, payload)


def logged_event(headers: Mapping[str, str], payload: bytes) -> Event:
    """An event as the log gave it back; its predecessor is not told. Raises: BadEvent."""
    subject = headers.get("Nats-Subject", "")
    if not subject.startswith(LOG_SUBJECTS):
        raise BadEvent("not from the log")
    audience = Audience(subject[_LOG_LENGTH:])
    return _event(audience, _needed(headers, Header.SEQUENCE), 0, headers, payload)


def ephemeral_event(subject: str, headers: Mapping[str, str], payload: bytes) -> Event:
    """An event that is never stored. Raises: BadEvent."""
    return _event(Audience(subject[_EPHEMERAL_LENGTH:]), 0, 0, headers, payload)


def _event(
    audience: Audience, sequence: int, last: int, headers: Mapping[str, str], payload: bytes
) -> Event:
    kind = _KINDS.get(headers.get(Header.KIND, ""))
    if kind is None:
        raise BadEvent("unknown kind")
    key = headers.get(Header.KEY, "")
    return Event(
        audience,
        sequence,
        last,
        _number(headers, Header.EPOCH) or 0,
        headers.get(Header.EVENT_ID, ""),
        kind,
        headers.get(Header.STREAM, ""),
        unquote(key) if "%" in key else key,
        headers,
        payload,
    )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadEvent(f"{name} is no number") from None


def _needed(headers: Mapping[str, str], name: str) -> int:
    number = _number(headers, name)
    if number is None:
        raise BadEvent(f"{name} is missing")
    return number
