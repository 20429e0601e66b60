"""Custom emoji: a name, other names for it, and a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from hubbub.clock import utc_now
from hubbub.contracts.documents import Changes
from hubbub.errors import BadRequest
from hubbub.ids import random_id
from hubbub.mongo import Document
from services.gateway.domain.media_types import EXTENSIONS
from services.gateway.files.drawing import Undrawable
from services.gateway.files.images import Images
from services.gateway.store.pictures import Emoji, NameTaken, Picture

LARGEST: Final = 1024 * 1024
"""Bytes of a picture."""

_NAME: Final = re.compile(r"[\w+-]{1,64}", re.ASCII)
_ALIASES: Final = 50


class CustomEmoji:
    """All custom emoji. Who may change them, the caller has decided."""

    def __init__(self, store: Emoji, images: Images) -> None:
        self._store = store
        self._images = images

    async def create(self, name: str, aliases: str, data: bytes) -> None:
        """Add an emoji. Raises: BadRequest: `emoji-is-not-image`, a name that is none or taken."""
        picture = await self._picture(data)
        fields = _checked(name, aliases) | {
            "_id": random_id(),
            "extension": EXTENSIONS[picture.type],
            "etag": picture.etag,
            "_updatedAt": utc_now(),
        }
        try:
            await self._store.create(fields, picture)
        except NameTaken:
            raise _taken(name) from None

    async def update(
        self, emoji_id: str, name: str | None, aliases: str | None, data: bytes | None
    ) -> None:
        """Change an emoji; what is None stays as it is. Raises: as `create`."""
        found = await self._store.one(emoji_id)
        if found is None:
            raise _unknown()
        picture = None if data is None else await self._picture(data)
        kept = ",".join(found.get("aliases") or ())
        changed = {**found, **_checked(name or found["name"], kept if aliases is None else aliases)}
        if picture is not None:
            changed |= {"extension": EXTENSIONS[picture.type], "etag": picture.etag}
        changed["_updatedAt"] = utc_now()
        try:
            await self._store.update(changed, picture)
        except NameTaken:
            raise _taken(changed["name"]) from None

    async def delete(self, emoji_id: str) -> None:
        """Remove an emoji. Raises: BadRequest: there is none."""
        if not await self._store.remove(emoji_id, utc_now()):
            raise _unknown()

    async def changes(self, since: datetime | None = None) -> Changes:
        """All emoji, by name; or what changed and went since a moment."""
        gone = [] if since is None else await self._store.removed_since(since)
        return Changes(update=await self._store.everything(since), remove=gone)

    async def one(self, emoji_id: str) -> Document | None:
        """An emoji as clients know it."""
        found = await self._store.one(emoji_id)
        return None if found is None else {k: v for k, v in found.items() if k != "words"}

    async def picture(self, name: str) -> Picture | None:
        """The picture of the emoji of this name."""
        return await self._store.picture(name)

    async def _picture(self, data: bytes) -> Picture:
        try:
            drawn = await self._images.emoji(data)
        except Undrawable:
            raise BadRequest("Emoji file provided is not an image", code=_NO_IMAGE) from None
        return Picture(drawn.data, drawn.type, random_id())


_NO_IMAGE: Final = "emoji-is-not-image"


def _checked(name: str, aliases: str) -> Document:
    words = _words(aliases)
    if not _NAME.fullmatch(name) or not all(map(_NAME.fullmatch, words)) or len(words) > _ALIASES:
        raise BadRequest(
            "The name or an alias has characters that are not allowed",
            code="error-input-is-not-a-valid-field",
        )
    return {"name": name, "aliases": [word for word in words if word != name]}


def _words(aliases: str) -> Sequence[str]:
    return list(dict.fromkeys(word.strip(" :") for word in aliases.split(",") if word.strip(" :")))


def _taken(name: str) -> BadRequest:
    return BadRequest(
        f"The custom emoji or one of its aliases is already in use: {name}",
        code="Custom_Emoji_Error_Name_Or_Alias_Already_In_Use",
    )


def _unknown() -> BadRequest:
    return BadRequest("Emoji not found.", code="error-emoji-not-found")
