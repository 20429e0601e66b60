"""Contract of the messaging service: rooms, memberships, messages, workspace settings."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hubbub.contracts.base import action
from hubbub.contracts.documents import Changes, Document, Page, Paging
from hubbub.contracts.messages import MessageActions
from hubbub.contracts.rooms import RoomActions


class Messaging(MessageActions, RoomActions, Protocol, name="messaging"):
    """Everything that is said and where. Messages and rooms are declared beside this module."""

    @action(idempotent=True)
    async def public_settings(self, updated_since: datetime | None = None) -> Changes:
        """Settings that everybody may see: `{"_id", "type", "value", "_updatedAt", …}`."""
        ...

    @action(idempotent=True)
    async def list_public_settings(self, paging: Paging, ids: list[str] | None = None) -> Page:
        """`{"_id", "value", "type"}` of public settings, by id."""
        ...

    @action(idempotent=True)
    async def statistics(self) -> Document:
        """Counts of users, rooms and messages."""
        ...
