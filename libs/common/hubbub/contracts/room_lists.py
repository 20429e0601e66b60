"""The part of the messaging contract about finding rooms."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Page, Paging, Text
from hubbub.ids import RoomId, UserId


class MessageFilter(Frozen):
    """Which messages of a room are wanted; every condition that is given has to hold."""

    message_id: Identifier | None = None
    author: Text | None = None
    """A username."""
    text: Text | None = None
    """The whole text, or, with `text_part`, a part of it."""
    text_part: bool = False
    ignore_case: bool = False
    at: datetime | None = None
    """The moment at which it was sent."""
    mentioned: list[Identifier] = Field(default=[], max_length=100)
    """User ids: at least one of them is mentioned."""
    starred_by: list[Identifier] = Field(default=[], max_length=100)
    """User ids: at least one of them starred it."""
    pinned: bool | None = None


class RoomListActions(Contract, Protocol):
    """Directories and lists for administrators. `user_id` is who acts."""

    @action(idempotent=True)
    async def room_name_exists(self, name: str) -> bool:
        """Whether a channel or private group has this name, seen by the caller or not."""
        ...

    @action(idempotent=True)
    async def administered_rooms(
        self,
        user_id: UserId,
        paging: Paging,
        name_part: Text | None = None,
        types: list[str] | None = None,
    ) -> Page:
        """All rooms of the workspace, by name; those whose name holds `name_part`, literally.

        Args:
            types: letters of room types; `discussions` stands for rooms that are discussions.

        Raises: NotAllowed: `error-not-authorized`: no `view-room-administration`.
        """
        ...

    @action(idempotent=True)
    async def administered_room(self, user_id: UserId, room_id: RoomId) -> Document:
        """Any room of the workspace. Raises: NotAllowed: as above; InvalidRoom."""
        ...

    @action(idempotent=True)
    async def own_rooms_named(
        self,
        user_id: UserId,
        name_part: Text,
        paging: Paging,
        owned_only: bool = False,
    ) -> Page:
        """Channels and groups of the caller whose name holds `name_part`, literally; by name.

        Discussions are left out. `owned_only`: only rooms in which the caller is an owner.
        """
        ...

    @action(idempotent=True)
    async def channel_directory(
        self, user_id: UserId, paging: Paging, name_part: Text | None = None
    ) -> Page:
        """Public channels, archived ones too, by name; none without `view-c-room`."""
        ...

    @action(idempotent=True)
    async def user_directory(
        self, user_id: UserId, paging: Paging, name_part: Text | None = None
    ) -> Page:
        """Active users as everybody may see them, by username.

        `emails` only with `view-full-other-user-info`; nobody without `view-outside-room`.
        """
        ...

    @action(idempotent=True)
    async def messages_of(
        self, user_id: UserId, room_id: RoomId, paging: Paging, wanted: MessageFilter
    ) -> Page:
        """Messages of a room, newest first unless `paging` sorts by `ts` the other way.

        Raises: InvalidRoom; NotAllowed: no access to the room.
        """
        ...

    @action(idempotent=True)
    async def changed_messages(
        self, user_id: UserId, room_id: RoomId, since: datetime, count: int = 200
    ) -> list[Document]:
        """Messages sent or changed after `since`, those that changed first, first.

        About `count` of them: those of one moment stay together, so who goes on from the last
        `_updatedAt` misses none. Raises: InvalidRoom; NotAllowed.
        """
        ...
