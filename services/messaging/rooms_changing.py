"""Changing and erasing whole rooms."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import DuplicateRoomName
from hubbub.contracts.workspace import GENERAL_ROOM_ID
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import foreign, records, room_settings
from services.messaging.store.transactions import Duplicate, Missing


class Rebuilding:
    """The doors for whole rooms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def erase_room(self, user_id: UserId, room_id: RoomId) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        room = await self._desk.store.rooms.one(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        right = f"delete-{room.get('t')}"
        if room_id == GENERAL_ROOM_ID or not await self._desk.held(user_id, [right], room_id):
            raise NotAllowed("Not allowed")
        await self._desk.write(
            room_id, lambda deadline: self._desk.store.places.erase(room_id, deadline)
        )
        self._desk.facts.forget_room(room_id)

    async def save_room_settings(
        self, user_id: UserId, room_id: RoomId, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await self._desk.store.rooms.one(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        rules = await self._desk.facts.rules()
        changes = room_settings.changes(settings, room, actor.username, rules)
        needed = room_settings.rights_for(settings)
        if needed - await self._desk.held(user_id, needed, room_id) or room.get("t") == "d":
            raise NotAllowed("Not allowed")
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
