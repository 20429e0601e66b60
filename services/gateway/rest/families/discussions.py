"""Discussions, and removing what was said."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.contracts.discussions import NewDiscussion, Stretch
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.rest.answers import Forbidden, PlainRefusal, Refusal
from services.gateway.rest.asked import Asked, Flag, Paged, RoomSelector, Whole, Word, Words
from services.gateway.rest.call import Call
from services.gateway.rest.paging import paged, parse_paging
from services.gateway.rest.requests import parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import CHANNEL, room_of
from services.gateway.rest.steps import in_steps
from services.gateway.rest.validation import filled

routes = Routes()

_SORTABLE = frozenset({"_id", "lm", "ts", "fname", "msgs", "usersCount"})


class Begun(Asked):
    """A discussion to be begun."""

    prid: Word | None = None
    """The id of the room that it hangs on."""
    name: Word | None = Field(default=None, alias="t_name")
    pmid: Word | None = None
    """The id of the message that it is about."""
    reply: Word | None = None
    """The first message in it."""
    users: Any = None
    """Usernames of its first members."""
    topic: Word | None = None
    encrypted: Flag | None = None


@routes.post("rooms.createDiscussion")
async def create(call: Call, asked: Begun) -> dict[str, Any]:
    """Begin a discussion in a room, about a message or a name."""
    if not asked.prid:
        raise PlainRefusal('Body parameter "prid" is required.')
    if not asked.name:
        raise PlainRefusal('Body parameter "t_name" is required.')
    if asked.users is not None and not isinstance(asked.users, list):
        raise PlainRefusal('Body parameter "users" must be an array.')
    discussion = filled(
        NewDiscussion,
        {
            "prid": asked.prid,
            "t_name": asked.name,
            "pmid": asked.pmid or None,
            "reply": asked.reply,
            "users": asked.users,
            "topic": asked.topic,
        },
    )
    return {"discussion": await call.services.messaging.create_discussion(call.user_id, discussion)}


class Hanging(RoomSelector, Paged):
    """The room whose discussions are wanted."""

    text: Word | None = None
    """A part of a discussion's name."""


@routes.get("rooms.getDiscussions")
async def discussions(call: Call, asked: Hanging) -> dict[str, Any]:
    """Discussions of a room, latest activity first."""
    room = await room_of(call, asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=_SORTABLE)
    page = await in_steps(
        lambda part: call.services.messaging.discussions(
            call.user_id, RoomId(room["_id"]), part, asked.text or None
        ),
        paging,
    )
    return paged("discussions", page, paging)


class Cleaned(RoomSelector):
    """Which messages of a room are to be removed for good."""

    latest: Word | None = None
    """A date: only messages before it."""
    oldest: Word | None = None
    """A date: only messages after it."""
    inclusive: Flag = False
    """Whether the two moments themselves belong to it."""
    limit: Whole = None
    """Messages at most, the oldest first."""
    exclude_pinned: Flag = False
    files_only: Flag = False
    """Remove only files; their messages stay."""
    users: Words = Field(default=[])
    """Only messages of these users, by username."""
    ignore_threads: Flag = False
    ignore_discussion: Flag = False
    """Leave messages alone that a discussion hangs on; otherwise it goes as well."""


@routes.post("rooms.cleanHistory")
async def clean_history(call: Call, asked: Cleaned) -> dict[str, Any]:
    """Remove what was said between two dates. A call that does a lot may have to be repeated."""
    room = await room_of(call, asked)
    if not asked.latest:
        raise PlainRefusal('Body parameter "latest" is required.')
    if not asked.oldest:
        raise PlainRefusal('Body parameter "oldest" is required.')
    latest, oldest = parse_date(asked.latest), parse_date(asked.oldest)
    if latest is None or oldest is None:
        name = "latest" if latest is None else "oldest"
        raise Refusal(f'The "{name}" parameter must be a valid date.', code="invalid-params")
    stretch = Stretch(
        latest=latest,
        oldest=oldest,
        inclusive=asked.inclusive,
        limit=asked.limit or 0,
        exclude_pinned=asked.exclude_pinned,
        files_only=asked.files_only,
        usernames=asked.users[:1000],
        ignore_threads=asked.ignore_threads,
        ignore_discussions=asked.ignore_discussion,
    )
    room_id = RoomId(room["_id"])
    try:
        pruned = await call.services.messaging.clean_history(call.user_id, room_id, stretch)
    except NotAllowed:
        raise Forbidden from None
    except (InvalidRoom, RoomNotFound):
        raise Refusal(
            'The required "roomId" or "roomName" param provided does not match any ' + CHANNEL.noun,
            code="error-room-not-found",
        ) from None
    return {"_id": room_id, "count": pruned.count}
