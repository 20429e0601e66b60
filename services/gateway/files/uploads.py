"""Files of rooms: from their first byte to their message, or to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hubbub.clock import utc_now
from hubbub.contracts.account import Identity
from hubbub.contracts.files import StoredFile
from hubbub.errors import BadRequest, TooLarge, Unavailable
from hubbub.ids import MessageId, random_id
from hubbub.mongo import Document
from services.gateway.domain import dimensions, file_names, media_types
from services.gateway.domain.dimensions import Size
from services.gateway.files.images import Images
from services.gateway.store.uploads import Uploads

_ID: Final = 24  # characters: ids of files are in addresses, and must not be guessed
_PREVIEWED: Final = 8 * 1024 * 1024  # bytes of a picture that gets a preview
_PREVIEWS: Final = 2  # pictures read back for one at the same time


@dataclass(frozen=True, slots=True)
class FileRules:
    """The workspace's settings about files."""

    enabled: bool
    limit: int
    """Bytes."""
    allowed: str
    refused: str


class Shelf:
    """The files of all rooms, as this process takes them and gives them away."""

    def __init__(
        self, store: Uploads, images: Images, *, most: int, kept_unsent: timedelta
    ) -> None:
        """
        Args:
            most: uploads at the same time.
            kept_unsent: how long a file is kept that no message carries.
        """
        self.store = store
        self._images = images
        self._most = most
        self._kept_unsent = kept_unsent
        self._arriving = 0
        self._previews = asyncio.Semaphore(_PREVIEWS)

    @asynccontextmanager
    async def arriving(
        self, room_id: str, sender: Identity, rules: FileRules
    ) -> AsyncIterator[Arrival]:
        """Take a file as it comes. What is not finished when the context ends is removed.

        Raises: Unavailable: too many at once; BadRequest: no files are taken.
        """
        if not rules.enabled:
            raise BadRequest("File uploads are disabled", code="error-file-upload-disabled")
        if self._arriving >= self._most:
            raise Unavailable("Too many uploads at once")
        self._arriving += 1
        arrival = Arrival(self, room_id, sender, rules)
        try:
            yield arrival
        except BaseException:
            await arrival.discard()
            raise
        finally:
            self._arriving -= 1

    def until(self) -> datetime:
        """When a file that arrives or is held now ends without a message."""
        return utc_now() + self._kept_unsent

    async def hold(self, file_id: str, room_id: str, user_id: str) -> Document:
        """A file that its sender wants to send. Raises: BadRequest: `invalid-file`."""
        record = await self.store.hold(file_id, room_id, user_id, self.until())
        if record is None:
            raise BadRequest("", code="invalid-file")
        return record

    async def sent(self, record: Document, name: str, description: str | None) -> None:
        """The message of a file is stored."""
        if "expiresAt" in record:
            fields = {"name": name, "description": description}
            await self.store.confirm(
                record["_id"], {key: value for key, value in fields.items() if value}
            )

    async def looked_at(self, record: Document, size: Size | None) -> dict[str, Any]:
        """What is known of a picture beside its bytes."""
        if size is None:
            return {}
        form = record["type"].partition("/")[2]
        found: dict[str, Any] = {
            "identify": {"format": form, "size": {"width": size.width, "height": size.height}}
        }
        if record["size"] <= _PREVIEWED:
            async with self._previews:
                data = await self.store.blobs.whole(record["_id"], record["size"])
                preview = await self._images.preview(data)
            if preview is not None:
                found["preview"] = preview
        return found


class Arrival:
    """One file on its way in. Nothing of its record comes from the client but a cleaned name."""

    def __init__(self, shelf: Shelf, room_id: str, sender: Identity, rules: FileRules) -> None:
        self._shelf = shelf
        self._rules = rules
        self._head = bytearray()
        self._is_judged = False
        self._claim = ""
        self._record: Document = {
            "_id": random_id(_ID),
            "rid": room_id,
            "userId": sender.user_id,
            "messageId": random_id(),
            "store": "GridFS:Uploads",
        }
        self._writer = shelf.store.blobs.writer(self._record["_id"])
        self._has_begun = False

    async def begin(self, name: str, media_type: str) -> None:
        """A file of this name follows."""
        self._record["name"] = file_names.clean(name)
        self._claim = media_type
        self._record["uploadedAt"] = utc_now()
        self._record["expiresAt"] = self._shelf.until()
        self._has_begun = True
        # Entered first: what a dying process leaves behind is found by its record.
        await self._shelf.store.begin(self._record)

    async def write(self, data: bytes) -> None:
        """Some of its bytes. Raises: BadRequest: `error-invalid-file-type`."""
        if len(self._head) < dimensions.HEAD:
            self._head += data[: dimensions.HEAD - len(self._head)]
        if not self._is_judged and len(self._head) >= media_types.HEAD:
            self._judge()
        await self._writer.write(data)

    async def finish(self) -> Document:
        """All bytes are here; the record.

        Raises: BadRequest: `invalid-field`: there was no file, `error-file-empty`,
            `error-invalid-file-type`; TooLarge: a picture that would be too large to draw.
        """
        if not self._has_begun:
            raise BadRequest("", code="invalid-field")
        if not self._writer.size:
            raise BadRequest("File is empty", code="error-file-empty")
        if not self._is_judged:
            self._judge()
        record = self._record
        size = dimensions.size_of(bytes(self._head), record["type"])
        if size is not None and size.is_too_large:
            raise TooLarge(
                f"Picture exceeds {dimensions.MAX_PIXELS} pixels", code="error-file-too-large"
            )
        self._head.clear()
        await self._writer.close(record["name"], record["uploadedAt"])
        record["size"] = self._writer.size
        found = {
            "size": self._writer.size,
            "type": record["type"],
            "typeGroup": media_types.group(record["type"]),
            "extension": file_names.extension(record["name"]),
            **await self._shelf.looked_at(record, size),
        }
        record |= found
        await self._shelf.store.complete(record["_id"], found)
        return record

    async def discard(self) -> None:
        """Remove what arrived."""
        if self._has_begun:
            await self._shelf.store.remove(self._record["_id"])

    def _judge(self) -> None:
        self._is_judged = True
        found = media_types.sniffed(bytes(self._head), self._claim)
        if not media_types.is_accepted(found, self._rules.allowed, self._rules.refused):
            raise BadRequest("File type is not accepted", code="error-invalid-file-type")
        self._record["type"] = found


def described(record: Document) -> StoredFile:
    """A record as the message about it shows it."""
    size = (record.get("identify") or {}).get("size") or {}
    file = StoredFile(
        id=record["_id"],
        name=record["name"],
        type=record["type"],
        size=record["size"],
        path=file_names.url_path(record["_id"], record["name"]),
    )
    if not media_types.is_inline(file.type):
        return file
    return file.model_copy(
        update={
            "width": size.get("width"),
            "height": size.get("height"),
            "preview": record.get("preview"),
        }
    )


def renamed(file: StoredFile, name: str | None) -> StoredFile:
    """The same file under another name."""
    if not name:
        return file
    cleaned = file_names.clean(name)
    return file.model_copy(update={"name": cleaned, "path": file_names.url_path(file.id, cleaned)})


def message_id_of(record: Document) -> MessageId:
    """The id of the message of a file: the same at every attempt, so there is only one."""
    return MessageId(record["messageId"])
