"""The part of the messaging contract about messages that carry files."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Text
from hubbub.ids import MessageId, RoomId, UserId


class StoredFile(Frozen):
    """A file as its keeper knows it: nothing here is what a client said."""

    id: Identifier
    name: Text = Field(min_length=1, max_length=255)
    type: Text
    """Media type, told from the file's bytes."""
    size: int = Field(ge=0)
    """Bytes."""
    path: Text
    """Where clients get it: a path on this site."""
    width: int | None = None
    """Pixels, of a picture that clients may show."""
    height: int | None = None
    preview: str | None = None
    """A tiny JPEG in base64, shown while the picture loads."""


class FileNote(Frozen):
    """What is said with a file; every field a stranger may set, and no other."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    text: Text = ""
    description: Text | None = None
    thread_id: Identifier | None = None
    custom_fields: dict[str, Any] | None = None


class FileActions(Contract, Protocol):
    """The gateway stores the files; what is said with them is said here.

    Only these messages carry `file` and `files`, so only they can end a file with them.
    """

    @action(idempotent=True, timeout=7.0)
    async def send_file_message(
        self,
        user_id: UserId,
        room_id: RoomId,
        message_id: MessageId,
        file: StoredFile,
        note: FileNote,
    ) -> Document:
        """Store a message with a file and return it as stored.

        The same rules as for `send_message`, and the same promise: repeating it with the same id
        returns the stored message. The caller keeps the file and has checked that it is this
        user's and was uploaded into this room.

        Raises: whatever `send_message` raises.
        """
        ...

    @action(idempotent=True)
    async def stored_messages(self, message_ids: list[MessageId]) -> list[MessageId]:
        """Those of the messages that exist, hidden ones too. At most 1,000 may be asked for."""
        ...
