"""Presence: who is there, what they say about it, and what the workspace offers to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field

from hubbub.contracts.documents import Document
from hubbub.contracts.presence import (
    CustomStatus,
    CustomStatusNotFound,
    Status,
    UnknownStatus,
    UserPresence,
)
from hubbub.errors import BadRequest
from hubbub.ids import UserId
from services.gateway.rest.answers import Forbidden, InvalidParams, PlainRefusal, Refusal
from services.gateway.rest.asked import (
    Asked,
    CommaWords,
    Listed,
    Required,
    UserSelector,
    Word,
)
from services.gateway.rest.call import Call
from services.gateway.rest.paging import Equals, paged, parse_conditions, parse_paging
from services.gateway.rest.requests import missing, parse_date
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import names_a_user, user_of
from services.gateway.rest.validation import filled

routes = Routes()

MAX_IDS: Final = 300  # users asked for at once; further ones are ignored
MAX_MESSAGE: Final = 120  # characters
RECENT: Final = timedelta(minutes=10)  # further back, everybody is listed


class PresenceWanted(Asked):
    """Whose presence, or since when."""

    ids: CommaWords | None = None
    """Users; further ones than 300 are ignored."""
    from_: Word | None = Field(default=None, alias="from")
    """A date: only who changed since, offline ones included, if it is less than ten minutes ago."""
    empty: Word | None = Field(default=None, alias="_empty")
    """Sent with a list that may be empty: then nobody is meant, not everybody."""


@routes.get("users.presence")
async def presence(call: Call, asked: PresenceWanted) -> dict[str, Any]:
    """Those who are not offline: of `ids`, or everybody; or those who changed lately."""
    if await call.door.workspace.presence_is_off():
        return {"users": [], "full": True}
    service = call.services.presence
    if asked.ids is not None or asked.empty is not None:
        ids = [UserId(one) for one in (asked.ids or [])[:MAX_IDS]]
        found = await service.presence_of(ids) if ids else []
        return {"users": _present(found), "full": False}
    moment = parse_date(asked.from_) if asked.from_ else None
    if moment is not None and datetime.now(UTC) - moment < RECENT:
        others = (
            user for user in await service.changed_since(moment) if user.user_id != call.user_id
        )
        return {"users": [_shown(user) for user in others], "full": False}
    return {"users": _present(await service.everybody_present()), "full": True}


def _present(users: list[UserPresence]) -> list[dict[str, Any]]:
    return [_shown(user) for user in users if user.status is not Status.OFFLINE]


def _shown(user: UserPresence) -> dict[str, Any]:
    shown = {
        "_id": user.user_id,
        "username": user.username,
        "name": user.name,
        "status": user.status.value,
        "utcOffset": user.utc_offset,
        "statusText": user.status_text,
        "avatarETag": user.avatar_etag,
    }
    return {key: value for key, value in shown.items() if value is not None}


@routes.get("users.getPresence")
async def get_presence(call: Call, asked: UserSelector) -> dict[str, Any]:
    """The status of one user; of oneself also the connection's and the last sign-in."""
    user = await _user(call, asked)
    if user["_id"] != call.user_id:
        return {"presence": (await _presence_of(call, user)).status.value}
    own = await call.services.presence.own_presence(call.user_id)
    answer: dict[str, Any] = {
        "presence": own.status.value,
        "connectionStatus": own.connection.value,
    }
    if "lastLogin" in user:
        answer["lastLogin"] = user["lastLogin"]
    return answer


@routes.get("users.getStatus")
async def get_status(call: Call, asked: UserSelector) -> dict[str, Any]:
    """The status and status text of one user."""
    user = await _user(call, asked)
    if user["_id"] == call.user_id:
        own = await call.services.presence.own_presence(call.user_id)
        return {
            "_id": call.user_id,
            "status": own.status.value,
            "message": own.text,
            "connectionStatus": own.connection.value,
        }
    other = await _presence_of(call, user)
    return {"_id": other.user_id, "status": other.status.value, "message": other.status_text}


class StatusChoice(UserSelector):
    """A status, a text, or both; somebody else's with a right."""

    status: Word | None = None
    """`online`, `away`, `busy` or `offline`."""
    message: Word | None = None
    """At most 120 characters; empty: none."""


@routes.post("users.setStatus")
async def set_status(call: Call, asked: StatusChoice) -> None:
    """Choose a status, a status text, or both."""
    wanted, message = asked.status, asked.message
    if wanted is None and message is None:
        raise missing("message")
    if message is not None and len(message.strip()) > MAX_MESSAGE:
        raise InvalidParams(f"must NOT have more than {MAX_MESSAGE} characters")
    status = status_of(wanted) if wanted is not None else None
    user_id = call.user_id
    if names_a_user(asked):
        user_id = UserId((await user_of(call, asked))["_id"])
        if user_id != call.user_id and not await call.may("edit-other-user-info"):
            raise Forbidden
    await call.services.presence.set_status(user_id, status, message)


def status_of(text: str) -> Status:
    """The status that `text` names. Raises: UnknownStatus."""
    try:
        return Status(text)
    except ValueError:
        raise UnknownStatus("Valid status types include online, away, offline, and busy.") from None


async def _user(call: Call, asked: UserSelector) -> Document:
    """The user that is named, or the caller."""
    if names_a_user(asked):
        named = await user_of(call, asked)
        if named["_id"] != call.user_id:
            return named
    return await call.services.account.user_info(call.user_id, user_id=call.user_id, full=True)


async def _presence_of(call: Call, user: Document) -> UserPresence:
    found = await call.services.presence.presence_of([UserId(user["_id"])])
    if not found:
        raise Refusal(
            'The required "userId" or "username" param provided does not match any users',
            code="error-invalid-user",
        )
    return found[0]


# -- statuses that the workspace offers -----------------------------------------------------------


class CustomStatusesWanted(Listed):
    """Which offered statuses; `query` knows `_id` and `name`."""

    id_: Word | None = Field(default=None, alias="_id")
    name: Word | None = None


async def list_custom(call: Call, asked: CustomStatusesWanted) -> dict[str, Any]:
    """Statuses that the workspace offers, by name."""
    paging = parse_paging(asked, await call.paging_rules(), sortable={"name"})
    known = {"_id": (Equals,), "name": (Equals,)}
    chosen = {
        key: str(condition.value)
        for key, condition in parse_conditions(asked, known).items()
        if isinstance(condition, Equals)
    }
    page = await call.services.presence.custom_statuses(
        paging, asked.id_ or chosen.get("_id"), asked.name or chosen.get("name")
    )
    return paged("statuses", page, paging)


routes.add("GET", "custom-user-status.list", list_custom)
routes.add("POST", "custom-user-status.list", list_custom)


class StatusToOffer(Asked):
    """A status text, and the status it stands for."""

    name: Required
    status_type: Word | None = None
    """`online` when absent."""


@routes.post("custom-user-status.create")
async def create_custom(call: Call, asked: StatusToOffer) -> dict[str, Any]:
    """Offer a status."""
    made = await call.services.presence.create_custom_status(
        call.user_id, _custom(asked.name, asked.status_type)
    )
    return {"customUserStatus": made}


class StatusToChange(StatusToOffer):
    """An offered status, and what it is to be."""

    id_: Required = Field(alias="_id")


@routes.post("custom-user-status.update")
async def update_custom(call: Call, asked: StatusToChange) -> dict[str, Any]:
    """Change an offered status."""
    try:
        changed = await call.services.presence.update_custom_status(
            call.user_id, asked.id_, _custom(asked.name, asked.status_type)
        )
    except CustomStatusNotFound:
        raise PlainRefusal(f'No custom user status found with the id of "{asked.id_}".') from None
    return {"customUserStatus": changed}


class StatusReference(Asked):
    """An offered status."""

    custom_user_status_id: Word | None = None


@routes.post("custom-user-status.delete")
async def delete_custom(call: Call, asked: StatusReference) -> None:
    """Offer a status no longer."""
    if not asked.custom_user_status_id:
        raise PlainRefusal('The "customUserStatusId" params is required!')
    await call.services.presence.delete_custom_status(call.user_id, asked.custom_user_status_id)


def _custom(name: str, status_type: str | None) -> CustomStatus:
    try:
        status = Status(status_type or Status.ONLINE.value)
    except ValueError:
        raise BadRequest(
            f"{(status_type or '')[:40]} is not a valid status type",
            code="error-input-is-not-a-valid-field",
        ) from None
    return filled(CustomStatus, {"name": name, "status_type": status})
