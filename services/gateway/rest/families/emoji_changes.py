"""Custom emoji: made, changed, removed, and their pictures."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from services.gateway.domain import ranges
from services.gateway.files.emoji import LARGEST
from services.gateway.rest.answers import PlainRefusal, Refusal
from services.gateway.rest.asked import Asked, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.downloads import HARMLESS, not_found
from services.gateway.rest.router import Result, Routes, Upload

routes = Routes()
pages = Routes()

_MANAGE = "manage-emoji"
_PICTURE = Upload("emoji", LARGEST)


class NewEmoji(Asked):
    """What an emoji is called."""

    name: Required
    aliases: Word | None = None
    """Other names, with commas between."""


@routes.post("emoji-custom.create", permission=_MANAGE, upload=_PICTURE)
async def create(call: Call, asked: NewEmoji) -> None:
    """Add an emoji; its picture is the file of the form."""
    if call.file is None:
        raise Refusal("", code="invalid-field")
    await call.shelves.emoji.create(asked.name, asked.aliases or "", bytes(call.file.data))


class ChangedEmoji(Asked):
    """What an emoji is called from now on; absent: as before."""

    id_: Required = Field(alias="_id")
    name: Word | None = None
    aliases: Word | None = None


@routes.post("emoji-custom.update", permission=_MANAGE, upload=_PICTURE)
async def update(call: Call, asked: ChangedEmoji) -> None:
    """Change an emoji; its picture, too, if there is a file in the form."""
    picture = None if call.file is None else bytes(call.file.data)
    await call.shelves.emoji.update(asked.id_, asked.name or None, asked.aliases, picture)


class EmojiReference(Asked):
    """Which emoji."""

    emoji_id: Word | None = None


@routes.post("emoji-custom.delete", permission=_MANAGE)
async def delete(call: Call, asked: EmojiReference) -> None:
    """Remove an emoji."""
    if not asked.emoji_id:
        raise PlainRefusal('The "emojiId" params is required!')
    await call.shelves.emoji.delete(asked.emoji_id)


@pages.get("emoji-custom/*", access="anonymous", calls=0, page=True)
async def picture(call: Call) -> Result:
    """The picture of an emoji: `/emoji-custom/<name>.<extension>`."""
    found = await call.shelves.emoji.picture(call.rest.rpartition(".")[0] or call.rest)
    if found is None:
        return not_found()
    headers = {
        **HARMLESS,
        "Cache-Control": "public, max-age=3600",
        "ETag": f'"{found.etag}"',
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if ranges.is_current(call.headers.get("If-None-Match"), found.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.data, headers={**headers, "Content-Type": found.type})
