"""Messages that carry files."""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.files import FileNote, StoredFile
from hubbub.contracts.messages import NewMessage
from hubbub.errors import BadRequest
from hubbub.ids import MessageId, RoomId, UserId
from services.messaging.desk import Desk
from services.messaging.domain import file_messages
from services.messaging.sending import Sending

_MOST: Final = 1000  # messages that one call may ask for


class Files:
    """The doors for messages with files."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send_file_message(
        self,
        user_id: UserId,
        room_id: RoomId,
        message_id: MessageId,
        file: StoredFile,
        note: FileNote,
    ) -> dict[str, Any]:
        """See the contract."""
        message = NewMessage(
            id=message_id,
            room_id=room_id,
            text=note.text,
            thread_id=note.thread_id,
            custom_fields=note.custom_fields,
            attachments=[file_messages.attachment(file, note)],
            groupable=False,
        )
        carried = file_messages.carried(file)
        return await Sending(self._desk).accept(user_id, message, carried=carried)

    async def stored_messages(self, message_ids: list[MessageId]) -> list[MessageId]:
        """See the contract."""
        if len(message_ids) > _MOST:
            raise BadRequest(f"at most {_MOST} messages")
        stored = await self._desk.store.messages.existing(message_ids)
        return [message_id for message_id in message_ids if message_id in stored]
