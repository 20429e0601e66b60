"""Contract of the messaging service: rooms, memberships, messages, workspace settings."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hubbub.contracts.base import action
from hubbub.contracts.commands import CommandActions
from hubbub.contracts.discussions import DiscussionActions
from hubbub.contracts.documents import Changes, Document, Page, Paging
from hubbub.contracts.explain import ExplainActions
from hubbub.contracts.files import FileActions
from hubbub.contracts.marks import MarkActions
from hubbub.contracts.members import MemberActions
from hubbub.contracts.messages import MessageActions
from hubbub.contracts.room_lists import RoomListActions
from hubbub.contracts.rooms import RoomActions
from hubbub.contracts.settings import SettingActions


class Messaging(
    MessageActions,
    MarkActions,
    FileActions,
    RoomActions,
    MemberActions,
    DiscussionActions,
    RoomListActions,
    CommandActions,
    SettingActions,
    ExplainActions,
    Protocol,
    name="messaging",
):
    """Everything that is said and where. Its parts are declared beside this module."""

    @action(idempotent=True)
    async def public_settings(self, updated_since: datetime | None = None) -> Changes:
        """Settings that everybody may see: `{"_id", "type", "value", "_updatedAt", …}`."""
        ...

    @action(idempotent=True)
    async def list_public_settings(self, paging: Paging, ids: list[str] | None = None) -> Page:
        """`{"_id", "value", "type"}` of public settings, by id."""
        ...

    @action(idempotent=True)
    async def statistics(self, refresh: bool = False) -> Document:
        """Counts of users, rooms and messages, as of now.

        Args:
            refresh: also replace the day's record in `list_statistics`.
        """
        ...

    @action(idempotent=True)
    async def list_statistics(self, paging: Paging) -> Page:
        """Records of `statistics`, one per day on which the server ran, newest first; sortable by
        `createdAt`."""
        ...
