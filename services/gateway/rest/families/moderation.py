"""`moderation.*`: what users reported."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.account import UserNotFound
from hubbub.ids import MessageId, UserId
from services.gateway.rest.answers import PlainRefusal
from services.gateway.rest.asked import Asked, Date, Paged, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.paging import paged, parse_paging
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps

routes = Routes()

_SEES = "view-moderation-console"
_DECIDES = "manage-moderation-actions"


class Reports(Paged):
    """A part of the reports, of a stretch of time."""

    oldest: Date | None = None
    latest: Date | None = None
    selector: Word | None = None
    """A part of the username of whose messages were reported."""


@routes.get("moderation.reportsByUsers", permission=_SEES)
async def by_users(call: Call, asked: Reports) -> dict[str, Any]:
    """Whose messages were reported, latest report first."""
    paging = parse_paging(asked, await call.paging_rules())
    page = await in_steps(
        lambda part: call.services.messaging.reports_by_user(
            call.user_id, part, asked.oldest, asked.latest, asked.selector
        ),
        paging,
    )
    return paged("reports", page, paging)


class OfUser(Paged):
    """A part of the reports about one user's messages."""

    user_id: Required


@routes.get("moderation.user.reportedMessages", permission=_SEES)
async def of_user(call: Call, asked: OfUser) -> dict[str, Any]:
    """Reports about one user's messages, newest first."""
    paging = parse_paging(asked, await call.paging_rules())
    page = await in_steps(
        lambda part: call.services.messaging.reported_messages(call.user_id, asked.user_id, part),
        paging,
    )
    answer = paged("messages", page, paging)
    try:
        user = await call.services.account.user_info(call.user_id, user_id=UserId(asked.user_id))
    except UserNotFound:
        return answer  # the reports outlive the account
    kept = ("_id", "username", "name")
    return {**answer, "user": {key: user[key] for key in kept if key in user}}


class OfMessage(Paged):
    """A part of the reports about one message."""

    msg_id: Required


@routes.get("moderation.reports", permission=_SEES)
async def of_message(call: Call, asked: OfMessage) -> dict[str, Any]:
    """Reports about one message, newest first."""
    paging = parse_paging(asked, await call.paging_rules())
    page = await in_steps(
        lambda part: call.services.messaging.reports_of_message(
            call.user_id, MessageId(asked.msg_id), part
        ),
        paging,
    )
    return paged("reports", page, paging)


class Dismissed(Asked):
    """Whose reports are settled: those about a user's messages, or about one message."""

    user_id: Word | None = None
    msg_id: Word | None = None


@routes.post("moderation.dismissReports", permission=_DECIDES)
async def dismiss(call: Call, asked: Dismissed) -> None:
    """Settle reports."""
    if not asked.user_id and not asked.msg_id:
        raise PlainRefusal('The required "userId" or "msgId" param was not provided')
    await call.services.messaging.dismiss_reports(
        call.user_id,
        author_id=asked.user_id or None,
        message_id=MessageId(asked.msg_id) if asked.msg_id else None,
    )
