"""`channels.*` and `groups.*`: one implementation, two doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.rooms import LastOwner, NewRoom, RoomNotFound, RoomType
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.rest.answers import Answer, Forbidden, PlainRefusal, Refusal
from services.gateway.rest.call import Call
from services.gateway.rest.families import room_reads
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
from services.gateway.rest.requests import Parameters
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

routes = Routes()

Read = Callable[[Call, Document], Awaitable[Mapping[str, Any]]]
Write = Callable[[Call, RoomKind], Awaitable[Mapping[str, Any] | Answer | None]]

_SORTABLE = frozenset({"_id", "name", "fname", "ts", "lm", "msgs", "usersCount", "default"})


def _reading(name: str, read: Read) -> None:
    """Enter a read of one room under both doors."""
    for kind in (CHANNEL, GROUP):

        async def handler(call: Call, kind: RoomKind = kind) -> Mapping[str, Any]:
            return await read(call, await room_of(call, call.query, kind))

        handler.__doc__ = read.__doc__
        routes.add("GET", f"{kind.plural}.{name}", handler)


def acting(family: Routes, method: str, name: str, *kinds: RoomKind) -> Callable[[Write], Write]:
    """Enter the decorated action into `family`, under the doors of `kinds` (both)."""

    def enter(act: Write) -> Write:
        for kind in kinds or (CHANNEL, GROUP):

            async def handler(
                call: Call, kind: RoomKind = kind
            ) -> Mapping[str, Any] | Answer | None:
                return await act(call, kind)

            handler.__doc__ = act.__doc__
            family.add(method, f"{kind.plural}.{name}", handler)
        return act

    return enter


async def _info(call: Call, room: Document) -> dict[str, Any]:
    """The room."""
    key = CHANNEL.key if room["t"] == RoomType.CHANNEL else GROUP.key
    return {key: room}


_reading("info", _info)
_reading("history", room_reads.history)
_reading("messages", room_reads.messages)
_reading("members", room_reads.members)
_reading("roles", room_reads.roles)
_reading("moderators", room_reads.moderators)
_reading("counters", room_reads.counters)


@acting(routes, "POST", "create")
async def create(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Make a room."""
    body = call.body
    if not body.text("name"):
        which = "Param" if kind is CHANNEL else "Body param"
        raise PlainRefusal(f'{which} "name" is required')
    if "members" in body and not isinstance(body.raw("members"), list):
        raise PlainRefusal('Param "members" must be an array if provided')
    if "customFields" in body and not isinstance(body.raw("customFields"), dict):
        raise PlainRefusal('Param "customFields" must be an object if provided')
    extra = Parameters(body.mapping("extraData") or {})
    room = filled(
        NewRoom,
        {
            "type": kind.type.value,
            "name": body.text("name"),
            "members": body.texts("members"),
            "read_only": body.flag("readOnly"),
            "custom_fields": body.mapping("customFields"),
            "topic": extra.text("topic"),
            "description": extra.text("description"),
            "announcement": extra.text("announcement"),
            "broadcast": extra.flag("broadcast"),
            "exclude_self": body.flag("excludeSelf"),
        },
    )
    try:
        return {kind.key: await call.services.messaging.create_room(call.user_id, room)}
    except NotAllowed:
        raise Forbidden from None


@acting(routes, "GET", "list")
async def list_rooms(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Public channels, or the groups of the caller."""
    joined_only = kind is GROUP or not await call.may("view-c-room")
    return await _listed(call, kind, joined_only=joined_only)


@acting(routes, "GET", "list.joined", CHANNEL)
async def list_joined(call: Call, kind: RoomKind) -> dict[str, Any]:
    """The channels of the caller."""
    return await _listed(call, kind, joined_only=True)


@acting(routes, "GET", "listAll", GROUP)
async def list_all(call: Call, kind: RoomKind) -> dict[str, Any]:
    """All groups, for administrators."""
    await call.require("view-room-administration")
    return await _listed(call, kind, joined_only=False)


async def _listed(call: Call, kind: RoomKind, *, joined_only: bool) -> dict[str, Any]:
    fields = parse_fields(call.query)
    paging = parse_paging(call.query, await call.paging_rules(), sortable=_SORTABLE)
    conditions = parse_conditions(call.query, {"name": (Equals, Holds)})
    room_id = call.query.text("_id")
    if room_id:
        found = await _one_listed(call, kind, RoomId(room_id), joined_only=joined_only)
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


@acting(routes, "POST", "join", CHANNEL)
async def join(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Become a member."""
    room = await writable_room_of(call, kind)
    joined = await call.services.messaging.join_room(
        call.user_id, RoomId(room["_id"]), call.body.text("joinCode") or None
    )
    return {kind.key: joined}


@acting(routes, "POST", "leave")
async def leave(call: Call, kind: RoomKind) -> dict[str, Any]:
    """End the caller's membership."""
    room = await room_of(call, call.body, kind)
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


@acting(routes, "POST", "invite")
async def invite(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Make others members."""
    room = await writable_room_of(call, kind)
    if _names_nobody(call.body):
        if kind is GROUP:
            raise Refusal("", code="error-empty-invite-list")
        raise PlainRefusal("invalid-user-invite-list")
    usernames = await usernames_of(call, call.body)
    added = await call.services.messaging.add_users(call.user_id, RoomId(room["_id"]), usernames)
    return {kind.key: added}


def _names_nobody(body: Parameters) -> bool:
    """Whether lists are given, and all of them are empty."""
    given = [name for name in ("usernames", "userIds") if name in body]
    single = any(body.text(name) for name in ("userId", "username", "user"))
    return bool(given) and not single and not any(body.texts(name) for name in given)


@acting(routes, "POST", "kick")
async def kick(call: Call, kind: RoomKind) -> dict[str, Any] | None:
    """End somebody's membership."""
    room = await writable_room_of(call, kind)
    user = await user_of(call, call.body)
    after = await call.services.messaging.remove_user(
        call.user_id, RoomId(room["_id"]), user["username"]
    )
    return {kind.key: after} if kind is CHANNEL else None


@acting(routes, "GET", "online")
async def online(call: Call, kind: RoomKind) -> dict[str, Any]:
    """Members that are not offline."""
    conditions = parse_conditions(call.query, {"_id": (Equals,)})
    match conditions.get("_id"):
        case Equals(value=str(found)):
            room_id: str | None = found
        case _:
            room_id = call.query.text("_id") or call.query.text("roomId")
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
