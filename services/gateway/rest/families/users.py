"""Users: who there is."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from hubbub.contracts.account import FieldTaken, Registration, UserNotFound
from hubbub.contracts.documents import Document
from hubbub.ids import UserId
from services.gateway.rest.answers import PlainRefusal
from services.gateway.rest.call import Call
from services.gateway.rest.families.departure import leave_everything
from services.gateway.rest.families.login import not_twice
from services.gateway.rest.paging import (
    Differs,
    paged,
    parse_conditions,
    parse_fields,
    parse_paging,
)
from services.gateway.rest.requests import json_object
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import user_of
from services.gateway.rest.steps import in_steps
from services.gateway.rest.validation import filled

routes = Routes()

_SEE_ALL: Final = "view-full-other-user-info"
_SORTABLE: Final = frozenset({"_id", "username", "name", "createdAt", "status"})
_ROOMS: Final = "userRooms"  # asks for the user's rooms beside everything else
_ROOM_FIELDS: Final = ("rid", "name", "t", "roles", "unread")


class NewUser(BaseModel):
    """What an administrator may say about a new account. Other keys are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str = Field(min_length=1)
    email: str = Field(min_length=1)
    username: str = Field(min_length=1)
    password: str | None = Field(default=None, repr=False)
    active: bool | None = None
    roles: list[str] | None = Field(default=None, max_length=100)
    verified: bool | None = None
    joinDefaultChannels: bool | None = None  # noqa: N815 - the name on the wire
    requirePasswordChange: bool | None = None  # noqa: N815
    sendWelcomeEmail: bool | None = None  # noqa: N815
    setRandomPassword: bool | None = None  # noqa: N815
    bio: str | None = None
    nickname: str | None = None
    statusText: str | None = None  # noqa: N815
    customFields: dict[str, Any] | None = None  # noqa: N815


@routes.post("users.register", access="optional", calls=1)
async def register(call: Call) -> dict[str, Any]:
    """Make an account for oneself."""
    not_twice(call)
    body = call.body
    registration = Registration(
        username=body.required_text("username"),
        name=body.text("name") or "",
        email=body.required_text("email"),
        password=body.required_text("pass"),
        reason=body.text("reason"),
    )
    account = call.services.account
    try:
        user_id = await account.register(registration, call.address)
    except FieldTaken:
        raise PlainRefusal("Username is already in use") from None
    return {"user": await account.user_info(user_id, user_id=user_id, full=True)}


@routes.post("users.create", permission="create-user")
async def create(call: Call) -> dict[str, Any]:
    """Make an account for somebody."""
    wanted = filled(NewUser, _values(call))
    user = await call.services.account.create_user(
        call.user_id, wanted.model_dump(exclude_none=True)
    )
    return {"user": user}


def _values(call: Call) -> dict[str, Any]:
    return {name: call.body.raw(name) for name in NewUser.model_fields}


@routes.post("users.delete", permission="delete-user")
async def delete(call: Call) -> None:
    """Remove an account, unless rooms would be left without an owner."""
    user = await user_of(call, call.body, full=True)
    user_id = UserId(user["_id"])
    await leave_everything(call.services, user_id)
    await call.services.account.delete_user(user_id)


@routes.get("users.info")
async def info(call: Call) -> dict[str, Any]:
    """One user, as far as the caller may see it."""
    query = call.query
    user_id, username, email = query.text("userId"), query.text("username"), query.text("email")
    if not (user_id or username or email):
        raise PlainRefusal("Invalid search query.")
    fields = parse_fields(query)
    sees_all = await call.may(_SEE_ALL)
    try:
        user = await call.services.account.user_info(
            call.user_id,
            user_id=user_id or None,
            username=username or None,
            email=email or None,
            full=sees_all,
        )
    except UserNotFound:
        raise PlainRefusal("User not found.") from None
    is_own = user["_id"] == call.user_id
    if not (user_id or username or sees_all or is_own):
        # Who may not see addresses does not learn whose one is, or that it is anybody's.
        raise PlainRefusal("User not found.")
    with_rooms = _ROOMS in fields.included or query.flag("includeUserRooms")
    shown = {**fields.without(_ROOMS).of(user), "canViewAllInfo": sees_all or is_own}
    if with_rooms and (is_own or await call.may("view-other-user-channels")):
        shown["rooms"] = await _rooms_of(call, UserId(user["_id"]))
    return {"user": shown}


async def _rooms_of(call: Call, user_id: UserId) -> list[Document]:
    memberships = await call.services.messaging.subscriptions_of(user_id)
    return [
        {key: entry[key] for key in _ROOM_FIELDS if key in entry} for entry in memberships.update
    ]


@routes.get("users.list", permission="view-d-room")
async def list_users(call: Call) -> dict[str, Any]:
    """All users, by username."""
    fields = parse_fields(call.query)
    conditions = parse_conditions(call.query, {"status": (Differs,)})
    paging = parse_paging(call.query, await call.paging_rules(), sortable=_SORTABLE)
    match conditions.get("status"):
        case Differs(value=str(status)):
            status_not: str | None = status
        case _:
            status_not = None
    full = await call.may(_SEE_ALL)
    page = await in_steps(
        lambda part: call.services.account.list_users(part, full=full, status_not=status_not),
        paging,
    )
    answer = paged("users", page, paging)
    answer["users"] = [fields.of(user) for user in page.items]
    return answer


@routes.get("users.autocomplete")
async def autocomplete(call: Call) -> dict[str, Any]:
    """Users whose name holds a text."""
    selector = json_object(call.query.text("selector") or "")
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


@routes.get("users.listTeams")
async def list_teams(call: Call) -> dict[str, Any]:
    """Teams do not exist here."""
    return {"teams": []}
