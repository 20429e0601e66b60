"""`hubbub/*`: what only Hubbub offers to those who run it."""

from __future__ import annotations

from typing import Any

from hubbub.doors.explanation import as_document
from hubbub.ids import UserId
from services.gateway.rest.answers import Refusal
from services.gateway.rest.asked import Required, UserSelector
from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import user_of

routes = Routes()


class WhyNot(UserSelector):
    """Which user did not get which message."""

    message_id: Required


@routes.get("hubbub/explain", permission="view-room-administration")
async def explain(call: Call, asked: WhyNot) -> dict[str, Any]:
    """Why a user did or did not get a message, from the database to each connection."""
    if call.door.explainer is None:
        raise Refusal("Nobody can be asked here", code="error-not-available")
    user = await user_of(call, asked)
    findings = await call.door.explainer.explain(UserId(str(user["_id"])), asked.message_id)
    return as_document(findings)
