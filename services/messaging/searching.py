"""Finding messages by their text."""

from __future__ import annotations

from hubbub.contracts.documents import Page, Paging
from hubbub.ids import RoomId, UserId
from services.messaging.access import hidden_in, visible_room
from services.messaging.desk import Desk
from services.messaging.domain import foreign, lists, searching


class Searching:
    """The door for searches."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def search_messages(
        self, user_id: UserId, room_id: RoomId, text: str, paging: Paging
    ) -> Page:
        """See the contract."""
        wanted = searching.wanted(text)
        room = await visible_room(self._desk, user_id, room_id)
        start = lists.offset(paging)
        hidden = await hidden_in(self._desk, room)
        with self._desk.metrics.searching():
            page, total = await self._desk.store.searching.find(
                room_id,
                wanted,
                hidden,
                slice(start, start + lists.limit(paging)),
                self._desk.settings.search_timeout,
            )
        return Page(items=[foreign.message_view(one, user_id) for one in page], total=total)
