"""The part of the messaging contract about marking and finding messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Page, Paging, Text
from hubbub.ids import MessageId, RoomId, UserId

SEARCHED_LITERALLY = 20_000
"""Messages of a room, the newest, that a search for literal text looks at."""


class Pinned(Frozen):
    """What pinning a message gives."""

    message: Document
    """The pinned message."""
    notice: Document
    """The system message that tells the room."""


class ChangesPage(Frozen):
    """Some of what changed in a room, with where to go on."""

    items: list[Document]
    """Messages, or `{"_id", "_deletedAt"}` of deleted ones."""
    more: bool
    """Whether there is more in the direction that was asked for."""


class MarkActions(Contract, Protocol):
    """Stars, pins, followed threads, search, reports. `user_id` is who acts.

    A message, room or thread that the caller may not read is answered like one that does not
    exist: actions on a message raise MessageNotFound, those on a room NotAllowed.
    """

    @action(idempotent=True)
    async def star_message(self, user_id: UserId, message_id: MessageId, starred: bool) -> None:
        """Put the caller's own star on a message, or take it off. Nobody else sees it.

        Raises: MessageNotFound; ActionNotAllowed: stars are switched off; NotAllowed: no
        member.
        """
        ...

    @action(idempotent=True)
    async def pin_message(self, user_id: UserId, message_id: MessageId) -> Pinned:
        """Pin a message for everybody and tell the room by a system message that quotes it.

        A pinned one stays as it is, and the system message that told of it is returned.

        Raises: MessageNotFound; ActionNotAllowed: pinning is switched off, no `pin-message`, a
        system message; NotAllowed: no member.
        """
        ...

    @action(idempotent=True)
    async def unpin_message(self, user_id: UserId, message_id: MessageId) -> None:
        """Take the pin off. One that is not pinned: no effect. Raises: as `pin_message`."""
        ...

    @action(idempotent=True)
    async def follow_message(self, user_id: UserId, message_id: MessageId, following: bool) -> None:
        """Hear of replies in a message's thread, or no longer.

        Of a reply its thread is meant. Raises: MessageNotFound; NotAllowed: threads are
        switched off.
        """
        ...

    @action(idempotent=True)
    async def mark_unread(
        self,
        user_id: UserId,
        room_id: RoomId | None = None,
        first_unread: MessageId | None = None,
    ) -> None:
        """Everything from a message on counts as not yet seen.

        From `room_id`'s newest message, or from `first_unread`, which must be somebody else's.
        What is not seen yet stays so.

        Raises: BadRequest: `error-no-message-for-unread`: the room has no message;
        ActionNotAllowed: no such message, an own one, or no member.
        """
        ...

    @action(idempotent=True)
    async def starred_messages(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        """Messages with the caller's star, newest first. Raises: NotAllowed."""
        ...

    @action(idempotent=True)
    async def pinned_messages(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        """Pinned messages, newest first. Raises: NotAllowed."""
        ...

    @action(idempotent=True)
    async def mentioning_messages(
        self, user_id: UserId, room_id: RoomId, paging: Paging, oldest_first: bool = False
    ) -> Page:
        """Messages that mention the caller by name, newest first. Raises: NotAllowed."""
        ...

    @action(idempotent=True)
    async def deleted_messages(
        self, user_id: UserId, room_id: RoomId, since: datetime, paging: Paging
    ) -> Page:
        """`{"_id", "_deletedAt"}` of messages that went after `since`. Raises: NotAllowed."""
        ...

    @action(idempotent=True)
    async def discussion_messages(
        self, user_id: UserId, room_id: RoomId, paging: Paging, text: Text | None = None
    ) -> Page:
        """Messages that lead to discussions, newest first; those that hold `text`, literally.

        Raises: NotAllowed.
        """
        ...

    @action(idempotent=True)
    async def threads(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        kind: Literal["all", "following", "unread"] = "all",
        text: Text | None = None,
    ) -> Page:
        """First messages of threads, latest activity first.

        Args:
            kind: all, those the caller follows, or those with replies the caller has not seen.
            text: only those that hold it, literally, in any case.

        Raises: NotAllowed: also when threads are switched off.
        """
        ...

    @action(idempotent=True)
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
        """Changes strictly after a moment, oldest first, or before one, newest first.

        At most 500, and further ones of the same moment as the last: going on from that moment
        misses none.

        Args:
            thread_id: only replies of this thread.
            threads_only: only first messages of threads.

        Raises: NotAllowed: also when threads are asked for and switched off.
        """
        ...

    @action(idempotent=True)
    async def search_messages(
        self, user_id: UserId, room_id: RoomId, text: Text, paging: Paging
    ) -> Page:
        """Messages of a room that hold every word of `text`, newest first.

        Words count whole and in any case. Quoted words have to stand together; `/…/` is literal
        text, looked for in the newest `SEARCHED_LITERALLY` messages, as is a text without any
        word. Nothing in `text` is a pattern or an operator.

        Raises: NotAllowed; BadRequest: `error-searchText-param-not-provided`: only white space.
        """
        ...

    @action(idempotent=True)
    async def report_message(
        self, user_id: UserId, message_id: MessageId, description: Text
    ) -> None:
        """Tell the workspace's moderators about a message. Repeated: the description changes.

        Raises: MessageNotFound; BadRequest: `error-invalid-description`: empty, or longer than
        a message may be.
        """
        ...

    @action(idempotent=True)
    async def read_receipts(self, user_id: UserId, message_id: MessageId) -> list[Document]:
        """Who has seen a message: `{"_id", "messageId", "userId", "ts", "user"}` of at most 1000.

        Nobody while read receipts are switched off. `ts` is when they last looked into the
        room. Raises: MessageNotFound.
        """
        ...

    @action(idempotent=True)
    async def reports_by_user(
        self,
        user_id: UserId,
        paging: Paging,
        oldest: datetime | None = None,
        latest: datetime | None = None,
        selector: Text | None = None,
    ) -> Page:
        """Whose messages were reported, latest report first.

        `{"userId", "username", "name", "message", "msgId", "ts", "count", "rooms"}` each.
        `selector`: a part of the username, literally. Raises: NotAllowed: no
        `view-moderation-console`.
        """
        ...

    @action(idempotent=True)
    async def reported_messages(
        self, user_id: UserId, author_id: Identifier, paging: Paging
    ) -> Page:
        """Reports about one user's messages, newest first. Raises: NotAllowed: as above."""
        ...

    @action(idempotent=True)
    async def reports_of_message(
        self, user_id: UserId, message_id: MessageId, paging: Paging
    ) -> Page:
        """Reports about one message, newest first. Raises: NotAllowed: as above."""
        ...

    @action(idempotent=True)
    async def dismiss_reports(
        self,
        user_id: UserId,
        author_id: Identifier | None = None,
        message_id: MessageId | None = None,
    ) -> int:
        """Hide the reports about a user's messages, or about one message; how many.

        Raises: NotAllowed: no `manage-moderation-actions`; BadRequest: neither given.
        """
        ...
