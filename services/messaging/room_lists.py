"""Directories, and lists for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.room_lists import MessageFilter
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from services.messaging.desk import Desk
from services.messaging.domain import foreign, lists

_ROOM_SORTS: Final = ("name", "fname", "t", "msgs", "usersCount", "ts", "lm", "default", "_id")
_USER_SORTS: Final = ("username", "name", "createdAt", "status", "_id")
_MESSAGE_SORTS: Final = ("ts", "_id")
_ADMINISTERS: Final = "view-room-administration"
_DISCUSSIONS: Final = "discussions"
_MOST_CHANGED: Final = 500  # messages of one answer


class RoomLists:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def room_name_exists(self, name: str) -> bool:
        """See the contract."""
        return await self._desk.store.rooms.by_name(name) is not None

    async def administered_rooms(
        self,
        user_id: UserId,
        paging: Paging,
        name_part: str | None = None,
        types: list[str] | None = None,
    ) -> Page:
        """See the contract."""
        await self._check_administers_rooms(user_id)
        wanted = set(types) if types else None
        discussions = None if wanted is None else _DISCUSSIONS in wanted
        return await self._list_rooms(
            paging,
            name_part=name_part or None,
            types=None if wanted is None else wanted - {_DISCUSSIONS},
            discussions=True if discussions else None,
        )

    async def administered_room(self, user_id: UserId, room_id: RoomId) -> dict[str, Any]:
        """See the contract."""
        await self._check_administers_rooms(user_id)
        room = await self._desk.store.rooms.one(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        return foreign.room_view(room)

    async def own_rooms_named(
        self, user_id: UserId, name_part: str, paging: Paging, owned_only: bool = False
    ) -> Page:
        """See the contract."""
        memberships = self._desk.store.memberships
        places = await (memberships.of(user_id) if owned_only else memberships.places(user_id))
        mine = [
            str(place["rid"])
            for place in places
            if place.get("rid") and (not owned_only or "owner" in foreign.names(place.get("roles")))
        ]
        return await self._list_rooms(
            paging,
            name_part=name_part or None,
            types={"c", "p"},
            discussions=False,
            among=mine,
        )

    async def channel_directory(
        self, user_id: UserId, paging: Paging, name_part: str | None = None
    ) -> Page:
        """See the contract."""
        if not await self._desk.held(user_id, ["view-c-room"]):
            return Page(items=[], total=0)
        return await self._list_rooms(
            paging, name_part=name_part or None, types={"c"}, discussions=False
        )

    async def user_directory(
        self, user_id: UserId, paging: Paging, name_part: str | None = None
    ) -> Page:
        """See the contract."""
        held = await self._desk.held(user_id, ["view-outside-room", "view-full-other-user-info"])
        if "view-outside-room" not in held:
            return Page(items=[], total=0)
        page, total = await self._desk.store.room_lists.users(
            lists.order(paging, _USER_SORTS, {"username": 1}),
            lists.offset(paging),
            lists.limit(paging),
            name_part=name_part or None,
            with_emails="view-full-other-user-info" in held,
            timeout=self._desk.settings.search_timeout,
        )
        return Page(items=page, total=total)

    async def messages_of(
        self, user_id: UserId, room_id: RoomId, paging: Paging, wanted: MessageFilter
    ) -> Page:
        """See the contract."""
        room = await self._desk.readable_room(user_id, room_id)
        page, total = await self._desk.store.room_lists.messages(
            room_id,
            wanted,
            await self._hidden_types_in(room),
            lists.order(paging, _MESSAGE_SORTS, {"ts": -1}),
            lists.offset(paging),
            lists.limit(paging),
            self._desk.settings.search_timeout,
        )
        return Page(items=[foreign.message_view(one, user_id) for one in page], total=total)

    async def changed_messages(
        self, user_id: UserId, room_id: RoomId, since: datetime, count: int = 200
    ) -> list[dict[str, Any]]:
        """See the contract."""
        room = await self._desk.readable_room(user_id, room_id)
        most = max(1, min(count, _MOST_CHANGED))
        found = await self._desk.store.messages.changed_since(
            room_id, since, most, await self._hidden_types_in(room), whole_moments=True
        )
        return [foreign.message_view(message, user_id) for message in found]

    async def _list_rooms(self, paging: Paging, **wanted: Any) -> Page:
        page, total = await self._desk.store.room_lists.rooms(
            lists.order(paging, _ROOM_SORTS, {"name": 1}),
            lists.offset(paging),
            lists.limit(paging),
            timeout=self._desk.settings.search_timeout,
            **wanted,
        )
        return Page(items=[foreign.room_view(room) for room in page], total=total)

    async def _check_administers_rooms(self, user_id: UserId) -> None:
        if not await self._desk.held(user_id, [_ADMINISTERS]):
            raise NotAllowed("Not Authorized", code="error-not-authorized")

    async def _hidden_types_in(self, room: dict[str, Any]) -> list[str]:
        rules = await self._desk.facts.rules()
        return foreign.hidden_types(list(rules.hidden_types), room)
