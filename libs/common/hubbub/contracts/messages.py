"""The part of the messaging contract about messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, JsonValue, Page, Paging, Text
from hubbub.errors import BadRequest, Conflict, NotAllowed, NotFound
from hubbub.ids import MessageId, RoomId, UserId

MUTED = "You_have_been_muted"
"""The code of refusals because the caller is muted in the room."""


class MessageNotFound(NotFound):
    default_code = "error-message-not-found"


class InvalidRoom(NotFound):
    """No such room, or none that the caller may know of."""

    default_code = "error-invalid-room"


class InvalidMessageId(Conflict):
    """The id belongs to a message of somebody else or of another room; nothing more is said."""

    default_code = "error-invalid-message-id"


class MessageTooLong(BadRequest):
    default_code = "error-message-size-exceeded"


class ActionNotAllowed(NotAllowed):
    default_code = "error-action-not-allowed"


class NewMessage(Frozen):
    """A message as a client sends it; every field a stranger may set, and no other.

    Unknown keys are ignored, so `u`, `_hidden`, `reactions` and the like cannot be forged.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    id: str | None = Field(default=None, alias="_id", pattern=r"^[A-Za-z0-9-]{1,64}$")
    """The client's id makes the send repeatable: the same one yields the same message."""
    room_id: Identifier = Field(alias="rid")
    text: Text = Field(default="", alias="msg")
    thread_id: Identifier | None = Field(default=None, alias="tmid")
    show_in_room: bool | None = Field(default=None, alias="tshow")
    sent_at: JsonValue = Field(default=None, alias="ts")
    """Only compared with the server's time, never stored."""
    system_type: str | None = Field(default=None, alias="t")
    """Refused: clients cannot send system messages."""
    bot: dict[str, Any] | None = None
    attachments: list[dict[str, Any]] | None = Field(default=None, max_length=100)
    alias: Text | None = None
    avatar: Text | None = None
    emoji: Text | None = None
    groupable: bool | None = None
    custom_fields: dict[str, Any] | None = Field(default=None, alias="customFields")
    parse_urls: bool = Field(default=True, alias="parseUrls")
    """Whether links in the text are listed in `urls`."""


AT_ONCE = 32
"""Messages of one `send_messages` at most."""


class Sent(Frozen):
    """What became of one of several messages: exactly one of both is there."""

    message: Document | None = None
    """As stored."""
    refusal: str | None = None
    """The error that `send_message` would have raised, as it crosses the bus."""


class MessageEdit(Frozen):
    """A change of a message; absent keys stay as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, strict=True)

    id: Identifier = Field(alias="_id")
    room_id: Identifier | None = Field(default=None, alias="rid")
    text: Text | None = Field(default=None, alias="msg")


class History(Frozen):
    """A stretch of a room's messages, newest first."""

    messages: list[Document]
    unread_not_loaded: int = 0
    """Messages newer than the caller's last visit and older than the stretch."""
    first_unread: Document | None = None


class Surroundings(Frozen):
    """Messages around one, oldest first."""

    messages: list[Document]
    more_before: bool
    more_after: bool


class MessageActions(Contract, Protocol):
    """Sending, changing and reading messages. `user_id` is who acts.

    Membership and permissions are checked here, whoever calls. A refusal of a send is raised
    and also shown to the sender as an ephemeral message.
    """

    @action(idempotent=True, timeout=7.0, waiting=8192)
    async def send_message(
        self, user_id: UserId, message: NewMessage, allow_empty: bool = False
    ) -> Document:
        """Store a message and return it as stored.

        Without `allow_empty` a message needs a text or an attachment (`error-empty-message`).

        Committed by a majority before it returns. Repeating it with the same id returns the
        stored message and has no second effect. The messages of a room get strictly increasing
        `ts` and gap-free `seq`, in the order of their commits.

        Raises:
            Unavailable: not stored, or unknown; repeating with the same id is always right.
            InvalidMessageId, InvalidRoom, MessageTooLong, NotAllowed, BadRequest.
        """
        ...

    @action(idempotent=True, timeout=7.0, waiting=8192)
    async def send_messages(
        self, user_id: UserId, messages: Annotated[list[NewMessage], Field(max_length=AT_ONCE)]
    ) -> list[Sent]:
        """`send_message` for several that wait already; what became of each, in their order.

        Those of one room are stored in their order. None may reply to another one among them.
        Each needs an id, so that repeating the call has no second effect.
        """
        ...

    @action(idempotent=True)
    async def update_message(self, user_id: UserId, edit: MessageEdit) -> Document | None:
        """Change a message; the *stored* message's room decides about rights.

        None: no such message, or nothing to change. Raises: ActionNotAllowed;
        BadRequest: `error-invalid-update-key`, `error-message-editing-blocked`.
        """
        ...

    @action(idempotent=True)
    async def delete_message(self, user_id: UserId, message_id: MessageId) -> Document:
        """Delete a message and return `{"_id", "rid", "ts"}`.

        Raises: ActionNotAllowed; MessageNotFound.
        """
        ...

    @action(idempotent=True)
    async def set_reaction(
        self, user_id: UserId, reaction: str, message_id: MessageId, should_react: bool
    ) -> Document:
        """Add or remove a reaction; the message after it.

        Raises: MessageNotFound; NotAllowed; BadRequest.
        """
        ...

    @action()
    async def toggle_reaction(
        self, user_id: UserId, reaction: str, message_id: MessageId
    ) -> Document:
        """Add a reaction, or remove it where it is; the message after it. Never repeated.

        Raises: as `set_reaction`.
        """
        ...

    @action(idempotent=True)
    async def get_message(self, user_id: UserId, message_id: MessageId) -> Document:
        """One message. Raises: MessageNotFound: none, or none that the caller may read."""
        ...

    @action(idempotent=True)
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
        """Messages before `latest` (or the newest), newest first, at most 100.

        Raises: InvalidRoom; NotAllowed: no access to the room.
        """
        ...

    @action(idempotent=True)
    async def next_messages(
        self, user_id: UserId, room_id: RoomId, start: datetime, count: int = 20
    ) -> list[Document]:
        """Messages after `start`, oldest first. Raises: InvalidRoom; NotAllowed."""
        ...

    @action(idempotent=True)
    async def surrounding_messages(
        self,
        user_id: UserId,
        message_id: MessageId,
        count: int = 50,
        show_thread_messages: bool = True,
    ) -> Surroundings:
        """Half before, the message itself, half after. Raises: MessageNotFound; NotAllowed."""
        ...

    @action(idempotent=True)
    async def thread_messages(self, user_id: UserId, thread_id: MessageId, paging: Paging) -> Page:
        """The replies of a thread, oldest first. Raises: MessageNotFound; NotAllowed."""
        ...

    @action(idempotent=True)
    async def read_thread(self, user_id: UserId, thread_id: MessageId) -> None:
        """The replies of a thread have been seen. Without a membership: no effect."""
        ...
