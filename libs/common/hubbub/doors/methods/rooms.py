"""Rooms and memberships."""

from __future__ import annotations

from typing import Any, Final, Literal

from hubbub.contracts.documents import Document, Identifier, Paging, Text
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import NewRoom, RoomNotFound, RoomType
from hubbub.doors.methods.listing import listed
from hubbub.doors.parameters import (
    Browsed,
    Limit,
    RoomExtra,
    RoomUser,
    RoomUsers,
    Since,
    SpotlightKinds,
    Username,
    Window,
)
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId

_LISTED: Final = 100  # rooms or users of one answer
_BROWSED_BY: Final = {
    ("channels", "createdAt"): "ts",
    ("channels", "lastMessage"): "lm",
    ("users", "usernames"): "username",
}
"""What clients call the order of a directory → the field."""


@method("subscriptions/get", parallel_safe=True, anonymous=True)
async def subscriptions_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """The caller's memberships, or what changed in them."""
    changes = await call.services.messaging.subscriptions_of(call.caller.user_id, updated_since)
    return listed(changes, updated_since)


@method("rooms/get", parallel_safe=True, anonymous=True)
async def rooms_get(call: Call, updated_since: Since = None) -> list[Document] | dict[str, Any]:
    """The caller's rooms, or what changed in them."""
    changes = await call.services.messaging.rooms_of(call.caller.user_id, updated_since)
    return listed(changes, updated_since)


@method("getRoomIdByNameOrId", parallel_safe=True)
async def get_room_id_by_name_or_id(call: Call, name_or_id: Identifier) -> RoomId:
    """The id of a room known by id, name, or the other user's name."""
    return await call.services.messaging.room_id_of(call.user_id, name_or_id)


@method("getRoomNameById", parallel_safe=True)
async def get_room_name_by_id(call: Call, room_id: Identifier) -> str:
    """The name of a room; of a direct room the other user's."""
    return await call.services.messaging.room_name_of(call.user_id, RoomId(room_id))


@method("getRoomByTypeAndName", parallel_safe=True, anonymous=True)
async def get_room_by_type_and_name(
    call: Call, room_type: Literal["c", "p", "d"], name: Identifier
) -> Document:
    """A room of a type, by id or name; a direct room also by the other's username."""
    messaging, viewer = call.services.messaging, call.caller.user_id
    types = [RoomType(room_type)]
    try:
        return await messaging.get_room(viewer, room_id=name, types=types)
    except RoomNotFound:
        pass  # so it is a name
    try:
        if types != [RoomType.DIRECT]:
            return await messaging.get_room(viewer, name=name, types=types)
        room_id = await messaging.room_id_of(call.user_id, name)
        return await messaging.get_room(viewer, room_id=room_id, types=types)
    except (RoomNotFound, NotAllowed):
        raise InvalidRoom("Invalid room") from None


@method("getRoomById", parallel_safe=True)
async def get_room_by_id(call: Call, room_id: Identifier) -> Document:
    """A room by id."""
    try:
        return await call.services.messaging.get_room(call.user_id, room_id=room_id)
    except (RoomNotFound, NotAllowed):
        raise NotAllowed("Not allowed") from None


@method("roomNameExists", parallel_safe=True)
async def room_name_exists(call: Call, name: Identifier) -> bool:
    """Whether a channel or private group of that name exists, seen or not."""
    return await call.services.messaging.room_name_exists(name)


@method("channelsList", parallel_safe=True)
async def channels_list(
    call: Call,
    name_part: Text = "",
    kind: Literal["all", "public", "private"] = "all",
    limit: Limit = 0,
    sort: Text = "name",
) -> dict[str, list[Document]]:
    """Channels, and the caller's private groups, whose name holds a text."""
    messaging = call.services.messaging
    order = {"msgs": -1} if sort == "msgs" else {"name": 1}
    paging = Paging(count=min(limit or _LISTED, _LISTED), sort=order)
    found: list[Document] = []
    if kind != "private":
        page = await messaging.list_rooms(call.user_id, "c", paging, name_part=name_part or None)
        found += page.items
    if kind != "public":
        page = await messaging.list_rooms(
            call.user_id, "p", paging, joined_only=True, name_part=name_part or None
        )
        found += page.items
    if sort == "msgs":
        found.sort(key=lambda room: -int(room.get("msgs", 0)))
    else:
        found.sort(key=lambda room: str(room.get("name", "")).casefold())
    return {"channels": found[: paging.count]}


@method("browseChannels", parallel_safe=True)
async def browse_channels(call: Call, asked: Browsed) -> dict[str, Any]:
    """A page of the directory of channels or of people."""
    if asked.type == "teams":
        return {"results": [], "total": 0}
    limit = min(asked.limit or _LISTED, _LISTED)
    offset = asked.offset if asked.offset is not None else (asked.page or 0) * limit
    key = _BROWSED_BY.get((asked.type, asked.sort_by), asked.sort_by)
    paging = Paging(
        count=limit,
        offset=offset,
        sort={key: -1 if asked.sort_direction == "desc" else 1},
    )
    messaging = call.services.messaging
    if asked.type == "channels":
        page = await messaging.channel_directory(call.user_id, paging, asked.text or None)
    else:
        page = await messaging.user_directory(call.user_id, paging, asked.text or None)
    return {"results": page.items, "total": page.total}


@method("createDirectMessage")
async def create_direct_message(call: Call, *usernames: Username) -> Document:
    """The direct room with these users, made if need be."""
    if not usernames:
        raise BadRequest("Match failed", code=400)
    return await call.services.messaging.create_direct(call.user_id, list(usernames))


async def _create_room(
    call: Call,
    room_type: Literal["c", "p"],
    name: str,
    members: list[str],
    read_only: bool,
    custom_fields: dict[str, Any] | None,
    extra: RoomExtra | None,
) -> Document:
    extra = extra or RoomExtra()
    room = await call.services.messaging.create_room(
        call.user_id,
        NewRoom(
            type=room_type,
            name=name,
            members=members,
            read_only=read_only,
            custom_fields=custom_fields,
            topic=extra.topic,
            description=extra.description,
            announcement=extra.announcement,
            broadcast=extra.broadcast,
            repeatable=True,  # one client repeats unanswered calls after a reconnect
        ),
    )
    return {**room, "rid": room["_id"]}


@method("createChannel")
async def create_channel(
    call: Call,
    name: Text,
    members: list[Username] | None = None,
    read_only: bool = False,
    custom_fields: dict[str, Any] | None = None,
    extra: RoomExtra | None = None,
) -> Document:
    """Make a public channel."""
    return await _create_room(call, "c", name, members or [], read_only, custom_fields, extra)


@method("createPrivateGroup")
async def create_private_group(
    call: Call,
    name: Text,
    members: list[Username] | None = None,
    read_only: bool = False,
    custom_fields: dict[str, Any] | None = None,
    extra: RoomExtra | None = None,
) -> Document:
    """Make a private group."""
    return await _create_room(call, "p", name, members or [], read_only, custom_fields, extra)


@method("joinRoom")
async def join_room(call: Call, room_id: Identifier, join_code: Text | None = None) -> bool:
    """Become a member of a public room."""
    await call.services.messaging.join_room(call.user_id, RoomId(room_id), join_code or None)
    return True


@method("leaveRoom")
async def leave_room(call: Call, room_id: Identifier) -> Nothing:
    """End the caller's membership."""
    await call.services.messaging.leave_room(call.user_id, RoomId(room_id))
    return NOTHING


@method("addUsersToRoom")
async def add_users_to_room(call: Call, users: RoomUsers) -> bool:
    """Make others members."""
    await call.services.messaging.add_users(call.user_id, RoomId(users.room_id), users.users)
    return True


@method("addUserToRoom")
async def add_user_to_room(call: Call, user: RoomUser) -> bool:
    """Make another user a member."""
    await call.services.messaging.add_users(call.user_id, RoomId(user.room_id), [user.username])
    return True


@method("removeUserFromRoom")
async def remove_user_from_room(call: Call, user: RoomUser) -> bool:
    """End another user's membership."""
    await call.services.messaging.remove_user(call.user_id, RoomId(user.room_id), user.username)
    return True


@method("getUsersOfRoom", parallel_safe=True)
async def get_users_of_room(
    call: Call,
    room_id: Identifier,
    show_all: bool = False,
    window: Window | None = None,
    name_filter: Text | None = None,
) -> dict[str, Any]:
    """Members of a room; those online unless all are wanted."""
    window = window or Window()
    page = await call.services.messaging.members(
        call.user_id,
        RoomId(room_id),
        Paging(count=min(window.limit or 50, 5000), offset=max(window.skip or 0, 0)),
        name_filter=name_filter or None,
        online_only=not show_all,
    )
    return {"total": page.total, "records": page.items}


@method("getRoomRoles", parallel_safe=True)
async def get_room_roles(call: Call, room_id: Identifier) -> list[Document]:
    """Memberships of a room that hold roles."""
    return await call.services.messaging.room_roles(call.user_id, RoomId(room_id))


@method("spotlight", parallel_safe=True)
async def spotlight(
    call: Call,
    text: Text,
    except_usernames: list[Text] | None = None,
    kinds: SpotlightKinds | None = None,
    room_id: Text | None = None,
) -> dict[str, list[Document]]:
    """Users and rooms whose name holds a text; members of `room_id` first."""
    kinds = kinds or SpotlightKinds()
    return await call.services.messaging.find_users_and_rooms(
        call.user_id, text, kinds.users, kinds.rooms, except_usernames, room_id or None
    )
