"""Which room or user a call means, and the exact words when there is none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Document
from hubbub.contracts.rooms import RoomNotFound, RoomType
from hubbub.errors import NotAllowed
from services.gateway.rest.answers import InvalidParams, Refusal
from services.gateway.rest.asked import (
    A,
    DirectSelector,
    RoomSelector,
    UserSelector,
    UsersSelector,
    ask,
)
from services.gateway.rest.call import Call
from services.gateway.rest.requests import Parameters

MAX_USERS = 500  # users that one call may name
_AT_ONCE = 8  # users looked up at the same time


@dataclass(frozen=True, slots=True)
class RoomKind:
    """What the two doors to rooms call things."""

    type: RoomType
    noun: str
    """In sentences: `does not match any <noun>`."""
    key: str
    """Of one room in an answer."""
    plural: str
    """Of several."""
    missing_code: str
    archived: str
    """Start of the sentence about an archived room."""


CHANNEL: Final = RoomKind(
    RoomType.CHANNEL,
    "channel",
    "channel",
    "channels",
    "error-roomid-param-not-provided",
    "The channel",
)
GROUP: Final = RoomKind(
    RoomType.PRIVATE_GROUP,
    "group",
    "group",
    "groups",
    "error-room-param-not-provided",
    "The private group",
)


def _as(model: type[A], chosen: A | Parameters) -> A:
    return ask(model, chosen) if isinstance(chosen, Parameters) else chosen


async def room_of(
    call: Call, chosen: RoomSelector | Parameters, kind: RoomKind | None = None
) -> Document:
    """The room that `roomId` or `roomName` names; of any kind when `kind` is None.

    A room that the caller may not see is answered like one that does not exist.

    Raises: Refusal: none given, unknown, not visible, or of another kind.
    """
    named = kind or CHANNEL
    chosen = _as(RoomSelector, chosen)
    room_id, name = chosen.room_id, chosen.room_name
    if not room_id and not name:
        raise Refusal('The parameter "roomId" or "roomName" is required', code=named.missing_code)
    viewer = call.caller.user_id if call.caller else None
    try:
        return await call.services.messaging.get_room(
            viewer,
            room_id=room_id or None,
            name=None if room_id else name,
            types=[kind.type] if kind else None,
        )
    except (RoomNotFound, NotAllowed):
        raise Refusal(
            f'The required "roomId" or "roomName" param provided does not match any {named.noun}',
            code="error-room-not-found",
        ) from None


async def writable_room_of(
    call: Call, kind: RoomKind, chosen: RoomSelector | None = None
) -> Document:
    """`room_of` for a call that changes the room. Raises: Refusal: archived, too."""
    room = await room_of(call, chosen or call.body, kind)
    if room.get("archived"):
        raise Refusal(
            f"{kind.archived}, {room.get('name', '')}, is archived", code="error-room-archived"
        )
    return room


async def direct_of(
    call: Call, chosen: DirectSelector | Parameters, *, by_username: bool
) -> Document:
    """The direct room that `roomId` (or, where allowed, `username`) names. Raises: Refusal."""
    chosen = _as(DirectSelector, chosen)
    room_id = chosen.room_id
    username = chosen.username if by_username else None
    if not room_id and not username:
        sentence = (
            'Query param "roomId" or "username" is required'
            if by_username
            else 'Body param "roomId" is required'
        )
        raise Refusal(sentence, code="error-room-param-not-provided")
    try:
        if not room_id:
            room_id = await call.services.messaging.room_id_of(call.user_id, str(username))
        return await call.services.messaging.get_room(
            call.user_id, room_id=room_id, types=[RoomType.DIRECT]
        )
    except (RoomNotFound, NotAllowed):
        raise Refusal(
            'The required "roomId" param provided does not match any direct message',
            code="error-room-not-found",
        ) from None


def names_a_user(chosen: UserSelector | Parameters) -> bool:
    """Whether a user selector is there at all."""
    chosen = _as(UserSelector, chosen)
    return bool(chosen.user_id or chosen.username or chosen.user)


async def user_of(call: Call, chosen: UserSelector | Parameters, *, full: bool = False) -> Document:
    """The user that `userId`, `username` or `user` names. Raises: Refusal."""
    chosen = _as(UserSelector, chosen)
    user_id = chosen.user_id
    username = chosen.username or chosen.user
    if not user_id and not username:
        raise Refusal(
            'The required "userId" or "username" param was not provided',
            code="error-user-param-not-provided",
        )
    try:
        return await call.services.account.user_info(
            call.user_id,
            user_id=user_id or None,
            username=None if user_id else username,
            full=full,
        )
    except UserNotFound:
        raise _no_such_user() from None


async def usernames_of(call: Call, chosen: UsersSelector | Parameters) -> list[str]:
    """The usernames behind `userId`, `username`, `userIds` or `usernames`. Raises: Refusal."""
    chosen = _as(UsersSelector, chosen)
    names = [name for name in (chosen.username, chosen.user) if name] + chosen.usernames
    ids = [one for one in (chosen.user_id,) if one] + chosen.user_ids
    if not names and not ids:
        raise Refusal(
            'Please provide "userId" or "username" or "userIds" or "usernames" as param',
            code="error-users-params-not-provided",
        )
    if len(names) + len(ids) > MAX_USERS:
        raise InvalidParams(f"must NOT have more than {MAX_USERS} items")
    return names + await _usernames(call, ids)


async def _usernames(call: Call, user_ids: list[str]) -> list[str]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def username(user_id: str) -> str:
        async with places:
            try:
                user = await call.services.account.user_info(call.user_id, user_id=user_id)
            except UserNotFound:
                raise _no_such_user() from None
            return str(user["username"])

    # All are awaited before the first failure is raised: none is left running behind.
    found = await asyncio.gather(*map(username, user_ids), return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in found if isinstance(outcome, str)]


def _no_such_user() -> Refusal:
    return Refusal(
        'The required "userId" or "username" param provided does not match any users',
        code="error-invalid-user",
    )
