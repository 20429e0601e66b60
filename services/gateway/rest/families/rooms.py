"""`rooms.*` and `subscriptions.*`: rooms of any kind, and the caller's place in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hubbub.contracts.documents import Changes
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.rest.answers import Answer, Refusal
from services.gateway.rest.asked import Asked, Flag, Listed, Required, RoomSelector, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families import room_reads
from services.gateway.rest.families.channels import check_not_last_owner
from services.gateway.rest.paging import parse_fields
from services.gateway.rest.requests import missing, parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import room_of

routes = Routes()


class Since(Asked):
    """From when on changes are wanted."""

    updated_since: Word | None = None
    """A date; everything when absent."""


def since(asked: Since, *, named: str, code: str) -> datetime | None:
    """The parameter `updatedSince`; the refusal speaks of `named`. Raises: Refusal."""
    if not asked.updated_since:
        return None
    found = parse_date(asked.updated_since)
    if found is None:
        raise Refusal(f'The "{named}" query parameter must be a valid date.', code=code)
    return found


def changed(changes: Changes, moment: datetime | None) -> dict[str, Any]:
    """What changed, as the `…get` endpoints answer it."""
    return {"update": changes.update, "remove": changes.remove if moment else []}


@routes.get("rooms.get")
async def get(call: Call, asked: Since) -> dict[str, Any]:
    """The caller's rooms, or what changed in them."""
    moment = since(asked, named="updatedSince", code="error-updatedSince-param-invalid")
    return changed(await call.services.messaging.rooms_of(call.user_id, moment), moment)


class Info(RoomSelector, Listed):
    """One room, and which of its fields."""


@routes.get("rooms.info")
async def info(call: Call, asked: Info) -> dict[str, Any] | Answer:
    """One room of any kind, and the room it is a discussion of."""
    fields = parse_fields(asked)
    try:
        room = await room_of(call, asked)
    except Refusal as refusal:
        if refusal.code != "error-room-not-found":
            raise
        # So clients know it; for a room that does not exist too, which looks the same.
        return Answer(
            {"success": False, "error": "not-allowed", "errorType": "Not Allowed"}, status=400
        )
    answer: dict[str, Any] = {"room": fields.of(room)}
    if room.get("prid"):
        try:
            parent = await call.services.messaging.get_room(call.user_id, room_id=room["prid"])
        except (RoomNotFound, NotAllowed):
            return answer  # access to a discussion does not prove access to its parent
        kept = ("_id", "name", "fname", "t", "prid", "u")
        answer["parent"] = {key: parent[key] for key in kept if key in parent}
    return answer


class Named(Asked):
    """A room's name."""

    room_name: Required


@routes.get("rooms.nameExists")
async def name_exists(call: Call, asked: Named) -> dict[str, bool]:
    """Whether a channel or group of that name exists, seen by the caller or not."""
    return {"exists": await call.services.messaging.room_name_exists(asked.room_name)}


class Room(Asked):
    """A room by id."""

    rid: Required


@routes.get("rooms.roles")
async def roles(call: Call, asked: Room) -> dict[str, Any]:
    """Memberships of a room that hold roles."""
    return await room_reads.roles(call, {"_id": asked.rid})


@routes.post("rooms.leave")
async def leave(call: Call, asked: RoomSelector) -> None:
    """End the caller's membership in a room of any kind."""
    room = await room_of(call, asked)
    await check_not_last_owner(call, RoomId(room["_id"]))
    await call.services.messaging.leave_room(call.user_id, RoomId(room["_id"]))


@routes.get("subscriptions.get")
async def subscriptions(call: Call, asked: Since) -> dict[str, Any]:
    """The caller's memberships, or what changed in them."""
    moment = since(asked, named="lastUpdate", code="error-roomId-param-invalid")
    found = await call.services.messaging.subscriptions_of(call.user_id, moment)
    return changed(found, moment)


class One(Asked):
    """The room whose membership is wanted."""

    room_id: Required


@routes.get("subscriptions.getOne")
async def subscription(call: Call, asked: One) -> dict[str, Any]:
    """The caller's membership in one room; null when there is none."""
    room_id = RoomId(asked.room_id)
    found = await call.services.messaging.subscription_of(call.user_id, room_id)
    return {"subscription": found}


class Seen(Asked):
    """The room that has been seen. Clients use either name for its id."""

    rid: Word | None = None
    room_id: Word | None = None
    read_threads: Flag = False
    """Whether its threads have been seen, too."""


@routes.post("subscriptions.read")
async def read(call: Call, asked: Seen) -> None:
    """Everything in a room has been seen."""
    room_id = asked.rid or asked.room_id
    if not room_id:
        raise missing("rid")
    messaging = call.services.messaging
    if await messaging.subscription_of(call.user_id, RoomId(room_id)) is None:
        raise Refusal("Invalid subscription", code="error-invalid-subscription")
    await messaging.read_room(call.user_id, RoomId(room_id), asked.read_threads)
