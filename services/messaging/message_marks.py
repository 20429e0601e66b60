"""Stars, pins, followed threads, reports."""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.marks import Pinned
from hubbub.contracts.messages import ActionNotAllowed, MessageNotFound
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, RoomId, UserId, random_id
from services.messaging.access import hidden_in, visible_message, visible_room
from services.messaging.desk import Desk
from services.messaging.domain import discussions, foreign, lists, marks, records
from services.messaging.domain.sending import Person
from services.messaging.store.marks import NOTICE, PinnedNow
from services.messaging.store.transactions import Missing

_TRIES: Final = 3  # readings of a message that somebody else pins at the same time
_RECEIPTS: Final = "Message_Read_Receipt_Enabled"


class MessageMarks:
    """The doors for what members put on messages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def star_message(self, user_id: UserId, message_id: MessageId, starred: bool) -> None:
        """See the contract."""
        message, _ = await visible_message(self._desk, user_id, message_id)
        marks.may_star(await self._desk.facts.rules())
        room_id = str(message["rid"])
        await self._check_member(room_id, user_id)
        await self._desk.store.marks.star(room_id, message_id, user_id, starred=starred)

    async def pin_message(self, user_id: UserId, message_id: MessageId) -> Pinned:
        """See the contract."""
        actor = await self._desk.person(user_id)
        for _ in range(_TRIES):
            message, room = await self._to_pin(user_id, message_id)
            notice = await self._notice_of(message)
            if notice is None:
                pinned = await self._pin(message, room, actor)
                if pinned is None:
                    continue  # somebody else was faster
                message, notice = pinned.message, pinned.stored.messages[0]
            return Pinned(
                message=foreign.message_view(message, user_id),
                notice=foreign.message_view(notice, user_id),
            )
        raise MessageNotFound("Message not found")

    async def unpin_message(self, user_id: UserId, message_id: MessageId) -> None:
        """See the contract."""
        message, _ = await self._to_pin(user_id, message_id)
        if message.get("pinned") is True:
            await self._desk.write(
                str(message["rid"]),
                lambda deadline: self._desk.store.marks.unpin(message, deadline),
            )

    async def follow_message(self, user_id: UserId, message_id: MessageId, following: bool) -> None:
        """See the contract."""
        marks.may_thread(await self._desk.facts.rules())
        message, _ = await visible_message(self._desk, user_id, message_id)
        room_id, thread_id = str(message["rid"]), str(message.get("tmid") or message["_id"])
        await self._desk.store.marks.follow(room_id, thread_id, user_id, following=following)
        if not following:
            memberships = self._desk.store.memberships
            await memberships.mark_thread_read(room_id, user_id, thread_id)

    async def mark_unread(
        self,
        user_id: UserId,
        room_id: RoomId | None = None,
        first_unread: MessageId | None = None,
    ) -> None:
        """See the contract."""
        if room_id is not None:
            message = await self._newest(user_id, room_id)
        else:
            message = await self._of_somebody_else(user_id, first_unread)
        memberships = self._desk.store.memberships
        membership = await memberships.one(str(message["rid"]), user_id)
        if membership is None:
            raise ActionNotAllowed("Not allowed")
        seen = marks.last_seen_before(message, membership)
        if seen is not None:
            fields = {"ls": seen, "alert": True, "open": True}
            await memberships.set_fields(str(message["rid"]), user_id, fields)

    async def report_message(
        self, user_id: UserId, message_id: MessageId, description: str
    ) -> None:
        """See the contract."""
        reporter = await self._desk.person(user_id)
        description = marks.checked_description(description, await self._desk.facts.rules())
        message, room = await visible_message(self._desk, user_id, message_id)
        report = marks.report(message, room, reporter, description)
        await self._desk.store.reports.keep(random_id(), report)

    async def read_receipts(self, user_id: UserId, message_id: MessageId) -> list[dict[str, Any]]:
        """See the contract."""
        message, _ = await visible_message(self._desk, user_id, message_id)
        sent = foreign.moment(message.get("ts"))
        if sent is None or await self._desk.facts.setting(_RECEIPTS) is not True:
            return []
        seen = await self._desk.store.marks.seen_by(str(message["rid"]), sent)
        return [marks.receipt(message_id, membership) for membership in seen]

    async def starred_messages(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        """See the contract."""
        hidden = await self._hidden_for(user_id, room_id)
        page, total = await self._desk.store.marks.starred(
            room_id, user_id, hidden, *_newest_first(paging)
        )
        return _page(page, total, user_id)

    async def pinned_messages(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        """See the contract."""
        hidden = await self._hidden_for(user_id, room_id)
        page, total = await self._desk.store.marks.pinned(room_id, hidden, *_newest_first(paging))
        return _page(page, total, user_id)

    async def mentioning_messages(
        self, user_id: UserId, room_id: RoomId, paging: Paging, oldest_first: bool = False
    ) -> Page:
        """See the contract."""
        hidden = await self._hidden_for(user_id, room_id)
        order, part = _newest_first(paging)
        if oldest_first:
            order = [(field, -way) for field, way in order]
        page, total = await self._desk.store.marks.mentioning(room_id, user_id, hidden, order, part)
        return _page(page, total, user_id)

    async def discussion_messages(
        self, user_id: UserId, room_id: RoomId, paging: Paging, text: str | None = None
    ) -> Page:
        """See the contract."""
        hidden = await self._hidden_for(user_id, room_id)
        page, total = await self._desk.store.marks.leading_to_discussions(
            room_id, text or None, hidden, *_newest_first(paging)
        )
        return _page(page, total, user_id)

    async def _pin(
        self, message: dict[str, Any], room: dict[str, Any], actor: Person
    ) -> PinnedNow | None:
        """Pin a message and tell the room; None: it is no longer as `message` says."""
        room_id = str(message["rid"])
        announcement = records.system_message(
            random_id(),
            "message_pinned",
            "",
            room_id=room_id,
            actor=actor,
            extra={"attachments": [discussions.quote(message, room)]},
        )
        try:
            pinned = await self._desk.write(
                room_id,
                lambda deadline: self._desk.store.marks.pin(
                    message, announcement, actor.short_reference, deadline
                ),
            )
        except Missing:
            raise MessageNotFound("Message not found") from None
        if pinned is not None:
            self._desk.effects.on_stored(room_id, pinned.stored)
        return pinned

    async def _to_pin(
        self, user_id: UserId, message_id: MessageId
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        message, room = await visible_message(self._desk, user_id, message_id)
        room_id = str(message["rid"])
        held = await self._desk.held(user_id, [marks.PIN], room_id)
        marks.may_pin(message, held, await self._desk.facts.rules())
        await self._check_member(room_id, user_id)
        return message, room

    async def _notice_of(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """The system message that told of a pinned message."""
        if message.get("pinned") is not True or not isinstance(message.get(NOTICE), str):
            return None
        return await self._desk.store.messages.one(message[NOTICE])

    async def _newest(self, user_id: UserId, room_id: RoomId) -> dict[str, Any]:
        hidden = await self._hidden_for(user_id, room_id)
        newest = await self._desk.store.messages.page(
            room_id, "older", count=1, hidden=hidden, threads=False
        )
        if not newest:
            raise BadRequest(
                "There are no messages to mark unread", code="error-no-message-for-unread"
            )
        return newest[0]

    async def _of_somebody_else(
        self, user_id: UserId, message_id: MessageId | None
    ) -> dict[str, Any]:
        try:
            message, _ = await visible_message(self._desk, user_id, message_id or "")
        except MessageNotFound:
            raise ActionNotAllowed("Not allowed") from None
        if (message.get("u") or {}).get("_id") == user_id:
            raise ActionNotAllowed("Not allowed")
        return message

    async def _hidden_for(self, user_id: UserId, room_id: RoomId) -> list[str]:
        return await hidden_in(self._desk, await visible_room(self._desk, user_id, room_id))

    async def _check_member(self, room_id: str, user_id: str) -> None:
        if await self._desk.store.memberships.one(room_id, user_id) is None:
            raise NotAllowed("Not allowed")


def _newest_first(paging: Paging) -> tuple[lists.Order, slice]:
    start = lists.offset(paging)
    return [("ts", -1), ("_id", -1)], slice(start, start + lists.limit(paging))


def _page(messages: list[dict[str, Any]], total: int, viewer_id: str) -> Page:
    views = [foreign.message_view(message, viewer_id) for message in messages]
    return Page(items=views, total=total)
