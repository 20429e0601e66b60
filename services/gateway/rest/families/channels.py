"""`channels.*` and `groups.*`: one implementation, two doors."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.rooms import LastOwner, NewRoom, RoomNotFound, RoomType
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.rest.answers import Forbidden, PlainRefusal, Refusal
from services.gateway.rest.asked import (
    Asked,
    Flag,
    Listed,
    RoomSelector,
    UserSelector,
    UsersSelector,
    Word,
)
from services.gateway.rest.call import Call
from services.gateway.rest.families import room_reads
from services.gateway.rest.families.room_doors import acting, reading
from services.gateway.rest.paging import (
    Condition,
    Equals,
    Fields,
    Holds,
    cut,
    paged,
    parse_conditions,
    parse_fields,
    parse_paging,
)
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import (
    CHANNEL,
    GROUP,
    RoomKind,
    room_of,
    user_of,
    usernames_of,
    writable_room_of,
)
from services.gateway.rest.steps import in_steps
from services.gateway.rest.validation import filled

__all__ = ["acting", "check_not_last_owner", "routes"]

routes = Routes()

_SORTABLE = frozenset({"_id", "name", "fname", "ts", "lm", "msgs", "usersCount", "default"})


async def _info(call: Call, room: Document) -> dict[str, Any]:
    """The room."""
    key = CHANNEL.key if room["t"] == RoomType.CHANNEL else GROUP.key
    return {key: room}


reading(routes, "info", _info)
reading(routes, "history", room_reads.history)
reading(routes, "messages", room_reads.messages)
reading(routes, "members", room_reads.members)
reading(routes, "roles", room_reads.roles)
reading(routes, "moderators", room_reads.moderators)
reading(routes, "counters", room_reads.counters)


class Extra(Asked):
    """What may be said of a new room beside its name."""

    topic: Word | None = None
    description: Word | None = None
    announcement: Word | None = None
    broadcast: Flag = False


class Create(Asked):
    """A new room."""

    name: Word | None = None
    members: Annotated[Any, WithJsonSchema({"type": "array", "items": {"type": "string"}})] = None
    """Usernames; unknown ones are skipped."""
    read_only: Flag = False
    custom_fields: Annotated[Any, WithJsonSchema({"type": "object"})] = None
    extra_data: Extra = Extra()
    exclude_self: Flag = False


@acting(routes, "POST", "create")
async def create(call: Call, kind: RoomKind, asked: Create) -> dict[str, Any]:
    """Make a room."""
    if not asked.name:
        which = "Param" if kind is CHANNEL else "Body param"
        raise PlainRefusal(f'{which} "name" is required')
    members = [] if asked.members is None else asked.members
    if not isinstance(members, list):
        raise PlainRefusal('Param "members" must be an array if provided')
    if asked.custom_fields is not None and not isinstance(asked.custom_fields, dict):
        raise PlainRefusal('Param "customFields" must be an object if provided')
    extra = asked.extra_data
    room = filled(
        NewRoom,
        {
            "type": kind.type.value,
            "name": asked.name,
            "members": [name for name in members if name != ""],
            "read_only": asked.read_only,
            "custom_fields": asked.custom_fields,
            "topic": extra.topic,
            "description": extra.description,
            "announcement": extra.announcement,
            "broadcast": extra.broadcast,
            "exclude_self": asked.exclude_self,
        },
    )
    try:
        return {kind.key: await call.services.messaging.create_room(call.user_id, room)}
    except NotAllowed:
        raise Forbidden from None


class ListRooms(Listed):
    """Which rooms of a list: `query` knows `name`."""

    id: Word | None = Field(default=None, alias="_id")


@acting(routes, "GET", "list")
async def list_rooms(call: Call, kind: RoomKind, asked: ListRooms) -> dict[str, Any]:
    """Public channels, or the groups of the caller."""
    joined_only = kind is GROUP or not await call.may("view-c-room")
    return await _listed(call, kind, asked, joined_only=joined_only)


@acting(routes, "GET", "list.joined", CHANNEL)
async def list_joined(call: Call, kind: RoomKind, asked: ListRooms) -> dict[str, Any]:
    """The channels of the caller."""
    return await _listed(call, kind, asked, joined_only=True)


@acting(routes, "GET", "listAll", GROUP)
async def list_all(call: Call, kind: RoomKind, asked: ListRooms) -> dict[str, Any]:
    """All groups, for administrators."""
    await call.require("view-room-administration")
    return await _listed(call, kind, asked, joined_only=False)


async def _listed(
    call: Call, kind: RoomKind, asked: ListRooms, *, joined_only: bool
) -> dict[str, Any]:
    fields = parse_fields(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=_SORTABLE)
    conditions = parse_conditions(asked, {"name": (Equals, Holds)})
    if asked.id:
        found = await _one_listed(call, kind, RoomId(asked.id), joined_only=joined_only)
        page = cut([room for room in found if _fits(room, conditions.get("name"))], paging)
        return _paged(kind, page, paging, fields)
    name: str | None
    part: str | None
    match conditions.get("name"):
        case Equals(value=str(text)):
            name, part = text, None
        case Holds(text=text):
            name, part = None, text
        case _:
            name, part = None, None
    page = await in_steps(
        lambda step: call.services.messaging.list_rooms(
            call.user_id,
            "c" if kind is CHANNEL else "p",
            step,
            joined_only=joined_only,
            name=name,
            name_part=part,
        ),
        paging,
    )
    return _paged(kind, page, paging, fields)


async def _one_listed(
    call: Call, kind: RoomKind, room_id: RoomId, *, joined_only: bool
) -> list[Document]:
    """The room with this id, if it is of this kind and would be listed."""
    messaging = call.services.messaging
    if joined_only and await messaging.subscription_of(call.user_id, room_id) is None:
        return []
    try:
        return [await messaging.get_room(call.user_id, room_id=room_id, types=[kind.type])]
    except (RoomNotFound, NotAllowed):
        return []


def _fits(room: Document, name: Condition | None) -> bool:
    match name:
        case Equals(value=value):
            return bool(room.get("name") == value)
        case Holds(text=text):
            return text.casefold() in str(room.get("name", "")).casefold()
        case _:
            return True


def _paged(kind: RoomKind, page: Page, paging: Paging, fields: Fields) -> dict[str, Any]:
    answer = paged(kind.plural, page, paging)
    answer[kind.plural] = [fields.of(room) for room in page.items]
    return answer


class Join(RoomSelector):
    """A channel, and its join code if it has one."""

    join_code: Word | None = None


@acting(routes, "POST", "join", CHANNEL)
async def join(call: Call, kind: RoomKind, asked: Join) -> dict[str, Any]:
    """Become a member."""
    room = await writable_room_of(call, kind, asked)
    joined = await call.services.messaging.join_room(
        call.user_id, RoomId(room["_id"]), asked.join_code or None
    )
    return {kind.key: joined}


@acting(routes, "POST", "leave")
async def leave(call: Call, kind: RoomKind, asked: RoomSelector) -> dict[str, Any]:
    """End the caller's membership."""
    room = await room_of(call, asked, kind)
    await check_not_last_owner(call, RoomId(room["_id"]))
    await call.services.messaging.leave_room(call.user_id, RoomId(room["_id"]))
    return {kind.key: await _after_leaving(call, room)}


async def check_not_last_owner(call: Call, room_id: RoomId) -> None:
    """Raises: LastOwner: the caller is, even if nobody else is in the room.

    Realtime clients may leave a room in which they are alone; those of this API are refused,
    and their own tests want it so.
    """
    membership = await call.services.messaging.subscription_of(call.user_id, room_id)
    if "owner" not in (membership or {}).get("roles", ()):
        return
    held = await call.services.messaging.room_roles(call.user_id, room_id)
    owners = {entry["u"]["_id"] for entry in held if "owner" in entry.get("roles", ())}
    if owners == {call.user_id}:
        raise LastOwner("You are the last owner. Please set new owner before leaving the room.")


async def _after_leaving(call: Call, room: Document) -> Document:
    """The room as it is now, or, where it cannot be seen any more, as it must be."""
    try:
        return await call.services.messaging.get_room(call.user_id, room_id=room["_id"])
    except (RoomNotFound, NotAllowed):
        return {**room, "usersCount": max(0, int(room.get("usersCount", 1)) - 1)}


class Invite(RoomSelector, UsersSelector):
    """A room, and who is to be in it."""


@acting(routes, "POST", "invite")
async def invite(call: Call, kind: RoomKind, asked: Invite) -> dict[str, Any]:
    """Make others members."""
    room = await writable_room_of(call, kind, asked)
    if _names_nobody(asked):
        if kind is GROUP:
            raise Refusal("", code="error-empty-invite-list")
        raise PlainRefusal("invalid-user-invite-list")
    usernames = await usernames_of(call, asked)
    added = await call.services.messaging.add_users(call.user_id, RoomId(room["_id"]), usernames)
    return {kind.key: added}


def _names_nobody(asked: UsersSelector) -> bool:
    """Whether lists are given, and all of them are empty."""
    given = {"usernames", "user_ids"} & asked.model_fields_set
    single = asked.user_id or asked.username or asked.user
    return bool(given) and not (single or asked.usernames or asked.user_ids)


class Kick(RoomSelector, UserSelector):
    """A room, and who is to leave it."""


@acting(routes, "POST", "kick")
async def kick(call: Call, kind: RoomKind, asked: Kick) -> dict[str, Any] | None:
    """End somebody's membership."""
    room = await writable_room_of(call, kind, asked)
    user = await user_of(call, asked)
    after = await call.services.messaging.remove_user(
        call.user_id, RoomId(room["_id"]), user["username"]
    )
    return {kind.key: after} if kind is CHANNEL else None


class AddAll(RoomSelector):
    """A room, and whether deactivated users stay out of it."""

    active_users_only: Flag = False


@acting(routes, "POST", "addAll")
async def add_all(call: Call, kind: RoomKind, asked: AddAll) -> dict[str, Any]:
    """Make everybody a member."""
    room = await writable_room_of(call, kind, asked)
    added = await call.services.messaging.add_everybody(
        call.user_id, RoomId(room["_id"]), asked.active_users_only
    )
    return {kind.key: added}


class Online(Listed):
    """A room by id; also as `query={"_id":…}`."""

    id: Word | None = Field(default=None, alias="_id")
    room_id: Word | None = None


@acting(routes, "GET", "online")
async def online(call: Call, kind: RoomKind, asked: Online) -> dict[str, Any]:
    """Members that are not offline."""
    conditions = parse_conditions(asked, {"_id": (Equals,)})
    match conditions.get("_id"):
        case Equals(value=str(found)):
            room_id: str | None = found
        case _:
            room_id = asked.id or asked.room_id
    if not room_id:
        raise PlainRefusal("Invalid query")
    try:
        room = await call.services.messaging.get_room(
            call.user_id, room_id=room_id, types=[kind.type]
        )
    except (RoomNotFound, NotAllowed):
        raise PlainRefusal(f"{kind.key.capitalize()} does not exists") from None
    try:
        return await room_reads.online(call, room)
    except NotAllowed:
        raise Refusal("Not Allowed", code="error-not-allowed") from None
