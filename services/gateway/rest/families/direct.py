"""`im.*` and `dm.*`: direct rooms, under two names."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Document
from hubbub.contracts.members import Disabled
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId, UserId
from services.gateway.rest.answers import Forbidden, PlainRefusal, Refusal
from services.gateway.rest.asked import (
    Asked,
    CommaWords,
    DirectSelector,
    Flag,
    Listed,
    Paged,
    UserSelector,
    Word,
)
from services.gateway.rest.call import Call
from services.gateway.rest.families import room_reads
from services.gateway.rest.families.room_doors import DIRECT_PREFIXES, direct, reading_direct
from services.gateway.rest.paging import cut, paged, parse_fields, parse_paging, sorted_by
from services.gateway.rest.requests import missing
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import direct_of, user_of
from services.gateway.rest.steps import in_steps

__all__ = ["PREFIXES", "routes"]

routes = Routes()

PREFIXES = DIRECT_PREFIXES

_SORTABLE = frozenset({"_id", "name", "ts", "lm", "msgs"})
_ADMINISTER = "view-room-administration"


reading_direct(routes, "history", room_reads.history)
reading_direct(routes, "messages", room_reads.messages)
reading_direct(routes, "members", room_reads.members)
reading_direct(routes, "counters", room_reads.counters)


class Create(Asked):
    """Who is to be in a direct room, by usernames."""

    username: Word | None = None
    usernames: CommaWords = Field(default=[])
    exclude_self: Flag = False
    """Whether the caller stays out of it; for administrators."""


@direct(routes, "POST", "create")
async def create(call: Call, asked: Create) -> dict[str, Any]:
    """The direct room with one or more users, made if need be."""
    usernames = [name for name in (asked.username,) if name] + asked.usernames
    if not usernames:
        raise Refusal(
            'Body param "username" or "usernames" is required',
            code="error-room-param-not-provided",
        )
    try:
        room = await call.services.messaging.create_direct(
            call.user_id, usernames, exclude_self=asked.exclude_self
        )
    except UserNotFound as error:
        raise BadRequest(error.reason or "Invalid user", code="error-invalid-user") from None
    return {"room": {**room, "rid": room["_id"], "t": "d"}}


@direct(routes, "GET", "list")
async def list_direct(call: Call, asked: Listed) -> dict[str, Any]:
    """The direct rooms of the caller."""
    fields = parse_fields(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=_SORTABLE)
    rooms = (await call.services.messaging.rooms_of(call.user_id)).update
    own = [room for room in rooms if room.get("t") == "d"]
    answer = paged("ims", cut(sorted_by(own, paging.sort, "name"), paging), paging)
    answer["ims"] = [fields.of(room) for room in answer["ims"]]
    return answer


@direct(routes, "GET", "list.everyone")
async def list_everyone(call: Call, asked: Listed) -> dict[str, Any]:
    """All direct rooms of the workspace, for administrators."""
    fields = parse_fields(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=_SORTABLE)
    try:
        page = await in_steps(
            lambda part: call.services.messaging.list_direct_rooms(call.user_id, part), paging
        )
    except NotAllowed:
        raise Forbidden from None
    answer = paged("ims", page, paging)
    answer["ims"] = [fields.of(room) for room in page.items]
    return answer


class Place(Asked):
    """A direct room by id."""

    room_id: Word | None = None


@direct(routes, "POST", "open")
async def open_direct(call: Call, asked: Place) -> None:
    """Show a direct room in the caller's list."""
    await _set_open(call, asked, is_open=True)


@direct(routes, "POST", "close")
async def close_direct(call: Call, asked: Place) -> None:
    """Hide a direct room in the caller's list."""
    await _set_open(call, asked, is_open=False)


async def _set_open(call: Call, asked: Place, *, is_open: bool) -> None:
    room_id = RoomId((await _place(call, asked))["_id"])
    membership = await call.services.messaging.subscription_of(call.user_id, room_id)
    if membership is None:
        raise PlainRefusal("The user is not subscribed to the room")
    if bool(membership.get("open")) == is_open and not is_open:
        raise PlainRefusal("The direct message room, is already closed to the sender")
    await call.services.messaging.set_room_open(call.user_id, room_id, is_open)


class SetTopic(Place):
    """A direct room, and what it is about."""

    topic: Word | None = None


@direct(routes, "POST", "setTopic")
async def set_topic(call: Call, asked: SetTopic) -> dict[str, Any]:
    """Change the topic of a direct room; an empty text clears it."""
    if asked.topic is None:
        raise Refusal('The bodyParam "topic" is required', code="error-topic-param-not-provided")
    room = await _place(call, asked)
    await call.services.messaging.save_room_settings(
        call.user_id, RoomId(room["_id"]), {"roomTopic": asked.topic}
    )
    return {"topic": asked.topic}


@direct(routes, "POST", "delete")
async def delete_direct(call: Call, asked: DirectSelector) -> None:
    """Delete a direct room with all that was said in it, for everybody in it."""
    room_id = asked.room_id
    if not room_id or not await call.may(_ADMINISTER):
        # An administrator need not be in a room to name it by its id.
        room_id = (await direct_of(call, asked, by_username=True))["_id"]
    await call.services.messaging.erase_direct_room(call.user_id, RoomId(room_id))


@direct(routes, "POST", "leave")
async def leave_direct(call: Call, asked: Place) -> None:
    """End the caller's membership in a direct room of more than two."""
    room = await _place(call, asked)
    await call.services.messaging.leave_direct_room(call.user_id, RoomId(room["_id"]))


class Kick(Place, UserSelector):
    """A direct room, and who is to leave it."""


@direct(routes, "POST", "kick")
async def kick_direct(call: Call, asked: Kick) -> None:
    """End somebody's membership in a direct room of more than two that the caller made."""
    room = await _place(call, asked)
    user = await user_of(call, asked)
    await call.services.messaging.leave_direct_room(
        call.user_id, RoomId(room["_id"]), UserId(user["_id"])
    )


class MessagesOfOthers(Place, Paged):
    """A direct room by id, and which of its messages."""


@direct(routes, "GET", "messages.others")
async def messages_of_others(call: Call, asked: MessagesOfOthers) -> dict[str, Any]:
    """What others said to each other, for administrators; off by default, and audited."""
    paging = parse_paging(asked, await call.paging_rules())
    if not asked.room_id:
        raise missing("roomId")
    room_id = RoomId(asked.room_id)
    try:
        page = await in_steps(
            lambda part: call.services.messaging.messages_of_others(call.user_id, room_id, part),
            paging,
        )
    except Disabled:
        raise
    except NotAllowed:
        raise Forbidden from None
    return paged("messages", page, paging)


async def _place(call: Call, asked: Place) -> Document:
    return await direct_of(call, DirectSelector(room_id=asked.room_id), by_username=False)
