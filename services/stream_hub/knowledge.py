"""What decisions look up, fetched for a whole batch at a time and kept current by the changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from services.stream_hub.domain import Change, RoomFacts, facts_of, hidden_types, needs
from services.stream_hub.domain.change import (
    MESSAGES,
    ROOMS,
    SETTINGS,
    USERS,
    Moment,
    identifier,
)
from services.stream_hub.domain.names import REAL_NAMES_SETTING, people_of
from services.stream_hub.domain.workspace import ERASURE_SETTING, HIDDEN_TYPES_SETTING, erasure


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

    async def erasure(self) -> str:
        """What becomes of the messages of a deleted account."""
        ...

    async def real_names(self) -> bool:
        """Whether the workspace shows names instead of usernames."""
        ...

    async def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        """Names of those of the users who have one."""
        ...

    async def roles_before(self, user_id: str, moment: Moment) -> list[str] | None:
        """The roles that a user held just before `moment`; None when nobody knows any more."""
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
        self._erasure = erasure(None)
        self._real_names = False
        self._names: OrderedDict[str, str | None] = OrderedDict()
        self._roles: dict[tuple[str, Moment], list[str] | None] = {}

    async def begin(self) -> None:
        """Forget everything, and look up what concerns all rooms."""
        self._rooms.clear()
        self._names.clear()
        self._real_names = await self._facts.real_names()
        self._hidden_types = await self._facts.hidden_types()
        self._erasure = await self._facts.erasure()

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Look up what deciding `changes` needs, with one query per kind."""
        self._documents, self._ended, self._roles = {}, {}, {}
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
            if wanted.roles_before is not None:
                # Rare: a role of the workspace was given or taken.
                self._roles[wanted.roles_before] = await self._facts.roles_before(
                    *wanted.roles_before
                )
        await self._prepare_names(changes)
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
        elif change.collection == SETTINGS and change.id == ERASURE_SETTING:
            value = change.document.get("value") if change.document is not None else None
            self._erasure = erasure(value)
        elif change.collection == SETTINGS and change.id == REAL_NAMES_SETTING:
            # Of messages that are decided right behind it nobody has looked up the names: they
            # are told with those that they were written with.
            self._real_names = (change.document or {}).get("value") is True
        elif change.collection == USERS and change.id in self._names:
            self._names[change.id] = _name((change.document or {}).get("name"))

    @property
    def real_names(self) -> bool:
        """See `domain.event.Known`."""
        return self._real_names

    def name(self, user_id: str) -> str | None:
        """See `domain.event.Known`."""
        return self._names.get(user_id)

    @property
    def hidden_types(self) -> frozenset[str]:
        """See `domain.event.Known`."""
        return self._hidden_types

    @property
    def erasure(self) -> str:
        """See `domain.event.Known`."""
        return self._erasure

    def roles_before(self, user_id: Any, moment: Moment) -> list[str] | None:
        """See `domain.event.Known`."""
        return self._roles.get((user_id, moment))

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

    async def _prepare_names(self, changes: Iterable[Change]) -> None:
        """Look names up once; then they follow the changes of the users."""
        if not self._real_names:
            return
        wanted: dict[str, None] = {}
        for change in changes:
            if change.collection == MESSAGES:
                wanted.update(dict.fromkeys(people_of(change)))
        unknown = [user_id for user_id in wanted if user_id not in self._names]
        for user_id in wanted:
            if user_id in self._names:
                self._names.move_to_end(user_id)
        while len(self._names) > self._limit:
            self._names.popitem(last=False)
        if unknown:
            found = await self._facts.names(unknown)
            for user_id in unknown:
                self._names[user_id] = found.get(user_id)

    def _learn_room(self, change: Change) -> None:
        room_id = identifier(change.id)
        if room_id is None:
            return
        if change.document is not None and change.is_written:
            self._rooms[room_id] = facts_of(change.document)
            self._rooms.move_to_end(room_id)
        elif change.operation == "delete":
            self._rooms[room_id] = None


def _name(value: object) -> str | None:
    return value if type(value) is str and value else None
