"""Links that let their holders into a room."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hubbub.ids import RoomId
from services.gateway.rest.answers import Answer, Refusal
from services.gateway.rest.asked import Asked, Required, Words
from services.gateway.rest.call import Call
from services.gateway.rest.requests import missing
from services.gateway.rest.router import Routes

routes = Routes()


class FindOrCreate(Asked):
    """A room, and the limits of a link into it."""

    rid: Required
    days: int = 1
    """0, 1, 7, 15 or 30; 0: for ever."""
    max_uses: int = 0
    """0, 1, 5, 10, 25, 50 or 100; 0: as often as anybody likes."""


@routes.post("findOrCreateInvite")
async def find_or_create(call: Call, asked: FindOrCreate) -> dict[str, Any]:
    """A link into a room; the same one again while it is valid."""
    return await call.services.messaging.find_or_create_invite(
        call.user_id, RoomId(asked.rid), asked.days, asked.max_uses
    )


@routes.get("listInvites")
async def list_invites(call: Call) -> Answer:
    """The links that the caller may see, as a bare list."""
    return Answer(await call.services.messaging.list_invites(call.user_id))


async def remove(call: Call) -> Answer:
    """Make a link invalid; the answer is a bare `true`."""
    if not call.rest:
        raise missing("_id")
    await call.services.messaging.remove_invite(call.user_id, call.rest)
    return Answer(True)


routes.add("DELETE", "removeInvite/*", remove)


class Token(Asked):
    """What a link carries."""

    token: Required


@routes.post("useInviteToken")
async def use(call: Call, asked: Token) -> dict[str, Any]:
    """Become a member by a link."""
    return {"room": await call.services.messaging.use_invite(call.user_id, asked.token)}


@routes.post("validateInviteToken", access="anonymous")
async def validate(call: Call, asked: Token) -> dict[str, Any]:
    """Whether a link would let somebody in now."""
    return {"valid": await call.services.messaging.is_invite_valid(asked.token)}


class Addresses(Asked):
    """Whom to write to."""

    emails: Words = Field(min_length=1)


@routes.post("sendInvitationEmail")
async def send_email(call: Call, asked: Addresses) -> None:
    """Always refused: this server sends no mail."""
    raise Refusal("No mail server is configured", code="error-email-send-failed")
