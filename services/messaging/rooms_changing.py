"""Changing and erasing whole rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import DuplicateRoomName
from hubbub.contracts.workspace import GENERAL_ROOM_ID
from hubbub.errors import HubbubError, NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import foreign, records, room_settings
from services.messaging.room_avatars import avatar_changes
from services.messaging.store.transactions import Duplicate, Missing

ERASING: Final = 5.0
"""Seconds that a caller waits for the memberships and messages of a room that is gone."""


class Rebuilding:
    """The doors for whole rooms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def erase_room(self, user_id: UserId, room_id: RoomId) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        room = await self._room_to_change(room_id)
        right = f"delete-{room.get('t')}"
        if room_id == GENERAL_ROOM_ID or not await self._desk.held(user_id, [right], room_id):
            raise await self._refusal_of(user_id, room_id)
        await erase(self._desk, room_id)

    async def save_room_settings(
        self, user_id: UserId, room_id: RoomId, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await self._room_to_change(room_id)
        if not await self._may_change_room(user_id, room, settings):
            raise await self._refusal_of(user_id, room_id)
        rules = await self._desk.facts.rules()
        changes = room_settings.changes(settings, room, actor.username, rules)
        changes += await avatar_changes(self._desk, room, settings)
        announcements = [
            records.system_message(random_id(), *change.message, actor=actor, room_id=room_id)
            for change in changes
            if change.message is not None
        ]
        if changes:
            try:
                stored = await self._desk.write(
                    room_id,
                    lambda deadline: self._desk.store.places.change(
                        room_id, changes, announcements, deadline
                    ),
                )
            except Duplicate:
                raise DuplicateRoomName(
                    f"A channel with name '{settings.get('roomName')}' exists"
                ) from None
            except Missing:
                raise InvalidRoom("Invalid room") from None
            self._desk.effects.on_stored(room_id, stored)
            self._desk.facts.forget_room(room_id)
        return foreign.room_view(await self._desk.store.rooms.one(room_id) or room)

    async def _may_change_room(
        self, user_id: UserId, room: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> bool:
        room_id = RoomId(str(room["_id"]))
        if room.get("t") == "d":
            is_member = await self._desk.store.memberships.one(room_id, user_id) is not None
            return is_member and room_settings.fit_direct_rooms(settings)
        needed = room_settings.rights_for(settings)
        return needed <= await self._desk.held(user_id, needed, room_id)

    async def _room_to_change(self, room_id: str) -> dict[str, Any]:
        room = await self._desk.store.rooms.one(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        return room

    async def _refusal_of(self, user_id: UserId, room_id: RoomId) -> HubbubError:
        """Why something is not done: a room that the caller may not see is like none."""
        if await self._desk.authorization.can_access_room_id(room_id, user_id):
            return NotAllowed("Not allowed")
        return InvalidRoom("Invalid room")


async def erase(desk: Desk, room_id: str) -> None:
    """Erase a room with everything in it, without asking for rights.

    When it returns the room is gone for everybody; what was in it may take longer if it is much.
    """
    chores = await desk.write(
        room_id, lambda deadline: desk.store.erasing.remove_room(room_id, deadline)
    )
    desk.facts.forget_room(room_id)
    await desk.chores.attend(chores, ERASING)
