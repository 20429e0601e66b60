"""What members are to a room."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.documents import Identifier, Text
from hubbub.contracts.members import RoomRole
from hubbub.doors.parameters import Blocked, Ignored, RoomUser
from hubbub.doors.table import Call, method
from hubbub.ids import RoomId, UserId


def _role(name: str, role: RoomRole, *, given: bool) -> None:
    """Enter a method that gives or takes a role."""

    async def change(call: Call, room_id: Identifier, user_id: Identifier) -> bool:
        await call.services.messaging.set_room_role(
            call.user_id, RoomId(room_id), UserId(user_id), role, given
        )
        return True

    what = "Make a member {}." if given else "Take the role {} from a member."
    change.__doc__ = what.format(role.value)
    method(name)(change)


_role("addRoomOwner", RoomRole.OWNER, given=True)
_role("removeRoomOwner", RoomRole.OWNER, given=False)
_role("addRoomModerator", RoomRole.MODERATOR, given=True)
_role("removeRoomModerator", RoomRole.MODERATOR, given=False)
_role("addRoomLeader", RoomRole.LEADER, given=True)
_role("removeRoomLeader", RoomRole.LEADER, given=False)


@method("muteUserInRoom")
async def mute_user_in_room(call: Call, user: RoomUser) -> bool:
    """Silence a member."""
    await call.services.messaging.mute_user(call.user_id, RoomId(user.room_id), user.username, True)
    return True


@method("unmuteUserInRoom")
async def unmute_user_in_room(call: Call, user: RoomUser) -> bool:
    """Let a member speak again; in a read-only room: at all."""
    await call.services.messaging.mute_user(
        call.user_id, RoomId(user.room_id), user.username, False
    )
    return True


@method("blockUser")
async def block_user(call: Call, other: Blocked) -> bool:
    """Refuse to talk to the other side of a direct room."""
    await call.services.messaging.block_user(
        call.user_id, RoomId(other.room_id), UserId(other.user_id), True
    )
    return True


@method("unblockUser")
async def unblock_user(call: Call, other: Blocked) -> bool:
    """Talk to the other side of a direct room again."""
    await call.services.messaging.block_user(
        call.user_id, RoomId(other.room_id), UserId(other.user_id), False
    )
    return True


@method("ignoreUser")
async def ignore_user(call: Call, other: Ignored) -> bool:
    """Hide the messages of a member from the caller, or show them again."""
    await call.services.messaging.ignore_user(
        call.user_id, RoomId(other.room_id), UserId(other.user_id), other.ignore
    )
    return True


@method("saveNotificationSettings")
async def save_notification_settings(
    call: Call, room_id: Identifier, field: Text, value: Any
) -> bool:
    """How the caller wants to hear of a room: one setting."""
    await call.services.messaging.save_notifications(call.user_id, RoomId(room_id), {field: value})
    return True


@method("hideRoom")
async def hide_room(call: Call, room_id: Identifier) -> int:
    """Hide a room from the caller's list until something is said there; how many were hidden."""
    return int(await call.services.messaging.set_room_open(call.user_id, RoomId(room_id), False))


@method("openRoom")
async def open_room(call: Call, room_id: Identifier) -> int:
    """Show a room in the caller's list; how many were shown."""
    return int(await call.services.messaging.set_room_open(call.user_id, RoomId(room_id), True))


@method("toggleFavorite")
async def toggle_favorite(call: Call, room_id: Identifier, favorite: bool = False) -> int:
    """Mark a room as favourite, or not; how many were marked."""
    return int(await call.services.messaging.set_favorite(call.user_id, RoomId(room_id), favorite))
