"""`im.*` and `dm.*`: direct rooms, under two names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Document
from hubbub.errors import BadRequest
from hubbub.ids import RoomId
from services.gateway.rest.answers import PlainRefusal, Refusal
from services.gateway.rest.call import Call
from services.gateway.rest.families import room_reads
from services.gateway.rest.paging import cut, paged, parse_fields, parse_paging, sorted_by
from services.gateway.rest.router import Handler, Routes
from services.gateway.rest.selectors import direct_of

routes = Routes()

PREFIXES = ("im", "dm")

_SORTABLE = frozenset({"_id", "name", "ts", "lm", "msgs"})


def _entering(method: str, name: str) -> Callable[[Handler], Handler]:
    """Enter the decorated handler under both prefixes."""

    def enter(handler: Handler) -> Handler:
        for prefix in PREFIXES:
            routes.add(method, f"{prefix}.{name}", handler)
        return handler

    return enter


def _reading(
    name: str,
    read: Callable[[Call, Document], Awaitable[Mapping[str, Any]]],
    *,
    by_username: bool = True,
) -> None:
    async def handler(call: Call) -> Mapping[str, Any]:
        return await read(call, await direct_of(call, call.query, by_username=by_username))

    handler.__doc__ = read.__doc__
    _entering("GET", name)(handler)


_reading("history", room_reads.history)
_reading("messages", room_reads.messages)
_reading("members", room_reads.members)
_reading("counters", room_reads.counters)


@_entering("POST", "create")
async def create(call: Call) -> dict[str, Any]:
    """The direct room with one or more users, made if need be."""
    usernames = [name for name in (call.body.text("username"),) if name]
    usernames += call.body.texts("usernames", split=True)
    if not usernames:
        raise Refusal(
            'Body param "username" or "usernames" is required',
            code="error-room-param-not-provided",
        )
    try:
        room = await call.services.messaging.create_direct(call.user_id, usernames)
    except UserNotFound as error:
        raise BadRequest(error.reason or "Invalid user", code="error-invalid-user") from None
    return {"room": {**room, "rid": room["_id"], "t": "d"}}


@_entering("GET", "list")
async def list_direct(call: Call) -> dict[str, Any]:
    """The direct rooms of the caller."""
    fields = parse_fields(call.query)
    paging = parse_paging(call.query, await call.paging_rules(), sortable=_SORTABLE)
    rooms = (await call.services.messaging.rooms_of(call.user_id)).update
    direct = [room for room in rooms if room.get("t") == "d"]
    answer = paged("ims", cut(sorted_by(direct, paging.sort, "name"), paging), paging)
    answer["ims"] = [fields.of(room) for room in answer["ims"]]
    return answer


@_entering("POST", "open")
async def open_direct(call: Call) -> None:
    """Show a direct room in the caller's list."""
    await _set_open(call, is_open=True)


@_entering("POST", "close")
async def close_direct(call: Call) -> None:
    """Hide a direct room in the caller's list."""
    await _set_open(call, is_open=False)


async def _set_open(call: Call, *, is_open: bool) -> None:
    room_id = RoomId((await direct_of(call, call.body, by_username=False))["_id"])
    membership = await call.services.messaging.subscription_of(call.user_id, room_id)
    if membership is None:
        raise PlainRefusal("The user is not subscribed to the room")
    if bool(membership.get("open")) == is_open and not is_open:
        raise PlainRefusal("The direct message room, is already closed to the sender")
    await call.services.messaging.set_room_open(call.user_id, room_id, is_open)


@_entering("POST", "delete")
async def delete_direct(call: Call) -> None:
    """Delete a direct room with all that was said in it."""
    room = await direct_of(call, call.body, by_username=True)
    await call.services.messaging.erase_room(call.user_id, RoomId(room["_id"]))


@_entering("GET", "messages.others")
async def messages_of_others(call: Call) -> dict[str, Any]:
    """Always refused: nobody reads other people's direct rooms by this way."""
    raise Refusal("This endpoint is disabled", code="error-endpoint-disabled")
