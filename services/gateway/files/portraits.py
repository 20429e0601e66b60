"""Avatars of users and rooms: made from what people send, and given to whoever looks."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, Literal

from hubbub.clock import utc_now
from hubbub.contracts.account import Account
from hubbub.contracts.avatars import AvatarOwner
from hubbub.errors import BadRequest
from hubbub.ids import UserId, random_id
from services.gateway.domain import initials
from services.gateway.files.drawing import AVATAR, FORMATS, Drawn, Undrawable
from services.gateway.files.fetching import Fetcher
from services.gateway.files.images import Images
from services.gateway.store.pictures import Avatars, Owner, Picture

LARGEST: Final = 10 * 1024 * 1024
"""Bytes of a picture somebody sends as an avatar."""

_DATA: Final = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/\s]*={0,2})")
_SVG: Final = "image/svg+xml"


class Portraits:
    """All avatars."""

    def __init__(self, store: Avatars, images: Images, fetcher: Fetcher, account: Account) -> None:
        self._store = store
        self._images = images
        self._fetcher = fetcher
        self._account = account

    # -- changing -------------------------------------------------------------------------------

    async def set_of_user(
        self,
        actor_id: UserId,
        owner: AvatarOwner,
        data: bytes,
        origin: Literal["rest", "url", "upload"] = "rest",
    ) -> None:
        """Give a user a picture. Raises: BadRequest: `error-avatar-invalid-image`; NotAllowed."""
        etag = await self._keep("user", owner.user_id, data)
        # The picture first: whoever hears of the new tag finds it.
        await self._account.set_avatar(actor_id, owner.user_id, etag, origin)

    async def set_from_address(self, actor_id: UserId, owner: AvatarOwner, address: str) -> None:
        """Give a user the picture at an address. Raises: BadAddress; see `set_of_user`."""
        data = decoded(address) if address.startswith("data:") else None
        if data is None:
            data = await self._fetcher.fetch(address)
        await self.set_of_user(actor_id, owner, data, "url")

    async def reset_of_user(self, actor_id: UserId, owner: AvatarOwner) -> None:
        """Take a user's picture away. Raises: NotAllowed."""
        await self._account.set_avatar(actor_id, owner.user_id, None)
        await self._store.remove("user", owner.user_id)

    async def set_of_room(self, room_id: str, data: bytes) -> str:
        """Keep a room's picture; its tag. Raises: BadRequest: `error-avatar-invalid-image`."""
        return await self._keep("room", room_id, data)

    async def forget(self, owner: Owner, owner_id: str) -> None:
        """Remove the picture of somebody who is gone."""
        await self._store.remove(owner, owner_id)

    async def _keep(self, owner: Owner, owner_id: str, data: bytes) -> str:
        if len(data) > LARGEST:
            raise _invalid_image()
        try:
            drawn = await self._images.avatar(data)
        except Undrawable:
            raise _invalid_image() from None
        etag = random_id()
        await self._store.put(owner, owner_id, Picture(drawn.data, drawn.type, etag), utc_now())
        return etag

    # -- looking --------------------------------------------------------------------------------

    async def shown(
        self, owner: Owner, owner_id: str | None, name: str, size: int | None, form: str | None
    ) -> Picture:
        """A picture in the wanted size and format: the stored one, else initials.

        Args:
            owner_id: None for somebody unknown.
            name: whose initials are drawn.
            size: pixels, wide and high; None: as it is.
            form: one of `FORMATS`; None: as it is, initials as SVG.

        Raises: Unavailable.
        """
        picture = None if owner_id is None else await self._store.one(owner, owner_id)
        if picture is None:
            return await self._initials(name, size or AVATAR, form)
        is_as_stored = size in (None, AVATAR) and form in (None, _form_of(picture.type))
        if is_as_stored:
            return picture
        drawn = await self._images.converted(picture.data, size, form or _form_of(picture.type))
        return Picture(drawn.data, drawn.type, f"{picture.etag}-{size or AVATAR}-{drawn.type[6:]}")

    async def _initials(self, name: str, size: int, form: str | None) -> Picture:
        letters = initials.initials_of(name)
        drawn = (
            Drawn(initials.svg(name, size), _SVG)
            if form is None
            else await self._images.initials(name, size, form)
        )
        color = initials.color_of(name).removeprefix("#")
        code = "-".join(format(ord(letter), "x") for letter in letters)
        return Picture(drawn.data, drawn.type, f"i-{color}-{code}-{size}-{drawn.type[6:]}")


def decoded(text: str) -> bytes:
    """The bytes in a `data:` address. Raises: BadRequest: `error-avatar-invalid-image`."""
    match = _DATA.fullmatch(text)
    if match is None:
        raise _invalid_image()
    try:
        return base64.b64decode(match[1])
    except binascii.Error:
        raise _invalid_image() from None


def _form_of(media_type: str) -> str:
    return next((form for form, known in FORMATS.items() if known == media_type), "png")


def _invalid_image() -> BadRequest:
    return BadRequest("Invalid image", code="error-avatar-invalid-image")
