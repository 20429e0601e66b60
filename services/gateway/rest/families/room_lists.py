"""Finding rooms: directories, completions, lists for administrators."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId
from services.gateway.rest.answers import Forbidden, InvalidParams, PlainRefusal, Refusal
from services.gateway.rest.asked import Asked, CommaWords, Listed, Paged, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.paging import (
    PagingRules,
    cut,
    paged,
    parse_fields,
    parse_paging,
)
from services.gateway.rest.requests import json_object
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps

routes = Routes()

_ADMINISTERED: Final = frozenset(
    {"_id", "name", "fname", "t", "msgs", "usersCount", "ts", "lm", "default"}
)
_COMPLETIONS: Final = 10  # rooms that a completion gives
_COMPLETED: Final = ("_id", "name", "fname", "t", "avatarETag", "encrypted", "usersCount")


class Administered(Listed):
    """Which rooms of the workspace are wanted."""

    filter: Word | None = None
    """A part of a name."""
    types: CommaWords = Field(default=[])
    """`c`, `p`, `d`, `discussions`."""


@routes.get("rooms.adminRooms")
async def administered(call: Call, asked: Administered) -> dict[str, Any]:
    """All rooms of the workspace, for administrators."""
    fields = parse_fields(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=_ADMINISTERED)
    page = await in_steps(
        lambda part: call.services.messaging.administered_rooms(
            call.user_id, part, asked.filter or None, asked.types or None
        ),
        paging,
    )
    answer = paged("rooms", page, paging)
    return answer | {"rooms": [fields.of(room) for room in page.items]}


class AdministeredRoom(Asked):
    """A room by id."""

    rid: Required


@routes.get("rooms.adminRooms.getRoom")
async def administered_room(call: Call, asked: AdministeredRoom) -> dict[str, Any]:
    """Any room of the workspace, for administrators."""
    return await call.services.messaging.administered_room(call.user_id, RoomId(asked.rid))


class Completed(Asked):
    """The beginning of a room's name."""

    selector: Word | None = None
    """JSON: `{"name": "…"}`."""


class CompletedPages(Paged, Completed):
    """The beginning of a room's name, page by page."""


def _name_part(asked: Completed) -> str:
    """Raises: PlainRefusal: no selector; InvalidParams: not one with a name."""
    if not asked.selector:
        raise PlainRefusal("The 'selector' param is required")
    selector = json_object(asked.selector)
    name = None if selector is None else selector.get("name", "")
    if not isinstance(name, str):
        raise InvalidParams("must be object")
    return name


def _completions(rooms: list[Document]) -> list[Document]:
    return [{key: room[key] for key in _COMPLETED if key in room} for room in rooms]


@routes.get("rooms.autocomplete.channelAndPrivate")
async def complete_own(call: Call, asked: Completed) -> dict[str, Any]:
    """Channels and groups of the caller whose name holds a text."""
    page = await call.services.messaging.own_rooms_named(
        call.user_id, _name_part(asked), Paging(count=_COMPLETIONS)
    )
    return {"items": _completions(page.items)}


@routes.get("rooms.autocomplete.channelAndPrivate.withPagination")
async def complete_own_pages(call: Call, asked: CompletedPages) -> dict[str, Any]:
    """Channels and groups of the caller whose name holds a text, page by page."""
    text = _name_part(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=("name", "_id"))
    page = await in_steps(
        lambda part: call.services.messaging.own_rooms_named(call.user_id, text, part), paging
    )
    return paged("items", page, paging) | {"items": _completions(page.items)}


@routes.get("rooms.autocomplete.adminRooms")
async def complete_all(call: Call, asked: Completed) -> dict[str, Any]:
    """Any rooms whose name holds a text, for administrators."""
    text = _name_part(asked)
    try:
        page = await call.services.messaging.administered_rooms(
            call.user_id, Paging(count=_COMPLETIONS), text or None
        )
    except NotAllowed:
        raise Forbidden from None
    return {"items": _completions(page.items)}


class CompletedName(Asked):
    """The beginning of a room's name."""

    name: Word = ""


@routes.get("rooms.autocomplete.availableForTeams")
async def complete_owned(call: Call, asked: CompletedName) -> dict[str, Any]:
    """Rooms that the caller owns whose name holds a text."""
    page = await call.services.messaging.own_rooms_named(
        call.user_id, asked.name, Paging(count=_COMPLETIONS), owned_only=True
    )
    return {"items": _completions(page.items)}


class Looked(Listed):
    """What is looked for in the directory."""

    text: Word | None = None
    type: Word | None = None
    """`channels`, `users` or `teams`."""
    workspace: Word | None = None


_DIRECTORY_SORT: Final = {
    "channels": {"name": "name", "createdAt": "ts", "ts": "ts", "lastMessage": "lm", "lm": "lm"}
    | {"usersCount": "usersCount", "msgs": "msgs"},
    "users": {"name": "name", "username": "username", "createdAt": "createdAt"},
}
_CHANNEL_SHOWN: Final = (
    *("_id", "name", "fname", "t", "ts", "usersCount", "topic", "description"),
    *("lastMessage", "archived", "default", "broadcast", "featured", "avatarETag"),
)


@routes.get("directory")
async def directory(call: Call, asked: Looked) -> dict[str, Any]:
    """Public channels or people, by a part of their name."""
    kind, text = _looked_for(asked)
    rules = await call.paging_rules()
    sort = _directory_sort(asked, kind)
    paging = parse_paging(asked.model_copy(update={"sort": None}), rules)
    paging = paging.model_copy(update={"sort": sort})
    messaging = call.services.messaging
    if kind == "teams":
        return paged("result", cut([], paging), paging)
    if kind == "channels":
        page = await in_steps(
            lambda part: messaging.channel_directory(call.user_id, part, text), paging
        )
        shown = [{key: room[key] for key in _CHANNEL_SHOWN if key in room} for room in page.items]
        page = Page(items=shown, total=page.total)
    else:
        page = await in_steps(
            lambda part: messaging.user_directory(call.user_id, part, text), paging
        )
    return paged("result", page, paging)


def _looked_for(asked: Looked) -> tuple[Literal["channels", "users", "teams"], str | None]:
    """Kind and text, from `query` or the parameters. Raises: PlainRefusal; InvalidParams."""
    query: dict[str, Any] | None = {}
    if asked.query:
        query = json_object(asked.query)
        if query is None:
            raise Refusal(
                f'Invalid query parameter provided: "{asked.query[:200]}"',
                code="error-invalid-query",
            )
    given = query or {}
    kind, text = given.get("type", asked.type), given.get("text", asked.text)
    if text is not None and not isinstance(text, str):
        raise PlainRefusal("Please verify the parameters")
    match kind:
        case "channels" | "users" | "teams":
            return kind, text or None
        case None:
            return "channels", text or None
        case _:
            raise InvalidParams("must be equal to one of the allowed values")


def _directory_sort(asked: Looked, kind: str) -> dict[str, int] | None:
    """Raises: PlainRefusal: more than one key, or none that is known; Refusal: no JSON."""
    if not asked.sort:
        return None
    known = _DIRECTORY_SORT.get(kind, {})
    wanted = json_object(asked.sort)
    if wanted is not None and len(wanted) > 1:
        raise PlainRefusal('This method support only one "sort" parameter')
    sort = parse_paging(asked, PagingRules(), sortable=known).sort
    return {known[key]: way for key, way in (sort or {}).items()} or None
