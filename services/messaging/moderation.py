"""What moderators of the workspace see of reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from hubbub.contracts.documents import Page, Paging
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import MessageId, UserId
from services.messaging.desk import Desk
from services.messaging.domain import lists

_SEE: Final = "view-moderation-console"
_DECIDE: Final = "manage-moderation-actions"
_AUTHOR: Final = "message.u._id"
_MESSAGE: Final = "message._id"


class Moderation:
    """The doors for reports."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def reports_by_user(
        self,
        user_id: UserId,
        paging: Paging,
        oldest: datetime | None = None,
        latest: datetime | None = None,
        selector: str | None = None,
    ) -> Page:
        """See the contract."""
        await self._check(user_id, _SEE)
        page, total = await self._desk.store.reports.by_user(
            lists.offset(paging),
            lists.limit(paging),
            oldest=oldest,
            latest=latest,
            username_part=selector or None,
        )
        return Page(items=page, total=total)

    async def reported_messages(self, user_id: UserId, author_id: str, paging: Paging) -> Page:
        """See the contract."""
        return await self._about(user_id, _AUTHOR, author_id, paging)

    async def reports_of_message(
        self, user_id: UserId, message_id: MessageId, paging: Paging
    ) -> Page:
        """See the contract."""
        return await self._about(user_id, _MESSAGE, message_id, paging)

    async def dismiss_reports(
        self,
        user_id: UserId,
        author_id: str | None = None,
        message_id: MessageId | None = None,
    ) -> int:
        """See the contract."""
        await self._check(user_id, _DECIDE)
        if message_id is not None:
            return await self._desk.store.reports.dismiss(_MESSAGE, message_id)
        if author_id is not None:
            return await self._desk.store.reports.dismiss(_AUTHOR, author_id)
        raise BadRequest("A user or a message has to be named", code="error-invalid-params")

    async def _about(self, user_id: UserId, field: str, value: str, paging: Paging) -> Page:
        await self._check(user_id, _SEE)
        page, total = await self._desk.store.reports.about(
            field, value, lists.offset(paging), lists.limit(paging)
        )
        return Page(items=[_view(report) for report in page], total=total)

    async def _check(self, user_id: UserId, permission: str) -> None:
        if not await self._desk.held(user_id, [permission]):
            raise NotAllowed("Not allowed", code="error-not-authorized")


def _view(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "_hidden"}
