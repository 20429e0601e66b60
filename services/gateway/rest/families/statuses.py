"""Presence: who is there, and what they say about it."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.documents import Document
from hubbub.contracts.presence import Status, UnknownStatus, UserPresence
from hubbub.ids import UserId
from services.gateway.rest.answers import Forbidden, InvalidParams, Refusal
from services.gateway.rest.call import Call
from services.gateway.rest.requests import missing
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import names_a_user, user_of

routes = Routes()

MAX_IDS = 300  # users asked for at once; further ones are ignored
MAX_MESSAGE = 120  # characters


@routes.get("users.presence")
async def presence(call: Call) -> dict[str, Any]:
    """Those who are not offline: of `ids`, or everybody."""
    ids = call.query.texts("ids", split=True)[:MAX_IDS]
    asked = "ids" in call.query or "_empty" in call.query
    if await call.door.workspace.presence_is_off():
        return {"users": [], "full": True}
    if asked:
        found = (
            await call.services.presence.presence_of([UserId(one) for one in ids]) if ids else []
        )
    else:
        found = await call.services.presence.everybody_present()
    present = [_shown(user) for user in found if user.status is not Status.OFFLINE]
    return {"users": present, "full": not asked}


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
async def get_presence(call: Call) -> dict[str, Any]:
    """The status of one user; of oneself also the connection's and the last sign-in."""
    user = await _user(call)
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
async def get_status(call: Call) -> dict[str, Any]:
    """The status and status text of one user."""
    user = await _user(call)
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


@routes.post("users.setStatus")
async def set_status(call: Call) -> None:
    """Choose a status, a status text, or both."""
    body = call.body
    wanted, message = body.text("status"), body.text("message")
    if wanted is None and message is None:
        raise missing("message")
    if message is not None and len(message.strip()) > MAX_MESSAGE:
        raise InvalidParams(f"must NOT have more than {MAX_MESSAGE} characters")
    status = status_of(wanted) if wanted is not None else None
    user_id = call.user_id
    if names_a_user(body):
        user_id = UserId((await user_of(call, body))["_id"])
        if user_id != call.user_id and not await call.may("edit-other-user-info"):
            raise Forbidden
    await call.services.presence.set_status(user_id, status, message)


def status_of(text: str) -> Status:
    """The status that `text` names. Raises: UnknownStatus."""
    try:
        return Status(text)
    except ValueError:
        raise UnknownStatus("Valid status types include online, away, offline, and busy.") from None


async def _user(call: Call) -> Document:
    """The user the query names, or the caller."""
    if names_a_user(call.query):
        named = await user_of(call, call.query)
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
