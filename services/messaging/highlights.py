"""Words that users want to be told of: memberships keep a copy of them, counting reads it."""

from __future__ import annotations

from hubbub.contracts.base import listen
from hubbub.contracts.events import MembershipChanged, UserChanged
from services.messaging.desk import Desk


class Highlights:
    """Carries the words from users' preferences to where messages are counted.

    An event that is lost leaves a copy as it was until the user, or the membership, changes
    again.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @listen(UserChanged, to="one")
    async def on_preferences_changed(self, event: UserChanged) -> None:
        """Copy the user's words to all their memberships."""
        if not event.deleted:
            await self._desk.store.highlights.copy(event.user_id)

    @listen(MembershipChanged, to="one")
    async def on_membership_began(self, event: MembershipChanged) -> None:
        """Copy the new member's words."""
        if event.change == "began":
            await self._desk.store.highlights.copy(event.user_id, event.room_id)
