"""What decisions look up, fetched for a whole batch at a time and kept current by the changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from services.stream_hub.domain import Change, RoomFacts, facts_of, hidden_types, needs
from services.stream_hub.domain.change import ROOMS, SETTINGS, identifier
from services.stream_hub.domain.workspace import HIDDEN_TYPES_SETTING


class Facts(Protocol):
    """Where knowledge comes from."""

    async def room_facts(self, room_ids: Iterable[str]) -> dict[str, RoomFacts]:
        """Type and name of those of the rooms that exist."""
        ...

    async def room_documents(self, room_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Those of the rooms that exist."""
        ...

    async def ended_memberships(self, ids: Iterable[Any]) -> dict[Any, Mapping[str, Any]]:
        """Trash records of those of the memberships that have one."""
        ...

    async def hidden_types(self) -> frozenset[str]:
        """System messages that the workspace does not show."""
        ...


class Knowledge:
    """Answers the questions of `domain.decide`.

    Facts of rooms are looked up once and then follow the changes, in the order of the changes.
    """

    def __init__(self, facts: Facts, *, limit: int) -> None:
        self._facts = facts
        self._limit = limit
        self._rooms: OrderedDict[str, RoomFacts | None] = OrderedDict()
        self._documents: Mapping[str, Mapping[str, Any]] = {}
        self._ended: Mapping[Any, Mapping[str, Any]] = {}
        self._hidden_types: frozenset[str] = frozenset()

    async def begin(self) -> None:
        """Forget everything, and look up what concerns all rooms."""
        self._rooms.clear()
        self._hidden_types = await self._facts.hidden_types()

    async def prepare(self, changes: Iterable[Change]) -> None:
        """Look up what deciding `changes` needs, with one query per kind."""
        self._documents, self._ended = {}, {}
        rooms: set[str] = set()
        documents: set[str] = set()
        ended: set[str] = set()
        for change in changes:
            wanted = needs(change)
            if wanted.room is not None and wanted.room not in self._rooms:
                rooms.add(wanted.room)
            if wanted.room_document is not None:
                documents.add(wanted.room_document)
            if wanted.ended_membership is not None:
                ended.add(wanted.ended_membership)
        while len(self._rooms) > self._limit:
            self._rooms.popitem(last=False)
        if rooms:
            found = await self._facts.room_facts(rooms)
            for room_id in rooms:
                self._rooms[room_id] = found.get(room_id)
        if documents:
            self._documents = await self._facts.room_documents(documents)
        if ended:
            self._ended = await self._facts.ended_memberships(ended)

    def learn(self, change: Change) -> None:
        """Follow a change before it is decided."""
        if change.collection == ROOMS:
            self._learn_room(change)
        elif change.collection == SETTINGS and change.id == HIDDEN_TYPES_SETTING:
            value = change.document.get("value") if change.document is not None else None
            self._hidden_types = hidden_types(value)

    @property
    def hidden_types(self) -> frozenset[str]:
        """See `domain.event.Known`."""
        return self._hidden_types

    def room(self, room_id: str) -> RoomFacts | None:
        """See `domain.event.Known`."""
        facts = self._rooms.get(room_id)
        if facts is not None:
            self._rooms.move_to_end(room_id)
        return facts

    def room_document(self, room_id: str) -> Mapping[str, Any] | None:
        """See `domain.event.Known`."""
        return self._documents.get(room_id)

    def ended_membership(self, membership_id: Any) -> Mapping[str, Any] | None:
        """See `domain.event.Known`."""
        key = identifier(membership_id)
        return self._ended.get(key) if key is not None else None

    def _learn_room(self, change: Change) -> None:
        room_id = identifier(change.id)
        if room_id is None:
            return
        if change.document is not None and change.is_written:
            self._rooms[room_id] = facts_of(change.document)
            self._rooms.move_to_end(room_id)
        elif change.operation == "delete":
            self._rooms[room_id] = None
