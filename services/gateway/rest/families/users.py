"""Users: who there is."""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Document
from hubbub.ids import UserId
from services.gateway.rest.answers import PlainRefusal
from services.gateway.rest.asked import Asked, Flag, Listed, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.paging import (
    Differs,
    paged,
    parse_conditions,
    parse_fields,
    parse_paging,
)
from services.gateway.rest.requests import json_object
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps

routes = Routes()

_SORTABLE: Final = frozenset({"_id", "username", "name", "createdAt", "status"})
_ROOMS: Final = "userRooms"  # asks for the user's rooms beside everything else
_ROOM_FIELDS: Final = ("rid", "name", "t", "roles", "unread")


class Info(Listed):
    """Which user; one of the four is needed."""

    user_id: Word | None = None
    username: Word | None = None
    email: Word | None = None
    import_id: Word | None = None
    include_user_rooms: Flag = False


class Autocomplete(Asked):
    """Whose name is being typed."""

    selector: Word | None = None
    """JSON: `{"term": "an", "exceptions": ["bo"]}`."""


class Username(Asked):
    """A username."""

    username: Required


@routes.get("users.info")
async def info(call: Call, asked: Info) -> dict[str, Any]:
    """One user, as far as the caller may see it."""
    if not (asked.user_id or asked.username or asked.email or asked.import_id):
        raise PlainRefusal("Invalid search query.")
    fields = parse_fields(asked)
    try:
        user = await call.services.account.user_info(
            call.user_id,
            user_id=asked.user_id or None,
            username=asked.username or None,
            email=asked.email or None,
            import_id=asked.import_id or None,
            full=True,
        )
    except UserNotFound:
        raise PlainRefusal("User not found.") from None
    shown = {
        **fields.without(_ROOMS).of(user),
        "canViewAllInfo": user.get("canViewAllInfo") is True,
    }
    if (_ROOMS in fields.included or asked.include_user_rooms) and (
        user["_id"] == call.user_id or await call.may("view-other-user-channels")
    ):
        shown["rooms"] = await _rooms_of(call, UserId(user["_id"]))
    return {"user": shown}


async def _rooms_of(call: Call, user_id: UserId) -> list[Document]:
    memberships = await call.services.messaging.subscriptions_of(user_id)
    return [
        {key: entry[key] for key in _ROOM_FIELDS if key in entry} for entry in memberships.update
    ]


@routes.get("users.list")
async def list_users(call: Call, asked: Listed) -> dict[str, Any]:
    """All users, by username."""
    fields = parse_fields(asked)
    conditions = parse_conditions(asked, {"status": (Differs,)})
    paging = parse_paging(asked, await call.paging_rules(), sortable=_SORTABLE)
    match conditions.get("status"):
        case Differs(value=str(status)):
            status_not: str | None = status
        case _:
            status_not = None
    page = await in_steps(
        lambda part: call.services.account.list_users(call.user_id, part, status_not), paging
    )
    answer = paged("users", page, paging)
    answer["users"] = [fields.of(user) for user in page.items]
    return answer


@routes.get("users.autocomplete")
async def autocomplete(call: Call, asked: Autocomplete) -> dict[str, Any]:
    """Users whose name holds a text."""
    selector = json_object(asked.selector or "")
    if selector is None:
        raise PlainRefusal("The 'selector' param is required")
    term = selector.get("term")
    if not isinstance(term, str) or not term:
        return {"items": []}
    exceptions = selector.get("exceptions")
    found = await call.services.messaging.find_users_and_rooms(
        call.user_id,
        term,
        users=True,
        rooms=False,
        except_usernames=[name for name in exceptions if isinstance(name, str)]
        if isinstance(exceptions, list)
        else None,
    )
    return {"items": found.get("users", [])}


@routes.get("users.getUsernameSuggestion")
async def suggest_username(call: Call) -> dict[str, Any]:
    """A free username for the caller."""
    return {"result": await call.services.account.suggest_username(call.user_id)}


@routes.get("users.checkUsernameAvailability")
async def check_username(call: Call, asked: Username) -> dict[str, Any]:
    """Whether a username may be chosen."""
    return {"result": await call.services.account.is_username_free(asked.username)}


@routes.get("users.listTeams")
async def list_teams(call: Call) -> dict[str, Any]:
    """Teams do not exist here."""
    return {"teams": []}
