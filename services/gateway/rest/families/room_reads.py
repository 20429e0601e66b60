"""What can be read of one room, whichever door it was found by.

Each read takes the call, the room, and what else was asked for; the doors enter them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.messages import History
from hubbub.contracts.room_lists import MessageFilter
from hubbub.errors import NotAllowed, TooLarge
from hubbub.ids import RoomId, UserId
from services.gateway.rest.answers import Forbidden, Refusal
from services.gateway.rest.asked import Asked, CommaWords, Flag, Listed, Paged, Whole, Word
from services.gateway.rest.call import Call
from services.gateway.rest.paging import (
    EVERYTHING,
    MAX_OFFSET,
    Condition,
    Equals,
    Holds,
    paged,
    parse_conditions,
    parse_paging,
)
from services.gateway.rest.requests import WrongValue, parse_date
from services.gateway.rest.steps import in_steps

HISTORY_COUNT: Final = 20  # messages of `*.history` when the client does not say
_CHUNK: Final = 100  # messages that messaging gives at once
_MEMBER_SORT: Final = frozenset({"username", "name", "status"})
_NEWEST_FIRST: Final = {"ts": -1}
_CONDITIONS: Final = {
    "_id": (Equals,),
    "u.username": (Equals,),
    "msg": (Equals, Holds),
    "ts": (Equals,),
}


def _moment(value: Any, info: ValidationInfo) -> datetime | None:
    textual = bool(info.context and info.context.get("textual"))
    if isinstance(value, list) and textual:
        value = value[-1] if value else None
    if not value:
        return None
    found = parse_date(value) if isinstance(value, str) else None
    if found is None:
        raise WrongValue('must match format "date-time"')
    return found


Moment = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A date; an empty text counts as absent."""


class HistoryAsked(Asked):
    """Which messages of a room are wanted."""

    latest: Moment = None
    """Only messages before this moment."""
    oldest: Moment = None
    """Only messages after this moment."""
    inclusive: Flag = False
    """Whether the two moments themselves belong to it."""
    count: Whole = None
    offset: Whole = None
    unreads: Flag = False
    """Tell what of the rest the caller has not seen."""
    show_thread_messages: Flag = True
    """Whether replies that show only in their thread are included."""


class MessagesAsked(Listed):
    """Which messages of a room are wanted, as a list."""

    mention_ids: CommaWords = Field(default=[])
    """User ids: only messages that mention one of them."""
    starred_ids: CommaWords = Field(default=[])
    """User ids: only messages that one of them starred."""
    pinned: Flag | None = None


class MembersAsked(Paged):
    """Which members of a room are wanted."""

    status: CommaWords = Field(default=[])
    filter_: Word | None = Field(default=None, alias="filter")
    """A part of a username or name."""


class CountersAsked(Asked):
    """Whose counters are wanted."""

    user_id: Word | None = None
    """The caller's own when absent."""


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


async def history(call: Call, room: Document, asked: HistoryAsked) -> dict[str, Any]:
    """Messages newest first, as `*.history` answers them."""
    rules = await call.paging_rules()
    room_id = RoomId(room["_id"])
    membership = (
        await call.services.messaging.subscription_of(call.user_id, room_id)
        if asked.unreads
        else None
    )
    stretch = Stretch(
        count=rules.count(asked.count, HISTORY_COUNT),
        offset=min(asked.offset or 0, MAX_OFFSET),
        latest=asked.latest,
        oldest=asked.oldest,
        inclusive=asked.inclusive,
        last_seen=(membership or {}).get("ls"),
        show_thread_messages=asked.show_thread_messages,
    )
    found = await _stretch(call, room_id, stretch)
    answer: dict[str, Any] = {"messages": found.messages}
    if asked.unreads:
        answer["unreadNotLoaded"] = found.unread_not_loaded
        if found.first_unread is not None:
            answer["firstUnread"] = found.first_unread
    return answer


async def messages(call: Call, room: Document, asked: MessagesAsked) -> dict[str, Any]:
    """Messages newest first, as a paged list."""
    paging = parse_paging(asked, await call.paging_rules(), sortable=("ts", "_id"))
    wanted = _filter(asked)
    if wanted == MessageFilter() and (paging.sort or _NEWEST_FIRST) == _NEWEST_FIRST:
        return await _newest(call, room, paging)
    try:
        page = await in_steps(
            lambda part: call.services.messaging.messages_of(
                call.user_id, RoomId(room["_id"]), part, wanted
            ),
            paging,
        )
    except NotAllowed:
        raise Forbidden from None
    return paged("messages", page, paging)


async def _newest(call: Call, room: Document, paging: Paging) -> dict[str, Any]:
    """All messages: their number is known without counting."""
    stretch = Stretch(count=paging.count, offset=paging.offset)
    found = (await _stretch(call, RoomId(room["_id"]), stretch)).messages
    total = max(int(room.get("msgs") or 0), paging.offset + len(found) if found else 0)
    return paged("messages", Page(items=found, total=total), paging)


def _filter(asked: MessagesAsked) -> MessageFilter:
    """What the client looks for. Raises: Refusal: a query that is not known."""
    conditions = parse_conditions(asked, _CONDITIONS)
    text = conditions.get("msg")
    at = _equal(conditions.get("ts"))
    return MessageFilter(
        message_id=_equal(conditions.get("_id")),
        author=_equal(conditions.get("u.username")),
        text=text.text if isinstance(text, Holds) else _equal(text),
        text_part=isinstance(text, Holds),
        ignore_case=isinstance(text, Holds) and text.ignore_case,
        at=None if at is None else _date_in_query(at, asked),
        mentioned=asked.mention_ids[:100],
        starred_by=asked.starred_ids[:100],
        pinned=asked.pinned,
    )


def _equal(condition: Condition | None) -> str | None:
    return str(condition.value) if isinstance(condition, Equals) else None


def _date_in_query(text: str, asked: MessagesAsked) -> datetime:
    found = parse_date(text)
    if found is None:
        raise Refusal(
            f'Invalid query parameter provided: "{asked.query}"', code="error-invalid-query"
        )
    return found


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


async def members(call: Call, room: Document, asked: MembersAsked) -> dict[str, Any]:
    """Members of the room, by username."""
    paging = parse_paging(asked, await call.paging_rules(), sortable=_MEMBER_SORT)
    try:
        page = await in_steps(
            lambda part: call.services.messaging.members(
                call.user_id,
                RoomId(room["_id"]),
                part,
                name_filter=asked.filter_ or None,
                statuses=asked.status or None,
            ),
            paging,
        )
    except NotAllowed:
        raise Forbidden from None
    return paged("members", page, paging)


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


async def counters(call: Call, room: Document, asked: CountersAsked) -> dict[str, Any]:
    """How much there is in the room, and how much of it the caller has not seen."""
    user_id = call.user_id
    other = asked.user_id
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
