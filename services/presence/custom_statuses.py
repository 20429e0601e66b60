"""Statuses that the workspace offers to everybody, and who decides about them.

Clients hear of changes through the change stream.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.presence import (
    CustomStatus,
    CustomStatusNameTaken,
    CustomStatusNotFound,
)
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import UserId, random_id
from services.presence.domain import status_name
from services.presence.store.custom_statuses import MongoCustomStatusStore, NameTaken

MANAGE = "manage-user-status"


class CustomStatuses:
    """Offered statuses."""

    def __init__(
        self,
        store: MongoCustomStatusStore,
        authorization: Authorization,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._authorization = authorization
        self._now = now

    async def page(self, paging: Paging, status_id: str | None, name: str | None) -> Page:
        """See the contract."""
        statuses, total = await self._store.page(paging, status_id, name)
        return Page(items=statuses, total=total)

    async def create(self, user_id: UserId, status: CustomStatus) -> Document:
        """See the contract."""
        await self._check(user_id)
        document = {
            "_id": random_id(),
            "name": _checked(status.name),
            "statusType": status.status_type.value,
            "_updatedAt": self._now(),
        }
        try:
            await self._store.insert(document)
        except NameTaken:
            raise _taken() from None
        return document

    async def update(self, user_id: UserId, status_id: str, status: CustomStatus) -> Document:
        """See the contract."""
        await self._check(user_id)
        try:
            changed = await self._store.update(
                status_id, _checked(status.name), status.status_type.value, self._now()
            )
        except NameTaken:
            raise _taken() from None
        if changed is None:
            raise _not_found()
        return changed

    async def delete(self, user_id: UserId, status_id: str) -> None:
        """See the contract."""
        await self._check(user_id)
        if not await self._store.delete(status_id):
            raise _not_found()

    async def _check(self, user_id: UserId) -> None:
        """Raises: NotAllowed."""
        if not await self._authorization.has_permission(user_id, MANAGE):
            raise NotAllowed("Not authorized", code="not_authorized")


def _checked(name: str) -> str:
    found = status_name(name)
    if found is None:
        raise BadRequest(
            f"{name[:40]} is not a valid Name",
            code="error-input-is-not-a-valid-field",
            details={"method": "insertOrUpdateUserStatus", "input": name[:40], "field": "Name"},
        )
    return found


def _taken() -> CustomStatusNameTaken:
    return CustomStatusNameTaken("The custom user status name is already in use")


def _not_found() -> CustomStatusNotFound:
    return CustomStatusNotFound("Invalid user status")
