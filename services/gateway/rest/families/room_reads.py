"""What can be read of one room, whichever door it was found by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.messages import History
from hubbub.errors import NotAllowed, TooLarge
from hubbub.ids import RoomId, UserId
from services.gateway.rest.answers import Forbidden, InvalidParams
from services.gateway.rest.call import Call
from services.gateway.rest.paging import EVERYTHING, MAX_OFFSET, cut, paged, parse_paging
from services.gateway.rest.requests import Parameters, parse_date
from services.gateway.rest.steps import in_steps

HISTORY_COUNT: Final = 20  # messages of `*.history` when the client does not say
_CHUNK: Final = 100  # messages that messaging gives at once
_MEMBER_SORT: Final = frozenset({"username", "name", "status"})
_OFFLINE: Final = "offline"


def date(query: Parameters, name: str) -> datetime | None:
    """A date, or None when absent. Raises: InvalidParams."""
    text = query.text(name)
    if not text:
        return None
    found = parse_date(text)
    if found is None:
        raise InvalidParams('must match format "date-time"')
    return found


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which messages of a room are wanted."""

    count: int
    offset: int = 0
    latest: datetime | None = None
    oldest: datetime | None = None
    inclusive: bool = False
    last_seen: datetime | None = None
    show_thread_messages: bool = True


async def history(call: Call, room: Document) -> dict[str, Any]:
    """Messages newest first, as `*.history` answers them."""
    query, rules = call.query, await call.paging_rules()
    room_id = RoomId(room["_id"])
    unreads = query.flag("unreads")
    membership = (
        await call.services.messaging.subscription_of(call.user_id, room_id) if unreads else None
    )
    stretch = Stretch(
        count=rules.count(query.whole("count"), HISTORY_COUNT),
        offset=min(query.whole("offset") or 0, MAX_OFFSET),
        latest=date(query, "latest"),
        oldest=date(query, "oldest"),
        inclusive=query.flag("inclusive"),
        last_seen=(membership or {}).get("ls"),
        show_thread_messages=query.flag("showThreadMessages", default=True),
    )
    found = await _stretch(call, room_id, stretch)
    answer: dict[str, Any] = {"messages": found.messages}
    if unreads:
        answer["unreadNotLoaded"] = found.unread_not_loaded
        if found.first_unread is not None:
            answer["firstUnread"] = found.first_unread
    return answer


async def messages(call: Call, room: Document) -> dict[str, Any]:
    """Messages newest first, as a paged list."""
    paging = parse_paging(call.query, await call.paging_rules())
    stretch = Stretch(count=paging.count, offset=paging.offset)
    found = (await _stretch(call, RoomId(room["_id"]), stretch)).messages
    total = max(int(room.get("msgs") or 0), paging.offset + len(found) if found else 0)
    return paged("messages", Page(items=found, total=total), paging)


async def _stretch(call: Call, room_id: RoomId, wanted: Stretch) -> History:
    """The wanted messages, in as many steps as messaging needs. Raises: Forbidden."""
    found: History | None = None
    latest, inclusive, offset = wanted.latest, wanted.inclusive, wanted.offset
    collected: list[Document] = []
    step = _CHUNK
    while len(collected) < wanted.count or found is None:
        size = min(step, wanted.count - len(collected))
        try:
            part = await call.services.messaging.history(
                call.user_id,
                room_id,
                latest=latest,
                oldest=wanted.oldest,
                inclusive=inclusive,
                count=size,
                offset=offset,
                last_seen=wanted.last_seen if found is None else None,
                show_thread_messages=wanted.show_thread_messages,
            )
        except NotAllowed:
            raise Forbidden from None
        except TooLarge:
            if size == 1:
                raise
            step = size // 2
            continue
        collected += part.messages
        if found is None:
            found = part
            if part.messages and wanted.latest is None and offset == 0:
                # What arrives meanwhile must not shift the rest.
                latest, inclusive = part.messages[0]["ts"], True
        if len(part.messages) < size:
            break
        offset += size
    return found.model_copy(update={"messages": collected})


async def members(call: Call, room: Document) -> dict[str, Any]:
    """Members of the room, by username."""
    query = call.query
    paging = parse_paging(query, await call.paging_rules(), sortable=_MEMBER_SORT)
    statuses = frozenset(query.texts("status", split=True))
    # One status is filtered here, since messaging knows only "online" and "all".
    asked = Paging(count=EVERYTHING, sort=paging.sort) if statuses else paging
    try:
        page = await in_steps(
            lambda part: call.services.messaging.members(
                call.user_id,
                RoomId(room["_id"]),
                part,
                name_filter=query.text("filter") or None,
                online_only=bool(statuses) and _OFFLINE not in statuses,
            ),
            asked,
        )
    except NotAllowed:
        raise Forbidden from None
    if statuses:
        page = cut([item for item in page.items if _status(item) in statuses], paging)
    return paged("members", page, paging)


def _status(member: Document) -> str:
    return str(member.get("status") or _OFFLINE)


async def online(call: Call, room: Document) -> dict[str, Any]:
    """Members of the room that are not offline."""
    page = await in_steps(
        lambda part: call.services.messaging.members(
            call.user_id, RoomId(room["_id"]), part, online_only=True
        ),
        Paging(count=EVERYTHING),
    )
    return {
        "online": [{"_id": item["_id"], "username": item.get("username")} for item in page.items]
    }


async def roles(call: Call, room: Document) -> dict[str, Any]:
    """Memberships of the room that hold roles."""
    return {"roles": await call.services.messaging.room_roles(call.user_id, RoomId(room["_id"]))}


async def moderators(call: Call, room: Document) -> dict[str, Any]:
    """Members of the room with the role moderator."""
    held = await call.services.messaging.room_roles(call.user_id, RoomId(room["_id"]))
    return {"moderators": [entry["u"] for entry in held if "moderator" in entry.get("roles", ())]}


async def counters(call: Call, room: Document) -> dict[str, Any]:
    """How much there is in the room, and how much of it the caller has not seen."""
    user_id = call.user_id
    other = call.query.text("userId")
    administers = await call.may("view-room-administration")
    if other and other != user_id:
        if not administers:
            raise Forbidden
        user_id = UserId(other)
    membership = await call.services.messaging.subscription_of(user_id, RoomId(room["_id"]))
    if membership is None and not administers:
        names = ("members", "unreads", "unreadsFrom", "msgs", "latest", "userMentions")
        return {"joined": False, **dict.fromkeys(names)}
    seen = membership or {}
    return {
        "joined": membership is not None,
        "members": room.get("usersCount", 0),
        "unreads": seen.get("unread"),
        "unreadsFrom": seen.get("ls") or seen.get("ts"),
        "msgs": room.get("msgs", 0),
        "latest": room.get("lm"),
        "userMentions": seen.get("userMentions"),
    }
