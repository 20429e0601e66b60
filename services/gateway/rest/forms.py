"""Forms with a file in them: `multipart/form-data`, read as it arrives.

A body is read once, from front to back, in pieces; only the small fields are kept. Every wait has
an end: bytes must keep coming at some rate, and there is a latest moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from hubbub.ddp import limits
from hubbub.errors import TooLarge
from services.gateway.rest.answers import Refusal
from services.gateway.rest.requests import UnreadableBody
from services.gateway.rest.transport import BadTransport

MULTIPART: Final = "multipart/form-data"

_PIECE: Final = 64 * 1024  # bytes handed on at once
_LINE: Final = 16 * 1024  # bytes of a line between parts
_PARTS: Final = 50
_FIELD: Final = 64 * 1024  # bytes of a field that is no file
_FIELDS: Final = 256 * 1024  # bytes of all of them
_AROUND: Final = 512 * 1024  # bytes of a body beside its file


class Sink(Protocol):
    """Takes the file of a form."""

    async def begin(self, name: str, media_type: str) -> None:
        """A file of this name follows; both are the sender's claims. May raise."""
        ...

    async def write(self, data: bytes) -> None:
        """Some of its bytes, in order. May raise."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a body may be."""

    grace: float
    """Seconds it may take whatever its size."""
    min_rate: float
    """Bytes per second that prolong the time."""
    within: float
    """Seconds after which nobody waits any more."""


@dataclass(slots=True)
class InMemory:
    """A sink for small files."""

    limit: int  # bytes
    name: str = ""
    media_type: str = ""
    data: bytearray = field(default_factory=bytearray)
    begun: bool = False

    async def begin(self, name: str, media_type: str) -> None:
        self.name, self.media_type, self.begun = name, media_type, True

    async def write(self, data: bytes) -> None:
        """Raises: TooLarge."""
        self.data += data
        if len(self.data) > self.limit:
            raise too_large(self.limit)


def too_large(limit: int) -> TooLarge:
    """A file is larger than `limit` bytes."""
    return TooLarge(f"File exceeds allowed size of {limit} bytes", code="error-file-too-large")


def is_multipart(request: web.BaseRequest) -> bool:
    """Whether the body is a form that may hold files."""
    return request.content_type == MULTIPART


async def receive(
    request: web.BaseRequest, sink: Sink, *, name: str, limit: int, pace: Pace
) -> dict[str, Any]:
    """Read a form: its file goes to `sink`, its other fields are returned.

    Args:
        name: of the field that holds the file. Fields may stand before and behind it; a second
            file is passed over.
        limit: bytes of the file.

    Raises:
        TooLarge: `error-file-too-large`.
        Refusal: `invalid-field`: a file stands in another field.
        UnreadableBody: no form, or one that breaks off.
        BadTransport: 408 slower than allowed; 400 cut off.
        Whatever the sink raises.
    """
    if (request.content_length or 0) > limit + _AROUND:
        raise too_large(limit)
    await _continued(request)
    body = _Body(request.content, limit=limit + _AROUND, file_limit=limit, pace=pace)
    with _reading():
        reader = MultipartReader(request.headers, cast(StreamReader, body))
    form = _Form(sink, name, limit)
    for _ in range(_PARTS):
        with _reading():
            part = await reader.next()
        if part is None:
            return form.fields
        if not isinstance(part, BodyPartReader):
            raise UnreadableBody("Invalid form")
        await form.take(part)
    raise UnreadableBody("Invalid form")


class _Form:
    """What was read of one form."""

    def __init__(self, sink: Sink, file_field: str, limit: int) -> None:
        self.fields: dict[str, Any] = {}
        self._sink = sink
        self._file_field = file_field
        self._limit = limit
        self._size = 0  # bytes of all fields
        self._has_file = False

    async def take(self, part: BodyPartReader) -> None:
        with _reading():
            name, file_name = part.name, part.filename
        if name is None or len(name) > 100:
            raise UnreadableBody("Invalid form")
        if file_name is None:
            await self._text(part, name)
        elif name != self._file_field:
            raise Refusal("", code="invalid-field")
        elif not self._has_file:
            self._has_file = True
            await self._file(part, file_name)

    async def _file(self, part: BodyPartReader, file_name: str) -> None:
        await self._sink.begin(file_name, part.headers.get("Content-Type", ""))
        size = 0
        async for data in _pieces(part):
            size += len(data)
            if size > self._limit:
                raise too_large(self._limit)
            await self._sink.write(data)

    async def _text(self, part: BodyPartReader, name: str) -> None:
        data = bytearray()
        async for piece in _pieces(part):
            data += piece
            self._size += len(piece)
            if len(data) > _FIELD or self._size > _FIELDS:
                raise TooLarge("A field is too large", code="error-request-too-large")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise limits.match_failed() from None
        if "\x00" in text + name:
            raise limits.match_failed()
        if name.endswith("[]"):
            self.fields.setdefault(name[:-2], []).append(text)
        else:
            self.fields[name] = text


async def _pieces(part: BodyPartReader) -> Any:
    while True:
        with _reading():
            data = await part.read_chunk(_PIECE)
        if data:
            yield bytes(data)
        elif part.at_eof():
            return


@contextmanager
def _reading() -> Iterator[None]:
    """What the reader of forms says about a broken one, as a refusal."""
    try:
        yield
    except (BadTransport, TooLarge):
        raise
    except (RequestPayloadError, ClientPayloadError):
        raise BadTransport(400, "Bad request", "invalid-request") from None
    except (ValueError, RuntimeError, AssertionError, RuntimeWarning, HttpProcessingError):
        raise UnreadableBody("Invalid form") from None


async def _continued(request: web.BaseRequest) -> None:
    """Ask for the body where the client waits to be asked."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


class _Body:
    """The body as the reader of forms wants to see it, counted and timed."""

    def __init__(self, content: StreamReader, *, limit: int, file_limit: int, pace: Pace) -> None:
        self._content = content
        self._limit = limit
        self._file_limit = file_limit
        self._pace = pace
        self._began = asyncio.get_running_loop().time()
        self._buffer = bytearray()
        self._received = 0
        self._ended = False

    async def read(self, n: int = -1) -> bytes:
        """Up to `n` bytes; nothing at the end."""
        if not self._buffer:
            await self._more()
        taken = bytes(self._buffer) if n < 0 else bytes(self._buffer[:n])
        del self._buffer[: len(taken)]
        return taken

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """A line with its end; what is left at the end of the body. Raises: ValueError."""
        longest = max_line_length or _LINE
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and not self._ended:
            searched = len(self._buffer)
            if searched > longest:
                raise ValueError("the line is too long")
            await self._more()
        length = end + 1 if end >= 0 else len(self._buffer)
        if length > longest:
            raise ValueError("the line is too long")
        line = bytes(self._buffer[:length])
        del self._buffer[:length]
        return line

    def unread_data(self, data: bytes) -> None:
        """Take some bytes back."""
        self._buffer[:0] = data

    def at_eof(self) -> bool:
        """Whether everything was read."""
        return self._ended and not self._buffer

    async def _more(self) -> None:
        pace = self._pace
        patience = min(pace.within, pace.grace + self._received / pace.min_rate)
        try:
            async with asyncio.timeout_at(self._began + patience):
                data = await self._content.readany()
        except TimeoutError:
            raise BadTransport(408, "Request body took too long", "request-timeout") from None
        self._received += len(data)
        if self._received > self._limit:
            raise too_large(self._file_limit)
        self._ended = not data
        self._buffer += data
