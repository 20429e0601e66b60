"""Reading messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.messages import History, MessageNotFound, Surroundings
from hubbub.errors import NotAllowed
from hubbub.ids import MessageId, RoomId, UserId
from services.messaging.desk import Desk
from services.messaging.domain import foreign, lists


class Reading:
    """The doors for what was said."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def get_message(self, user_id: UserId, message_id: MessageId) -> dict[str, Any]:
        """See the contract."""
        message, _ = await self._readable(user_id, message_id)
        return foreign.message_view(message, user_id)

    async def history(
        self,
        user_id: UserId | None,
        room_id: RoomId,
        latest: datetime | None = None,
        oldest: datetime | None = None,
        inclusive: bool = False,
        count: int = 20,
        offset: int = 0,
        last_seen: datetime | None = None,
        show_thread_messages: bool = True,
    ) -> History:
        """See the contract."""
        room = await self._desk.readable_room(user_id, room_id)
        hidden = await self._hidden(room)
        messages = self._desk.store.messages
        page = await messages.page(
            room_id,
            "older",
            before=latest,
            after=oldest,
            inclusive=inclusive,
            count=lists.history_count(count),
            offset=max(0, min(offset, lists.MAX_OFFSET)),
            hidden=hidden,
            threads=show_thread_messages,
        )
        views = [foreign.message_view(message, user_id) for message in page]
        oldest_shown = foreign.moment(page[-1].get("ts")) if page else None
        if last_seen is None or oldest_shown is None or oldest_shown <= last_seen:
            return History(messages=views)
        not_loaded = await messages.count_between(room_id, last_seen, oldest_shown, hidden)
        first = await messages.first_after(room_id, last_seen, hidden)
        return History(
            messages=views,
            unread_not_loaded=not_loaded,
            first_unread=None if first is None else foreign.message_view(first, user_id),
        )

    async def next_messages(
        self, user_id: UserId, room_id: RoomId, start: datetime, count: int = 20
    ) -> list[dict[str, Any]]:
        """See the contract."""
        room = await self._desk.readable_room(user_id, room_id)
        page = await self._desk.store.messages.page(
            room_id,
            "newer",
            after=start,
            count=lists.history_count(count),
            hidden=await self._hidden(room),
        )
        return [foreign.message_view(message, user_id) for message in page]

    async def surrounding_messages(
        self,
        user_id: UserId,
        message_id: MessageId,
        count: int = 50,
        show_thread_messages: bool = True,
    ) -> Surroundings:
        """See the contract."""
        message, room = await self._readable(user_id, message_id)
        hidden = await self._hidden(room)
        half = max(1, lists.history_count(count) // 2)
        room_id = str(message["rid"])
        pages: dict[str, list[dict[str, Any]]] = {}
        for direction in ("older", "newer"):
            # One more than shown tells whether there are further ones.
            pages[direction] = await self._desk.store.messages.page(
                room_id,
                "older" if direction == "older" else "newer",
                before=message["ts"] if direction == "older" else None,
                after=message["ts"] if direction == "newer" else None,
                count=half + 1,
                hidden=hidden,
                threads=show_thread_messages,
            )
        older, newer = pages["older"], pages["newer"]
        shown = [*reversed(older[:half]), message, *newer[:half]]
        return Surroundings(
            messages=[foreign.message_view(one, user_id) for one in shown],
            more_before=len(older) > half,
            more_after=len(newer) > half,
        )

    async def thread_messages(self, user_id: UserId, thread_id: MessageId, paging: Paging) -> Page:
        """See the contract."""
        await self._readable(user_id, thread_id)
        await self.read_thread(user_id, thread_id)
        order = lists.order(paging, ("ts",), {"ts": 1})
        page, total = await self._desk.store.messages.thread(
            thread_id, order, lists.offset(paging), lists.limit(paging)
        )
        return Page(items=[foreign.message_view(one, user_id) for one in page], total=total)

    async def read_thread(self, user_id: UserId, thread_id: MessageId) -> None:
        """See the contract."""
        parent = await self._desk.store.messages.one(thread_id)
        if parent is not None:
            memberships = self._desk.store.memberships
            await memberships.mark_thread_read(str(parent["rid"]), user_id, thread_id)

    async def _readable(
        self, user_id: UserId, message_id: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A message and its room. Raises: MessageNotFound, also without access."""
        message = await self._desk.store.messages.one(message_id)
        if message is None or message.get("_hidden"):
            raise MessageNotFound("Message not found")
        try:
            room = await self._desk.readable_room(user_id, str(message.get("rid")))
        except NotAllowed:
            raise MessageNotFound("Message not found") from None
        return message, room

    async def _hidden(self, room: dict[str, Any]) -> list[str]:
        rules = await self._desk.facts.rules()
        return foreign.hidden_types(list(rules.hidden_types), room)
