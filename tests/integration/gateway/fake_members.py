"""What members are to the rooms of a world."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.members import (
    Departure,
    Disabled,
    InvalidInvite,
    MemberActions,
    RoleUnchanged,
    RoomRole,
)
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import NotInRoom
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.gateway.world import Doc, World


class FakeMembers(MemberActions):
    """The part of the messaging service about members, in memory."""

    world: World

    async def check_departure(self, user_id: UserId) -> Departure:
        return Departure()

    async def relinquish_rooms(
        self, user_id: UserId, leaving: str, confirmed: bool = False
    ) -> None:
        for room_id, member in list(self.world.memberships):
            if member == user_id:
                self.world.leave(room_id, user_id)

    async def set_room_role(
        self, user_id: UserId, room_id: RoomId, member_id: UserId, role: RoomRole, given: bool
    ) -> None:
        if "owner" not in self._membership(room_id, user_id).get("roles", ()):
            raise NotAllowed("Not allowed")
        roles = self._membership(room_id, member_id).setdefault("roles", [])
        if (role in roles) is given:
            raise RoleUnchanged("Unchanged", code=f"error-user-already-{role.value}")
        if given:
            roles.append(role.value)
        else:
            roles.remove(role.value)

    async def mute_user(self, user_id: UserId, room_id: RoomId, username: str, muted: bool) -> None:
        if self.world.by_username(username) is None:
            raise UserNotFound("Invalid user")
        if "owner" not in self._membership(room_id, user_id).get("roles", ()):
            raise NotAllowed("Not allowed")
        self.world.rooms[room_id]["muted"] = [username] if muted else []

    async def block_user(
        self, user_id: UserId, room_id: RoomId, other_id: UserId, blocked: bool
    ) -> None:
        self._membership(room_id, user_id)["blocker"] = blocked

    async def ignore_user(
        self, user_id: UserId, room_id: RoomId, other_id: UserId, ignored: bool
    ) -> None:
        if not {(room_id, user_id), (room_id, other_id)} <= self.world.memberships.keys():
            raise BadRequest("Invalid subscription", code="error-invalid-subscription")
        self._membership(room_id, user_id)["ignored"] = [other_id] if ignored else []

    async def save_notifications(
        self, user_id: UserId, room_id: RoomId, notifications: dict[str, Any]
    ) -> None:
        if notifications.keys() - {"desktopNotifications"}:
            raise BadRequest("Invalid settings", code="error-invalid-settings")
        self._membership(room_id, user_id).update(notifications)

    async def is_member(self, user_id: UserId, room_id: RoomId, member_id: UserId) -> bool:
        return (room_id, member_id) in self.world.memberships

    async def members_by_role(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        statuses: list[str] | None = None,
    ) -> Page:
        items = [
            {"_id": member, "roles": membership.get("roles", [])}
            for (room, member), membership in self.world.memberships.items()
            if room == room_id
        ]
        return Page(items=items[paging.offset :][: paging.count], total=len(items))

    async def add_everybody(
        self, user_id: UserId, room_id: RoomId, active_only: bool = False
    ) -> Document:
        if not self.world.may(user_id, "add-all-to-room"):
            raise NotAllowed("Not allowed")
        for member in self.world.users:
            if (room_id, member) not in self.world.memberships:
                self.world.join(room_id, member)
        return self.world.rooms[room_id]

    async def list_direct_rooms(self, user_id: UserId, paging: Paging) -> Page:
        if not self.world.may(user_id, "view-room-administration"):
            raise NotAllowed("Not allowed")
        items = [room for room in self.world.rooms.values() if room["t"] == "d"]
        return Page(items=items[paging.offset :][: paging.count], total=len(items))

    async def messages_of_others(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        raise Disabled("This endpoint is disabled")

    async def erase_direct_room(self, user_id: UserId, room_id: RoomId) -> None:
        self._membership(room_id, user_id)
        del self.world.rooms[room_id]
        for key in [key for key in self.world.memberships if key[0] == room_id]:
            del self.world.memberships[key]

    async def leave_direct_room(
        self, user_id: UserId, room_id: RoomId, member_id: UserId | None = None
    ) -> None:
        raise NotAllowed("Not allowed")

    async def find_or_create_invite(
        self, user_id: UserId, room_id: RoomId, days: int, max_uses: int
    ) -> Document:
        if room_id not in self.world.rooms:
            raise InvalidRoom("The rid field is invalid")
        self._membership(room_id, user_id)
        return {"_id": f"to-{room_id}", "rid": room_id, "days": days, "maxUses": max_uses}

    async def list_invites(self, user_id: UserId) -> list[Document]:
        return []

    async def remove_invite(self, user_id: UserId, invite_id: str) -> None:
        raise InvalidInvite("Invalid Invitation _id", code="invalid-invitation-id")

    async def use_invite(self, user_id: UserId, token: str) -> Document:
        raise InvalidInvite("The invite token is invalid.")

    async def is_invite_valid(self, token: str) -> bool:
        return token.removeprefix("to-") in self.world.rooms

    def _membership(self, room_id: str, user_id: str) -> Doc:
        if (room_id, user_id) not in self.world.memberships:
            raise NotInRoom("User is not in this room")
        return self.world.memberships[room_id, user_id]
