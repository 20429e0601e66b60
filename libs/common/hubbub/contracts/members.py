"""The part of the messaging contract about what members are to a room."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Page, Paging
from hubbub.errors import BadRequest, Conflict, NotAllowed, NotFound
from hubbub.ids import RoomId, UserId


class RoomRole(StrEnum):
    """What a member can be made in one room."""

    OWNER = "owner"
    MODERATOR = "moderator"
    LEADER = "leader"


class RoleUnchanged(BadRequest):
    """The member has the role already, or has not; the code names both
    (`error-user-already-owner`, `error-user-not-leader`, …)."""


class LastOwnerRemains(BadRequest):
    default_code = "error-remove-last-owner"


class UserLimitExceeded(BadRequest):
    default_code = "error-user-limit-exceeded"


class Disabled(NotAllowed):
    """Switched off by a setting of the workspace."""

    default_code = "error-endpoint-disabled"


class InvalidInvite(NotFound):
    """No such invitation, or one that is used up, too old, or of a room that is gone."""

    default_code = "error-invalid-token"


class LastOwnerLeaves(Conflict):
    """Rooms would be left without an owner, or without anybody.

    `details` has `shouldChangeOwner` and `shouldBeRemoved`, lists of room names.
    """

    default_code = "user-last-owner"


class Departure(Frozen):
    """What somebody's leaving would mean for rooms, by their names."""

    should_change_owner: list[str] = Field(default=[])
    """The user is the only owner; others are in them."""
    should_be_removed: list[str] = Field(default=[])
    """The user is the only member."""

    @property
    def is_free(self) -> bool:
        """Whether no room stands in the way."""
        return not (self.should_change_owner or self.should_be_removed)


class MemberActions(Contract, Protocol):
    """Roles in a room, mutes, blocks, notification settings, invitations. `user_id` is who acts."""

    @action(idempotent=True)
    async def check_departure(self, user_id: UserId) -> Departure:
        """Which rooms would be left without an owner, or without anybody, were `user_id` gone.

        Changes nothing. Direct rooms and rooms that everybody joins never count.
        """
        ...

    @action(idempotent=True, timeout=120.0)
    async def relinquish_rooms(
        self,
        user_id: UserId,
        leaving: Literal["deactivated", "deleted"],
        confirmed: bool = False,
    ) -> None:
        """Let go of what an account holds in rooms, before it is deactivated or deleted.

        Where `user_id` is the only owner, the oldest other active member becomes owner; rooms
        with nobody else in them are erased. Deactivated: memberships stay. Deleted: memberships
        end, and messages go as the setting `Message_ErasureType` says (`Delete`: erased, with
        the direct rooms; `Unlink`: they become the built-in bot's; `Keep`: they stay).

        Call it only when nothing else stands in the account's way: what it did stays done.
        Repeating it, also after the account is gone, finishes what was begun.

        Raises: LastOwnerLeaves: rooms stand in the way and `confirmed` is false. Nothing has
        happened then.
        """
        ...

    @action(idempotent=True)
    async def set_room_role(
        self, user_id: UserId, room_id: RoomId, member_id: UserId, role: RoomRole, given: bool
    ) -> None:
        """Give a member a role in a room, or take it; a system message tells the room.

        Raises: InvalidRoom; NotAllowed: no `set-owner`, `set-moderator` or `set-leader` there;
        NotInRoom: not a member; UserNotFound; RoleUnchanged; LastOwnerRemains.
        """
        ...

    @action(idempotent=True)
    async def mute_user(self, user_id: UserId, room_id: RoomId, username: str, muted: bool) -> None:
        """Silence a member of a channel or group, or let them speak again.

        In a read-only room `muted=False` allows one member to write. Without a difference
        nothing happens. Raises: InvalidRoom; NotAllowed: no `mute-user`; NotInRoom;
        UserNotFound.
        """
        ...

    @action(idempotent=True)
    async def block_user(
        self, user_id: UserId, room_id: RoomId, other_id: UserId, blocked: bool
    ) -> None:
        """Refuse to talk in a direct room of two with `other_id`, or take that back.

        Nobody can write while either side blocks. Raises: InvalidRoom; NotAllowed: not such a
        room of the caller's.
        """
        ...

    @action(idempotent=True)
    async def ignore_user(
        self, user_id: UserId, room_id: RoomId, other_id: UserId, ignored: bool
    ) -> None:
        """Note in the caller's membership whether `other_id`'s messages are to be hidden.

        Raises: BadRequest: `error-invalid-subscription`: one of the two is no member, or they are
        one.
        """
        ...

    @action(idempotent=True)
    async def save_notifications(
        self, user_id: UserId, room_id: RoomId, notifications: dict[str, Any]
    ) -> None:
        """How the caller wants to hear of a room: all keys or none.

        Keys: `desktopNotifications`, `mobilePushNotifications`, `emailNotifications`,
        `unreadAlert` (`default`, `all`, `mentions`, `nothing`), `audioNotificationValue` (a
        sound's name), `disableNotifications`, `hideUnreadStatus`, `hideMentionStatus`,
        `muteGroupMentions` (booleans, also as `"1"` and `"0"`).

        Raises: BadRequest: `error-invalid-settings`; `error-invalid-subscription`: not a member.
        """
        ...

    @action(idempotent=True)
    async def is_member(self, user_id: UserId, room_id: RoomId, member_id: UserId) -> bool:
        """Whether `member_id` is in a room that the caller may see. Raises: RoomNotFound;
        NotAllowed."""
        ...

    @action(idempotent=True)
    async def members_by_role(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        statuses: list[str] | None = None,
    ) -> Page:
        """A room's members: owners, then moderators, then everybody else, each by username.

        Items as in `members`, with `roles`. Raises: RoomNotFound; NotAllowed.
        """
        ...

    @action(idempotent=True, timeout=60.0)
    async def add_everybody(
        self, user_id: UserId, room_id: RoomId, active_only: bool = False
    ) -> Document:
        """Make every user of the workspace a member of a channel or group; the room.

        Raises: InvalidRoom; NotAllowed: no `add-all-to-room`; UserLimitExceeded: more users
        than the setting `API_User_Limit`.
        """
        ...

    @action(idempotent=True)
    async def list_direct_rooms(self, user_id: UserId, paging: Paging) -> Page:
        """All direct rooms of the workspace. Raises: NotAllowed: no
        `view-room-administration`."""
        ...

    @action(idempotent=True)
    async def messages_of_others(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        """Messages of a direct room that the caller is not in, newest first; it is audited.

        Raises: Disabled: the setting `API_Enable_Direct_Message_History_EndPoint` is off;
        NotAllowed: no `view-room-administration`; InvalidRoom: no direct room.
        """
        ...

    @action(idempotent=True, timeout=30.0)
    async def erase_direct_room(self, user_id: UserId, room_id: RoomId) -> None:
        """Delete a direct room with all that was said in it, for everybody in it.

        Raises: InvalidRoom: no direct room, or neither the caller's nor has the caller
        `view-room-administration`.
        """
        ...

    @action(idempotent=True)
    async def leave_direct_room(
        self, user_id: UserId, room_id: RoomId, member_id: UserId | None = None
    ) -> None:
        """End a membership in a direct room of more than two: the caller's, or `member_id`'s.

        Only who made the room may end the memberships of others. Raises: InvalidRoom: no direct
        room of the caller's; NotInRoom; NotAllowed: there are only two in it, or another made it.
        """
        ...

    @action(idempotent=True)
    async def find_or_create_invite(
        self, user_id: UserId, room_id: RoomId, days: int, max_uses: int
    ) -> Document:
        """A link that lets its holders into a room; the same one again while it is valid.

        `{"_id", "rid", "userId", "createdAt", "_updatedAt", "expires", "url", "days",
        "maxUses", "uses"}`; `expires` is None when `days` is 0.
        Raises: InvalidRoom; NotAllowed: no `create-invite-links`, or not a member; BadRequest:
        `invalid-number-of-days`, `invalid-number-of-uses`.
        """
        ...

    @action(idempotent=True)
    async def list_invites(self, user_id: UserId) -> list[Document]:
        """Invitations as `find_or_create_invite` gives them: the caller's own and those of rooms
        in which the caller may make some. Raises: NotAllowed: may make none anywhere."""
        ...

    @action(idempotent=True)
    async def remove_invite(self, user_id: UserId, invite_id: str) -> None:
        """Raises: InvalidInvite: no such invitation; NotAllowed: neither the caller's own nor of
        a room in which the caller may make some."""
        ...

    @action(idempotent=True)
    async def use_invite(self, user_id: UserId, token: str) -> Document:
        """Become a member by an invitation; `{"rid", "prid", "fname", "name", "t"}`.

        A member stays one and uses nothing up. Raises: InvalidInvite; NotAllowed.
        """
        ...

    @action(idempotent=True)
    async def is_invite_valid(self, token: str) -> bool:
        """Whether an invitation would let somebody in now."""
        ...
