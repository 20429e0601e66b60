"""Avatars: changed, and shown."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote, urlsplit

from aiohttp import web
from pydantic import AfterValidator

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.avatars import AvatarOwner
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.domain import ranges
from services.gateway.files.drawing import FORMATS
from services.gateway.files.portraits import LARGEST
from services.gateway.rest.answers import Answer, Forbidden, PlainRefusal, Refusal
from services.gateway.rest.asked import Asked, UserSelector, Whole, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.downloads import HARMLESS
from services.gateway.rest.router import Result, Routes, Upload
from services.gateway.rest.selectors import names_a_user
from services.gateway.store.pictures import Owner

routes = Routes()
pages = Routes()

_SMALLEST: Final = 8  # pixels
_WIDEST: Final = 1024
_LONGEST: Final = 256  # characters of a name that initials are made of
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_FOR_A_WHILE: Final = "public, max-age=300"
_FOR_ONE: Final = "private, max-age=300"


@routes.get("users.getAvatar", access="optional")
async def get_avatar(call: Call, asked: UserSelector) -> Answer:
    """Where a user's avatar is: a redirection to it."""
    owner = await _owner(call, asked)
    path = f"{urlsplit(call.shelves.root_url).path}/avatar/{quote(owner.username, safe='')}"
    return Answer(path, status=307, headers={"Location": path})


async def _owner(call: Call, asked: UserSelector) -> AvatarOwner:
    """The user that is named. Raises: Refusal."""
    if not names_a_user(asked):
        raise Refusal(
            'The required "userId" or "username" param was not provided',
            code="error-user-param-not-provided",
        )
    found = await call.services.account.avatar_owner(
        asked.user_id or None, asked.username or asked.user or None
    )
    if found is None:
        raise Refusal(
            'The required "userId" or "username" param provided does not match any users',
            code="error-invalid-user",
        )
    return found


class SetAvatar(Asked):
    """Whose avatar, and where it is if it is not in the form."""

    avatar_url: Word | None = None
    """The address of a picture on the web."""
    user_id: Word | None = None
    username: Word | None = None


@routes.post("users.setAvatar", upload=Upload("image", LARGEST))
async def set_avatar(call: Call, asked: SetAvatar) -> None:
    """Change the caller's avatar, or with a right somebody else's."""
    owner = await _permitted(call, asked.user_id, asked.username)
    if call.file is not None:
        await call.shelves.portraits.set_of_user(call.user_id, owner, bytes(call.file.data))
    elif asked.avatar_url:
        await call.shelves.portraits.set_from_address(call.user_id, owner, asked.avatar_url)
    else:
        raise PlainRefusal("The 'image' param is required")


@routes.post("users.resetAvatar")
async def reset_avatar(call: Call, asked: UserSelector) -> None:
    """Take the caller's avatar away, or with a right somebody else's."""
    owner = await _permitted(call, asked.user_id, asked.username or asked.user)
    await call.shelves.portraits.reset_of_user(call.user_id, owner)


async def _permitted(call: Call, user_id: str | None, username: str | None) -> AvatarOwner:
    try:
        return await call.services.account.may_set_avatar(
            call.user_id, user_id or None, (None if user_id else username) or None
        )
    except UserNotFound:
        raise Refusal(
            'The optional "userId" or "username" param provided does not match any users',
            code="error-invalid-user",
        ) from None


@routes.get("users.getAvatarSuggestion")
async def get_avatar_suggestion(call: Call) -> dict[str, Any]:
    """Pictures that the caller has elsewhere: none are known."""
    return {"suggestions": {}}


# -- pictures -----------------------------------------------------------------------------------


def _form(text: str | None) -> str | None:
    """A format by name; others count as absent, as clients expect of a picture's address."""
    wanted = (text or "").lower()
    return {"jpg": "jpeg"}.get(wanted, wanted) if wanted in (*FORMATS, "jpg") else None


class Look(Asked):
    """How an avatar is wanted."""

    size: Whole = None
    """Pixels, wide and high: 8 to 1024."""
    format: Annotated[Word | None, AfterValidator(_form)] = None
    """`png`, `jpeg` or `webp`; absent: as it is, initials as SVG."""
    etag: Word | None = None
    """The tag of the picture as the client knows it: such an answer may be kept for ever."""

    @property
    def pixels(self) -> int | None:
        return None if self.size is None else min(max(self.size, _SMALLEST), _WIDEST)


@pages.get("avatar/uid/*", access="optional", calls=0, page=True)
async def avatar_by_id(call: Call, asked: Look) -> Result:
    """The picture of a user by id, or initials."""
    await _check_open(call)
    owner = await call.services.account.avatar_owner(user_id=call.rest[:_LONGEST])
    return await _of_user(call, asked, owner, call.rest)


@pages.get("avatar/room/*", access="optional", calls=0, page=True)
async def avatar_of_room(call: Call, asked: Look) -> Result:
    """The picture of a room, or initials. Of a room that the caller may not see it says nothing."""
    await _check_open(call)
    name = await _room_name(call)
    room_id = None if name is None else call.rest
    return await _picture(call, asked, "room", room_id, name or call.rest, _FOR_ONE)


@pages.get("avatar/*", access="optional", calls=0, page=True)
async def avatar_by_name(call: Call, asked: Look) -> Result:
    """The picture of a user by name, or initials; `@name` gives initials only."""
    await _check_open(call)
    name = call.rest[:_LONGEST]
    if name.startswith("@"):
        return await _picture(call, asked, "user", None, name[1:], _FOR_A_WHILE)
    owner = await call.services.account.avatar_owner(username=name)
    return await _of_user(call, asked, owner, name)


async def _check_open(call: Call) -> None:
    if call.caller is None and await call.shelves.avatars_need_login():
        raise Forbidden


async def _of_user(call: Call, asked: Look, owner: AvatarOwner | None, name: str) -> Result:
    if owner is None or owner.etag is None:
        shown = name if owner is None else owner.username
        return await _picture(call, asked, "user", None, shown, _FOR_A_WHILE)
    return await _picture(call, asked, "user", owner.user_id, owner.username, _FOR_A_WHILE)


async def _room_name(call: Call) -> str | None:
    """The name of the room for the caller; None: there is none, or not for them."""
    messaging, room_id = call.services.messaging, call.rest[:_LONGEST]
    try:
        if call.caller is not None:
            return await messaging.room_name_of(call.user_id, RoomId(room_id))
        room = await messaging.get_room(None, room_id=room_id)
    except (NotAllowed, RoomNotFound):
        return None
    return str(room.get("name") or "")


async def _picture(
    call: Call, asked: Look, owner: Owner, owner_id: str | None, name: str, kept: str
) -> web.StreamResponse:
    picture = await call.shelves.portraits.shown(
        owner, owner_id, name[:_LONGEST], asked.pixels, asked.format
    )
    is_known = bool(asked.etag) and picture.etag.partition("-")[0] == asked.etag
    if is_known:
        kept = _FOR_EVER if owner == "user" else _FOR_EVER.replace("public", "private")
    headers = {
        **HARMLESS,
        "Cache-Control": kept,
        "ETag": f'"{picture.etag}"',
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Content-Disposition": "inline",
    }
    if ranges.is_current(call.headers.get("If-None-Match"), picture.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=picture.data, headers={**headers, "Content-Type": picture.type})
