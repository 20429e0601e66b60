"""`emoji-custom.*`: the lists of custom emoji."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from hubbub.contracts.documents import Changes
from services.gateway.rest.asked import Listed, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.rooms import Since, changed, since
from services.gateway.rest.paging import (
    Equals,
    cut,
    paged,
    parse_conditions,
    parse_paging,
    sorted_by,
)
from services.gateway.rest.router import Routes

routes = Routes()


class EmojiSince(Since):
    """From when on changes are wanted, or one emoji."""

    id_: Word | None = Field(default=None, alias="_id")


@routes.get("emoji-custom.list")
async def list_emoji(call: Call, asked: EmojiSince) -> dict[str, Any]:
    """Custom emoji, or what changed in them."""
    moment = since(asked, named="updatedSince", code="error-roomId-param-invalid")
    found = await _changes(call, moment)
    if asked.id_:
        found = Changes(
            update=[one for one in found.update if one["_id"] == asked.id_], remove=found.remove
        )
    return {"emojis": changed(found, moment)}


class EmojiWanted(Listed):
    """Which part of the list; `query` knows `name`."""

    name: Word | None = None
    """Only emoji whose name holds this."""


@routes.get("emoji-custom.all")
async def all_emoji(call: Call, asked: EmojiWanted) -> dict[str, Any]:
    """Custom emoji, page by page."""
    paging = parse_paging(asked, await call.paging_rules(), sortable={"name", "_id"})
    wanted = parse_conditions(asked, {"name": (Equals,)}).get("name")
    found = [
        one
        for one in (await _changes(call, None)).update
        if (asked.name or "").casefold() in one["name"].casefold()
        and (not isinstance(wanted, Equals) or one["name"] == wanted.value)
    ]
    return paged("emojis", cut(sorted_by(found, paging.sort, "name"), paging), paging)


async def _changes(call: Call, moment: datetime | None) -> Changes:
    shelves = call.door.shelves
    if shelves is None:  # a gateway without a database keeps no pictures
        return Changes(update=[], remove=[])
    return await shelves.emoji.changes(moment)
