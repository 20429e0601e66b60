"""The bytes of files. Who may read the room may read its files, asked anew each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from hubbub.errors import HubbubError
from hubbub.ids import RoomId
from hubbub.mongo import Document
from hubbub.telemetry.log import get_logger
from services.gateway.domain import file_names, media_types, ranges
from services.gateway.domain.ranges import Part, Unsatisfiable
from services.gateway.rest.answers import Answer, Forbidden
from services.gateway.rest.call import Call
from services.gateway.rest.router import Result, Routes

log = get_logger(__name__)

pages = Routes()

HARMLESS: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "Hubbub",
}
"""Headers of everything that strangers made: it may be shown, and do nothing."""

_KEPT: Final = "private, max-age=3600"


@pages.get("file-upload/*", access="optional", calls=0, page=True)
async def download(call: Call) -> Result:
    """A file, or part of it. The name in the path is for people and decides nothing."""
    if call.caller is None:
        raise Forbidden
    file_id = call.rest.partition("/")[0]
    record = await call.shelves.files.store.one(file_id)
    if record is None:
        return not_found()
    if not await call.services.authorization.can_access_room_id(
        RoomId(record["rid"]), call.user_id, now=True
    ):
        raise Forbidden
    return await _answer(call, record)


def not_found() -> Answer:
    """There is nothing at this address."""
    return Answer({"success": False, "error": "Resource not found"}, status=404)


async def _answer(call: Call, record: Document) -> web.StreamResponse:
    request, size, tag = call.incoming, int(record["size"]), str(record["_id"])
    headers = {
        **HARMLESS,
        "X-Request-Id": call.request_id,
        "Accept-Ranges": "bytes",
        "Cache-Control": _KEPT,
        "ETag": f'"{tag}"',
        "Cross-Origin-Resource-Policy": "same-site",
        "Content-Disposition": file_names.disposition(
            record["name"],
            inline=media_types.is_inline(record["type"]) and "download" not in call.query,
        ),
    }
    if ranges.is_current(call.headers.get("If-None-Match"), tag):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = record["type"]
    try:
        part = _wanted(call, size, tag)
    except Unsatisfiable:
        headers |= {"Content-Range": f"bytes */{size}"}
        return web.Response(status=416, headers=headers)
    if part is not None:
        headers["Content-Range"] = part.content_range(size)
    part = part or Part(0, size - 1)
    response = web.StreamResponse(
        status=206 if "Content-Range" in headers else 200, headers=headers
    )
    response.content_length = part.length
    await response.prepare(request)
    if request.method != "HEAD":
        pieces = call.shelves.files.store.blobs.read(tag, part.start, part.length)
        await _send(call, response, pieces, part.length)
    return response


def _wanted(call: Call, size: int, tag: str) -> Part | None:
    """The part that is asked for; None: everything. Raises: Unsatisfiable."""
    if not ranges.part_is_of_current(call.headers.get("If-Range"), tag):
        return None
    return ranges.wanted_part(call.headers.get("Range"), size)


async def _send(
    call: Call, response: web.StreamResponse, pieces: AsyncIterator[bytes], length: int
) -> None:
    """Write the bytes as fast as the client takes them.

    The status is out: where they end too early, a cut connection is the only way to say so.
    """
    sent = 0
    try:
        async for piece in pieces:
            async with asyncio.timeout(call.door.settings.download_stall):
                await response.write(piece)
            sent += len(piece)
        if sent == length:
            await response.write_eof()
            return
        log.warning("file_cut_off", missing=length - sent)
    except TimeoutError:
        call.door.metrics.bad_input("slow_reader")
    except ConnectionError:
        pass  # the client went away
    except HubbubError as error:
        log.warning("file_not_sent", reason=type(error).__name__)
    if call.incoming.transport is not None:
        call.incoming.transport.abort()
