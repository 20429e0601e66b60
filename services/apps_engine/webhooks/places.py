"""Rooms and people behind what integrations call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.account import Account, UserNotFound
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.rooms import RoomNotFound, RoomType
from hubbub.errors import BadRequest, NotAllowed, NotFound
from hubbub.ids import RoomId, UserId

_NAMED = [RoomType.CHANNEL, RoomType.PRIVATE_GROUP]


class Places:
    """Looks at the workspace with somebody's eyes: what they may not see is not there."""

    def __init__(self, messaging: Messaging, account: Account) -> None:
        self._messaging = messaging
        self._account = account

    async def user(
        self, viewer_id: UserId, *, user_id: str | None = None, username: str | None = None
    ) -> dict[str, Any] | None:
        """A user, or None."""
        try:
            return await self._account.user_info(viewer_id, user_id=user_id, username=username)
        except (UserNotFound, NotAllowed):
            return None

    async def person(self, viewer_id: UserId, name_or_id: str) -> dict[str, Any] | None:
        """A user by name, else by id."""
        found = await self.user(viewer_id, username=name_or_id)
        return found or await self.user(viewer_id, user_id=name_or_id)

    async def room(self, viewer_id: UserId, name_or_id: str) -> dict[str, Any] | None:
        """A channel or group by id, else by name."""
        return await self._room(viewer_id, room_id=name_or_id) or await self._room(
            viewer_id, name=name_or_id
        )

    async def room_with_id(self, viewer_id: UserId, room_id: str) -> dict[str, Any] | None:
        """A room of any type."""
        return await self._room(viewer_id, room_id=room_id, types=None)

    async def is_member(self, user_id: UserId, room_id: str) -> bool:
        """Whether somebody is in a room."""
        return await self._messaging.subscription_of(user_id, RoomId(room_id)) is not None

    async def to_speak_in(self, user_id: UserId, channel: str, *, chosen: bool) -> RoomId:
        """The room for a message of `user_id`: they join a public one, and begin a direct one.

        Args:
            channel: `#name`, `@name`, or a name or id without either.
            chosen: by a stranger, who is not told of rooms that the user cannot see.

        Raises: BadRequest: `invalid-channel`; NotAllowed; what joining refuses.
        """
        kind, name = (channel[0], channel[1:]) if channel[:1] in ("#", "@") else ("", channel)
        if not name:
            raise invalid_channel()
        if kind == "@":
            return await self._direct(user_id, name)
        room = await self.room(user_id, name)
        if room is None and kind == "":
            direct = await self._room(user_id, room_id=name, types=None)
            return RoomId(direct["_id"]) if direct else await self._direct(user_id, name)
        if room is None:
            raise invalid_channel() if chosen else NotAllowed("Not allowed")
        return await self._entered(user_id, room)

    async def enter(self, user_id: UserId, room_id: str) -> None:
        """Join a room if it is public. Raises: what joining refuses."""
        room = await self.room_with_id(user_id, room_id)
        if room is not None:
            await self._entered(user_id, room)

    async def _entered(self, user_id: UserId, room: Mapping[str, Any]) -> RoomId:
        room_id = RoomId(str(room["_id"]))
        if room.get("t") == "c" and not await self.is_member(user_id, room_id):
            await self._messaging.join_room(user_id, room_id)
        return room_id

    async def _direct(self, user_id: UserId, name: str) -> RoomId:
        person = await self.person(user_id, name)
        if person is None or not person.get("username"):
            raise invalid_channel()
        try:
            room = await self._messaging.create_direct(user_id, [str(person["username"])])
        except UserNotFound:
            raise invalid_channel() from None
        return RoomId(str(room["_id"]))

    async def _room(
        self,
        viewer_id: UserId,
        room_id: str | None = None,
        name: str | None = None,
        types: list[RoomType] | None = _NAMED,
    ) -> dict[str, Any] | None:
        try:
            return await self._messaging.get_room(
                viewer_id, room_id=room_id, name=name, types=types
            )
        except (RoomNotFound, InvalidRoom, NotAllowed, NotFound):
            return None


def invalid_channel() -> BadRequest:
    """There is no such room or person."""
    return BadRequest("", code="invalid-channel")
