"""Removing what was said in a stretch of time."""

from __future__ import annotations

from functools import partial
from typing import Final

from hubbub.contracts.discussions import Pruned, Stretch
from hubbub.contracts.messages import InvalidRoom
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from services.messaging.desk import Desk
from services.messaging.domain import pruning
from services.messaging.store.pruning import PORTION

_WORKING: Final = 20.0  # seconds of one call
_ATTENDING: Final = 5.0  # seconds for the files and discussions of one portion


class Pruning:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def clean_history(self, user_id: UserId, room_id: RoomId, stretch: Stretch) -> Pruned:
        """See the contract."""
        await self._desk.person(user_id)
        room = await self._desk.store.rooms.one(room_id)
        accessible = room is not None and await self._desk.authorization.can_access_room_id(
            room_id, user_id
        )
        if room is None or not accessible:
            raise InvalidRoom("Invalid room")
        if not await self._desk.held(user_id, ["clean-channel-history"], room_id):
            raise NotAllowed("Not allowed")
        selection = pruning.selection_of(stretch)
        store = self._desk.store.pruning
        remove = store.remove_files if stretch.files_only else store.remove
        until = self._desk.clock.monotonic() + _WORKING
        count = 0
        while self._desk.clock.monotonic() < until:
            left = stretch.limit - count if stretch.limit else PORTION
            portion = await self._desk.write(room_id, partial(remove, room_id, selection, left))
            await self._desk.chores.attend(portion.chores, _ATTENDING)
            count += portion.count
            if portion.found < min(left, PORTION) or (stretch.limit and count >= stretch.limit):
                if room.get("prid"):
                    await self._desk.store.discussions.report(room_id)
                return Pruned(count=count, complete=True)
        return Pruned(count=count, complete=False)
