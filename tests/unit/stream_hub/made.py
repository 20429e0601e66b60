"""Change events as the server sends them, and what a decision may know, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.stream_hub.domain import Change, Decision, RoomFacts, decide, facts_of, read

WHEN = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
DATE = b'{"$date":1777636800250}'
TOKEN = "8265A1B2C3000000012B0229296E04"


def raw(
    collection: str,
    operation: str,
    document: Mapping[str, Any] | None = None,
    *,
    id_: Any = None,
    before: Mapping[str, Any] | None = None,
    updated: Mapping[str, Any] | None = None,
    removed: tuple[str, ...] = (),
    truncated: tuple[str, ...] = (),
) -> dict[str, Any]:
    """An event as the hub's pipeline shapes it."""
    updated = updated or {}
    event: dict[str, Any] = {
        "_id": {"_data": TOKEN},
        "operationType": operation,
        "ns": {"coll": collection},
        "documentKey": {"_id": (document or {}).get("_id") if id_ is None else id_},
        "wallTime": WHEN,
        "changed": [*updated, *truncated],
        "removed": list(removed),
    }
    if document is not None:
        event["fullDocument"] = document
    if before is not None:
        event["before"] = before
    if collection == "users":
        event["values"] = [{"k": name, "v": value} for name, value in updated.items()]
    return event


def change(*args: Any, **keywords: Any) -> Change:
    """The same, read."""
    found = read(raw(*args, **keywords))
    assert found is not None
    return found


class Known:
    """Knowledge that a test made up."""

    def __init__(
        self,
        *,
        rooms: Mapping[str, Mapping[str, Any]] | None = None,
        trash: Mapping[Any, Mapping[str, Any]] | None = None,
        hidden: frozenset[str] = frozenset(),
        erasure: str = "Delete",
        roles: list[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._rooms = rooms or {}
        self._trash = trash or {}
        self.hidden_types = hidden
        self.erasure = erasure
        self._roles = roles
        self.real_names = names is not None
        self._names = names or {}

    def name(self, user_id: str) -> str | None:
        return self._names.get(user_id)

    def room(self, room_id: str) -> RoomFacts | None:
        document = self._rooms.get(room_id)
        return facts_of(document) if document is not None else None

    def room_document(self, room_id: str) -> Mapping[str, Any] | None:
        return self._rooms.get(room_id)

    def roles_before(self, user_id: Any, moment: tuple[int, int]) -> list[str] | None:
        return self._roles

    def ended_membership(self, membership_id: Any) -> Mapping[str, Any] | None:
        return self._trash.get(membership_id) if isinstance(membership_id, str) else None


GENERAL = {"_id": "GENERAL", "t": "c", "name": "general chat"}


def decided(*args: Any, known: Known | None = None, **keywords: Any) -> Decision:
    """What follows from a change."""
    return decide(change(*args, **keywords), known or Known(rooms={"GENERAL": GENERAL}))


def shown(decision: Decision) -> list[tuple[str, str, str, str, bytes]]:
    """(audience, kind, stream, key, payload) of each event."""
    return [
        (
            event.audience,
            event.headers["Hub-Kind"],
            event.headers.get("Hub-Stream", ""),
            event.headers.get("Hub-Key", ""),
            event.payload,
        )
        for event in decision.events
    ]


def frame(stream: str, key: str, args: bytes) -> bytes:
    """A DDP message, spelled out on purpose: these bytes are what clients get."""
    return (
        b'{"msg":"changed","collection":"stream-%b","id":"id",'
        b'"fields":{"eventName":"%b","args":%b}}' % (stream.encode(), key.encode(), args)
    )
