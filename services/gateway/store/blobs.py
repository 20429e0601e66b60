"""Bytes in GridFS, written and read in pieces.

The layout is GridFS's own, so that every tool that knows it reads these files. The driver's
class is not used: it holds back up to 48 MB of an upload before it writes, and reads ahead up to
16 MB; here each file under way holds one or a few pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import pymongo
from bson import Binary
from pymongo.asynchronous.collection import AsyncCollection

from hubbub.mongo import Database, Document, answering

PIECE: Final = 255 * 1024
"""Bytes of a piece, as GridFS has it: with its document it fits into 256 KiB."""
_READ_AHEAD: Final = 4  # pieces
QUERY_TIMEOUT: Final = 8.0
"""Seconds that one query or one piece may take."""


class Blobs:
    """One bucket."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._files: AsyncCollection[Document] = database[f"{bucket}.files"]
        self._chunks: AsyncCollection[Document] = database[f"{bucket}.chunks"]

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        with answering():
            await self._chunks.create_index([("files_id", 1), ("n", 1)], unique=True)

    def writer(self, blob_id: str) -> BlobWriter:
        """Where to put the bytes of a new blob."""
        return BlobWriter(self._files, self._chunks, blob_id)

    async def read(self, blob_id: str, start: int, length: int) -> AsyncIterator[bytes]:
        """The bytes from `start` on, piece by piece; fewer when the blob is cut off or gone."""
        if length <= 0:
            return
        first, skipped = divmod(start, PIECE)
        cursor = self._chunks.find(
            {"files_id": blob_id, "n": {"$gte": first, "$lte": (start + length - 1) // PIECE}},
            {"data": 1, "n": 1},
            sort=[("n", 1)],
            batch_size=_READ_AHEAD,
        )
        expected = first
        with answering():
            async with cursor:
                async for chunk in cursor:
                    if chunk["n"] != expected:
                        return
                    data = bytes(chunk["data"])[skipped:][:length]
                    skipped, expected, length = 0, expected + 1, length - len(data)
                    yield data

    async def whole(self, blob_id: str, length: int) -> bytes:
        """All bytes of a small blob."""
        return b"".join([piece async for piece in self.read(blob_id, 0, length)])

    async def delete(self, blob_id: str) -> None:
        """Remove a blob, whole or half-written. One that is not there is no error."""
        with answering(), pymongo.timeout(4 * QUERY_TIMEOUT):
            await self._chunks.delete_many({"files_id": blob_id})
            await self._files.delete_one({"_id": blob_id})


class BlobWriter:
    """Takes the bytes of one blob in order. What was written stays until it is deleted."""

    def __init__(
        self,
        files: AsyncCollection[Document],
        chunks: AsyncCollection[Document],
        blob_id: str,
    ) -> None:
        self._files = files
        self._chunks = chunks
        self._id = blob_id
        self._pending = bytearray()
        self._pieces = 0
        self.size = 0
        """Bytes taken so far."""

    async def write(self, data: bytes) -> None:
        """Take some bytes; returns when at most one piece is held back."""
        self.size += len(data)
        self._pending += data
        while len(self._pending) >= PIECE:
            await self._put(bytes(self._pending[:PIECE]))
            del self._pending[:PIECE]

    async def close(self, name: str, now: datetime) -> None:
        """Write the rest and the entry that makes the blob whole."""
        if self._pending:
            await self._put(bytes(self._pending))
            self._pending.clear()
        entry = {
            "_id": self._id,
            "length": self.size,
            "chunkSize": PIECE,
            "uploadDate": now,
            "filename": name,
        }
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._files.insert_one(entry)

    async def _put(self, piece: bytes) -> None:
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._chunks.insert_one(
                {"files_id": self._id, "n": self._pieces, "data": Binary(piece)}
            )
        self._pieces += 1
