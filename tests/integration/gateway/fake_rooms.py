"""Discussions and lists of rooms, as fakes that keep the promises of their contracts."""

from __future__ import annotations

from datetime import datetime

from hubbub.contracts.discussions import DiscussionActions, NewDiscussion, Pruned, Stretch
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.room_lists import MessageFilter, RoomListActions
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.gateway.world import Doc, World, page

_ADMINISTRATOR = "admin"


class FakeDiscussions(DiscussionActions):
    """Discussions of a world."""

    world: World

    async def create_discussion(self, user_id: UserId, discussion: NewDiscussion) -> Document:
        parent = _visible(self.world, discussion.parent_id, user_id)
        number = len(self.world.rooms)
        room: Doc = {
            **parent,
            "_id": f"discussion-{number}",
            "name": f"discussion-{number}",
            "fname": discussion.name,
            "prid": parent["_id"],
        }
        self.world.rooms[room["_id"]] = room
        return room

    async def discussions(
        self, user_id: UserId, room_id: RoomId, paging: Paging, text: str | None = None
    ) -> Page:
        _visible(self.world, room_id, user_id)
        return page(
            [
                room
                for room in self.world.rooms.values()
                if room.get("prid") == room_id and (text or "") in str(room.get("fname"))
            ],
            paging,
        )

    async def clean_history(self, user_id: UserId, room_id: RoomId, stretch: Stretch) -> Pruned:
        _visible(self.world, room_id, user_id)
        if _ADMINISTRATOR not in self.world.users[user_id]["roles"]:
            raise NotAllowed("Not allowed")
        gone = [
            message["_id"]
            for message in self.world.in_room(room_id)
            if stretch.oldest < message["ts"] < stretch.latest
        ]
        for message_id in gone:
            del self.world.messages[message_id]
        return Pruned(count=len(gone), complete=True)


class FakeRoomLists(RoomListActions):
    """Lists of rooms, users and messages of a world."""

    world: World

    async def room_name_exists(self, name: str) -> bool:
        return any(room.get("name") == name for room in self.world.rooms.values())

    async def administered_rooms(
        self,
        user_id: UserId,
        paging: Paging,
        name_part: str | None = None,
        types: list[str] | None = None,
    ) -> Page:
        self._check_administers(user_id)
        return page(
            [
                room
                for room in self.world.rooms.values()
                if (name_part or "") in str(room.get("name")) and room["t"] in (types or "cpd")
            ],
            paging,
        )

    async def administered_room(self, user_id: UserId, room_id: RoomId) -> Document:
        self._check_administers(user_id)
        if room_id not in self.world.rooms:
            raise InvalidRoom("Invalid room")
        return self.world.rooms[room_id]

    async def own_rooms_named(
        self, user_id: UserId, name_part: str, paging: Paging, owned_only: bool = False
    ) -> Page:
        return page(
            [
                self.world.rooms[room_id]
                for (room_id, member), membership in self.world.memberships.items()
                if member == user_id
                and name_part in str(self.world.rooms[room_id].get("name"))
                and (not owned_only or "owner" in membership.get("roles", ()))
            ],
            paging,
        )

    async def channel_directory(
        self, user_id: UserId, paging: Paging, name_part: str | None = None
    ) -> Page:
        rooms = [room for room in self.world.rooms.values() if room["t"] == "c"]
        return page([one for one in rooms if (name_part or "") in str(one["name"])], paging)

    async def user_directory(
        self, user_id: UserId, paging: Paging, name_part: str | None = None
    ) -> Page:
        return page(
            [
                {"_id": user["_id"], "username": user["username"]}
                for user in self.world.users.values()
                if (name_part or "") in str(user["username"])
            ],
            paging,
        )

    async def messages_of(
        self, user_id: UserId, room_id: RoomId, paging: Paging, wanted: MessageFilter
    ) -> Page:
        _visible(self.world, room_id, user_id)
        return page(
            [
                message
                for message in self.world.in_room(room_id)
                if wanted.author in (None, message["u"]["username"])
                and wanted.message_id in (None, message["_id"])
            ],
            paging,
        )

    async def changed_messages(
        self, user_id: UserId, room_id: RoomId, since: datetime, count: int = 200
    ) -> list[Document]:
        _visible(self.world, room_id, user_id)
        later = [one for one in self.world.in_room(room_id) if one["_updatedAt"] > since]
        return sorted(later, key=lambda message: message["_updatedAt"])[:count]

    def _check_administers(self, user_id: UserId) -> None:
        if _ADMINISTRATOR not in self.world.users[user_id]["roles"]:
            raise NotAllowed("Not Authorized", code="error-not-authorized")


def _visible(world: World, room_id: str, user_id: UserId) -> Doc:
    room = world.rooms.get(room_id)
    if room is None or not world.can_see(room, user_id):
        raise InvalidRoom("Invalid room")
    return room
