"""`rooms.*` and `subscriptions.*`: rooms of any kind, and the caller's place in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hubbub.contracts.documents import Changes
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.rest.answers import Refusal
from services.gateway.rest.call import Call
from services.gateway.rest.families import room_reads
from services.gateway.rest.families.channels import check_not_last_owner
from services.gateway.rest.paging import parse_fields
from services.gateway.rest.requests import missing, parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import room_of

routes = Routes()


def since(call: Call, *, named: str, code: str) -> datetime | None:
    """The parameter `updatedSince`; the refusal speaks of `named`. Raises: Refusal."""
    text = call.query.text("updatedSince")
    if not text:
        return None
    found = parse_date(text)
    if found is None:
        raise Refusal(f'The "{named}" query parameter must be a valid date.', code=code)
    return found


def changed(changes: Changes, moment: datetime | None) -> dict[str, Any]:
    """What changed, as the `…get` endpoints answer it."""
    return {"update": changes.update, "remove": changes.remove if moment else []}


@routes.get("rooms.get")
async def get(call: Call) -> dict[str, Any]:
    """The caller's rooms, or what changed in them."""
    moment = since(call, named="updatedSince", code="error-updatedSince-param-invalid")
    return changed(await call.services.messaging.rooms_of(call.user_id, moment), moment)


@routes.get("rooms.info")
async def info(call: Call) -> dict[str, Any]:
    """One room of any kind, and the room it is a discussion of."""
    fields = parse_fields(call.query)
    room = await room_of(call, call.query)
    answer: dict[str, Any] = {"room": fields.of(room)}
    if room.get("prid"):
        try:
            answer["parent"] = await call.services.messaging.get_room(
                call.user_id, room_id=room["prid"]
            )
        except (RoomNotFound, NotAllowed):
            return answer  # access to a discussion does not prove access to its parent
    return answer


@routes.get("rooms.roles")
async def roles(call: Call) -> dict[str, Any]:
    """Memberships of a room that hold roles."""
    room_id = call.query.required_text("rid")
    return await room_reads.roles(call, {"_id": room_id})


@routes.post("rooms.leave")
async def leave(call: Call) -> None:
    """End the caller's membership in a room of any kind."""
    room = await room_of(call, call.body)
    await check_not_last_owner(call, RoomId(room["_id"]))
    await call.services.messaging.leave_room(call.user_id, RoomId(room["_id"]))


@routes.get("subscriptions.get")
async def subscriptions(call: Call) -> dict[str, Any]:
    """The caller's memberships, or what changed in them."""
    moment = since(call, named="lastUpdate", code="error-roomId-param-invalid")
    found = await call.services.messaging.subscriptions_of(call.user_id, moment)
    return changed(found, moment)


@routes.get("subscriptions.getOne")
async def subscription(call: Call) -> dict[str, Any]:
    """The caller's membership in one room; null when there is none."""
    room_id = RoomId(call.query.required_text("roomId"))
    found = await call.services.messaging.subscription_of(call.user_id, room_id)
    return {"subscription": found}


@routes.post("subscriptions.read")
async def read(call: Call) -> None:
    """Everything in a room has been seen."""
    room_id = call.body.text("rid") or call.body.text("roomId")
    if not room_id:
        raise missing("rid")
    messaging = call.services.messaging
    if await messaging.subscription_of(call.user_id, RoomId(room_id)) is None:
        raise Refusal("Invalid subscription", code="error-invalid-subscription")
    await messaging.read_room(call.user_id, RoomId(room_id), call.body.flag("readThreads"))
