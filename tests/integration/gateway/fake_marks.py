"""Marks on messages, lists of them, and commands, as fakes that keep their contracts' promises."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from hubbub.contracts.commands import CommandActions, Invocation, NoSuchPlace, UnknownCommand
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.marks import ChangesPage, MarkActions, Pinned
from hubbub.contracts.messages import ActionNotAllowed, MessageNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import MessageId, RoomId, UserId
from tests.integration.gateway.world import Doc, World, page

_COMMAND = {
    "command": "shrug",
    "description": "Shrugs",
    "params": "",
    "clientOnly": False,
    "providesPreview": False,
}


class FakeMarks(MarkActions, CommandActions):
    """Marks and commands of a world."""

    world: World

    def _message(self, user_id: str, message_id: str) -> Doc:
        message = self.world.messages.get(message_id)
        if message is None or not self.world.can_see(self.world.rooms[message["rid"]], user_id):
            raise MessageNotFound("Message not found")
        return message

    def _in_room(self, user_id: str, room_id: str) -> list[Doc]:
        room = self.world.rooms.get(room_id)
        if room is None or not self.world.can_see(room, user_id):
            raise NotAllowed("Not allowed")
        return self.world.in_room(room_id)

    def _page(self, user_id: str, room_id: str, key: str, paging: Paging) -> Page:
        return page([one for one in self._in_room(user_id, room_id) if one.get(key)], paging)

    async def star_message(self, user_id: UserId, message_id: MessageId, starred: bool) -> None:
        self._message(user_id, message_id)["starred"] = [{"_id": user_id}] if starred else []

    async def pin_message(self, user_id: UserId, message_id: MessageId) -> Pinned:
        message = self._message(user_id, message_id)
        message["pinned"] = True
        return Pinned(message=message, notice={**message, "t": "message_pinned"})

    async def unpin_message(self, user_id: UserId, message_id: MessageId) -> None:
        self._message(user_id, message_id)["pinned"] = False

    async def follow_message(self, user_id: UserId, message_id: MessageId, following: bool) -> None:
        self._message(user_id, message_id)["replies"] = [user_id] if following else []

    async def mark_unread(
        self,
        user_id: UserId,
        room_id: RoomId | None = None,
        first_unread: MessageId | None = None,
    ) -> None:
        if room_id is not None:
            self._in_room(user_id, room_id)
        elif first_unread not in self.world.messages:
            raise ActionNotAllowed("Not allowed")

    async def starred_messages(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        return self._page(user_id, room_id, "starred", paging)

    async def pinned_messages(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        return self._page(user_id, room_id, "pinned", paging)

    async def mentioning_messages(
        self, user_id: UserId, room_id: RoomId, paging: Paging, oldest_first: bool = False
    ) -> Page:
        return self._page(user_id, room_id, "mentions", paging)

    async def discussion_messages(
        self, user_id: UserId, room_id: RoomId, paging: Paging, text: str | None = None
    ) -> Page:
        return self._page(user_id, room_id, "drid", paging)

    async def deleted_messages(
        self, user_id: UserId, room_id: RoomId, since: datetime, paging: Paging
    ) -> Page:
        self._in_room(user_id, room_id)
        return page([one for one in self.world.deleted if one["rid"] == room_id], paging)

    async def search_messages(
        self, user_id: UserId, room_id: RoomId, text: str, paging: Paging
    ) -> Page:
        found = [one for one in self._in_room(user_id, room_id) if text in one["msg"]]
        return page(found, paging)

    async def report_message(
        self, user_id: UserId, message_id: MessageId, description: str
    ) -> None:
        self._message(user_id, message_id)

    async def read_receipts(self, user_id: UserId, message_id: MessageId) -> list[Document]:
        self._message(user_id, message_id)
        return []

    async def reports_by_user(
        self,
        user_id: UserId,
        paging: Paging,
        oldest: datetime | None = None,
        latest: datetime | None = None,
        selector: str | None = None,
    ) -> Page:
        return page([], paging)

    async def reported_messages(self, user_id: UserId, author_id: str, paging: Paging) -> Page:
        return page([], paging)

    async def reports_of_message(
        self, user_id: UserId, message_id: MessageId, paging: Paging
    ) -> Page:
        return page([], paging)

    async def dismiss_reports(
        self,
        user_id: UserId,
        author_id: str | None = None,
        message_id: MessageId | None = None,
    ) -> int:
        return 0

    async def list_commands(self, user_id: UserId) -> list[Document]:
        return [_COMMAND]

    async def run_command(self, user_id: UserId, invocation: Invocation) -> None:
        if invocation.command != _COMMAND["command"]:
            raise UnknownCommand("Invalid Command Provided")
        room = self.world.rooms.get(invocation.room_id)
        if room is None or not self.world.can_see(room, user_id):
            raise NoSuchPlace("Not allowed")

    async def threads(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        kind: Literal["all", "following", "unread"] = "all",
        text: str | None = None,
    ) -> Page:
        messages = self.world.in_room(room_id)
        parents = {message["tmid"] for message in messages if "tmid" in message}
        found = [message for message in messages if message["_id"] in parents]
        if kind == "following":
            found = [message for message in found if user_id in message.get("replies", ())]
        if kind == "unread":
            unread = self.world.memberships.get((room_id, user_id), {}).get("tunread", ())
            found = [message for message in found if message["_id"] in unread]
        part = (text or "").casefold()
        return page([message for message in found if part in message["msg"].casefold()], paging)

    async def changes_page(
        self,
        user_id: UserId,
        room_id: RoomId,
        kind: Literal["updated", "deleted"],
        count: int,
        after: datetime | None = None,
        before: datetime | None = None,
        thread_id: MessageId | None = None,
        threads_only: bool = False,
    ) -> ChangesPage:
        key = "_updatedAt" if kind == "updated" else "_deletedAt"
        source = self.world.in_room(room_id) if kind == "updated" else self.world.deleted
        items = [
            one
            for one in source
            if one["rid"] == room_id
            and (after is None or one[key] > after)
            and (before is None or one[key] < before)
        ]
        items.sort(key=lambda one: one[key], reverse=before is not None)
        if kind == "deleted":
            items = [{"_id": one["_id"], "_deletedAt": one["_deletedAt"]} for one in items]
        return ChangesPage(items=items[:count], more=len(items) > count)
