"""The part of the messaging contract about discussions and pruning."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Page, Paging, Text
from hubbub.errors import BadRequest
from hubbub.ids import RoomId, UserId


class NestedDiscussion(BadRequest):
    """A discussion cannot have discussions."""

    default_code = "error-nested-discussion"


class NewDiscussion(Frozen):
    """A discussion to be begun in a room."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, strict=True)

    parent_id: Identifier = Field(alias="prid")
    name: Text = Field(alias="t_name", min_length=1, max_length=250)
    """What people read; not unique, any characters."""
    message_id: Identifier | None = Field(default=None, alias="pmid")
    """The message of the parent that the discussion is about."""
    reply: Text | None = None
    """The first message in the discussion."""
    members: list[Text] = Field(default=[], alias="users", max_length=1000)
    """Usernames; unknown ones are skipped."""
    topic: Text | None = None
    repeatable: bool = False
    """See `NewRoom.repeatable`: the same call within a minute gets what the first one made."""


class Stretch(Frozen):
    """Which messages of a room are to be removed."""

    latest: datetime
    oldest: datetime
    inclusive: bool = False
    """Whether the two moments themselves belong to it."""
    limit: int = Field(default=0, ge=0)
    """Messages at most, the oldest first; 0: no limit."""
    exclude_pinned: bool = False
    files_only: bool = False
    """Remove only the files; their messages stay and say so."""
    usernames: list[Text] = Field(default=[], max_length=1000)
    """Only messages of these users; of everybody when empty."""
    ignore_threads: bool = False
    """Leave threads alone, first messages and replies."""
    ignore_discussions: bool = False
    """Leave alone messages that a discussion hangs on; otherwise the discussion goes as well."""


class Pruned(Frozen):
    """What was removed."""

    count: int
    """Messages, or messages whose files were removed."""
    complete: bool
    """Nothing is left to remove. Otherwise the time was up, and another call goes on."""


class DiscussionActions(Contract, Protocol):
    """Rooms that grow out of a message, and removing what was said. `user_id` is who acts."""

    @action(timeout=10.0)
    async def create_discussion(self, user_id: UserId, discussion: NewDiscussion) -> Document:
        """Begin a discussion in a room and return it; the parent gets a message that leads to it.

        A message has one discussion at most: a repeat returns it, and makes the caller a member.

        Raises: InvalidRoom: no such parent, or none that the caller may see; NestedDiscussion;
        MessageNotFound: no such message in the parent; ActionNotAllowed: no `start-discussion`,
        or discussions are switched off; NotAllowed: the caller may not write in the parent.
        """
        ...

    @action(idempotent=True)
    async def discussions(
        self, user_id: UserId, room_id: RoomId, paging: Paging, text: Text | None = None
    ) -> Page:
        """Discussions of a room, latest activity first; those whose name holds `text`, literally.

        Raises: RoomNotFound; NotAllowed.
        """
        ...

    @action(idempotent=True, timeout=30.0)
    async def clean_history(self, user_id: UserId, room_id: RoomId, stretch: Stretch) -> Pruned:
        """Remove messages for good, in portions of some hundred each of which is all or nothing.

        Clients are told of each portion at once, in the room's own order. Works for twenty
        seconds at most. Raises: InvalidRoom: none, or none that the caller may see;
        NotAllowed: no `clean-channel-history`.
        """
        ...
