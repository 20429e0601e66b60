"""What members are to a room: roles, mutes, who they are, what they want to hear."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from hubbub.contracts.documents import Document
from hubbub.contracts.members import RoomRole
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from services.gateway.rest.answers import Answer, Forbidden, PlainRefusal, Refusal
from services.gateway.rest.asked import (
    Asked,
    CommaWords,
    Flag,
    Paged,
    Required,
    RoomSelector,
    UserSelector,
    Word,
)
from services.gateway.rest.call import Call
from services.gateway.rest.families.room_doors import acting
from services.gateway.rest.paging import paged, parse_paging
from services.gateway.rest.router import Routes
from services.gateway.rest.selectors import RoomKind, room_of, user_of
from services.gateway.rest.steps import in_steps

routes = Routes()


class Member(RoomSelector, UserSelector):
    """A room, and somebody in it."""


def _role(verb: str, role: RoomRole, *, given: bool) -> None:
    """Enter the two doors that give or take a role."""

    async def act(call: Call, kind: RoomKind, asked: Member) -> None:
        room = await room_of(call, asked, kind)
        user = await user_of(call, asked)
        await call.services.messaging.set_room_role(
            call.user_id, RoomId(room["_id"]), UserId(user["_id"]), role, given
        )

    what = "Give a member the role {}." if given else "Take the role {} from a member."
    act.__doc__ = what.format(role.value)
    acting(routes, "POST", verb)(act)


_role("addOwner", RoomRole.OWNER, given=True)
_role("removeOwner", RoomRole.OWNER, given=False)
_role("addModerator", RoomRole.MODERATOR, given=True)
_role("removeModerator", RoomRole.MODERATOR, given=False)
_role("addLeader", RoomRole.LEADER, given=True)
_role("removeLeader", RoomRole.LEADER, given=False)


@routes.post("rooms.muteUser")
async def mute(call: Call, asked: Member) -> None:
    """Silence a member."""
    await _set_muted(call, asked, muted=True)


@routes.post("rooms.unmuteUser")
async def unmute(call: Call, asked: Member) -> None:
    """Let a member speak again; in a read-only room: at all."""
    await _set_muted(call, asked, muted=False)


async def _set_muted(call: Call, asked: Member, *, muted: bool) -> None:
    room = await room_of(call, asked)
    user = await user_of(call, asked)
    await call.services.messaging.mute_user(
        call.user_id, RoomId(room["_id"]), user["username"], muted
    )


@routes.get("rooms.isMember")
async def is_member(call: Call, asked: Member) -> dict[str, Any]:
    """Whether somebody is in a room that the caller may see."""
    try:
        room = await room_of(call, asked)
    except Refusal as error:
        # What cannot be seen may exist or not: that is not told.
        raise (Forbidden() if error.code == "error-room-not-found" else error) from None
    try:
        user = await user_of(call, asked)
    except Refusal as error:
        if error.code == "error-invalid-user":
            raise PlainRefusal("error-user-not-found") from None
        raise
    found = await call.services.messaging.is_member(
        call.user_id, RoomId(room["_id"]), UserId(user["_id"])
    )
    return {"isMember": found}


class MembersByRole(RoomSelector, Paged):
    """Which members: by a part of the name, by status."""

    filter: Word | None = None
    status: CommaWords = Field(default=[])


@routes.get("rooms.membersOrderedByRole")
async def members_by_role(call: Call, asked: MembersByRole) -> dict[str, Any] | Answer:
    """Owners, then moderators, then everybody else."""
    paging = parse_paging(asked, await call.paging_rules())
    room = await _room_or_nothing(call, asked)
    if room is None:
        return Answer({"success": False, "error": "Resource not found"}, status=404)
    try:
        page = await in_steps(
            lambda part: call.services.messaging.members_by_role(
                call.user_id,
                RoomId(room["_id"]),
                part,
                name_filter=asked.filter or None,
                statuses=asked.status or None,
            ),
            paging,
        )
    except NotAllowed:
        raise Forbidden from None
    except RoomNotFound:
        return Answer({"success": False, "error": "Resource not found"}, status=404)
    return paged("members", page, paging)


async def _room_or_nothing(call: Call, asked: RoomSelector) -> Document | None:
    try:
        return await room_of(call, asked)
    except Refusal as error:
        if error.code == "error-room-not-found":
            return None
        raise


class SaveNotification(Asked):
    """How the caller wants to hear of a room."""

    room_id: Word | None = None
    notifications: Annotated[Any, WithJsonSchema({"type": "object"})] = None
    """Setting → value, such as `{"desktopNotifications": "mentions"}`."""


@routes.post("rooms.saveNotification")
async def save_notification(call: Call, asked: SaveNotification) -> None:
    """Change how the caller wants to hear of a room, all settings or none."""
    if not asked.room_id:
        raise PlainRefusal("The 'roomId' param is required")
    if not isinstance(asked.notifications, dict) or not asked.notifications:
        raise PlainRefusal("The 'notifications' param is required")
    await call.services.messaging.save_notifications(
        call.user_id, RoomId(asked.room_id), asked.notifications
    )


class IgnoreUser(Asked):
    """Whose messages the caller does not want to see in a room."""

    rid: Required
    user_id: Required
    ignore: Flag = False


@routes.get("chat.ignoreUser")
async def ignore_user(call: Call, asked: IgnoreUser) -> None:
    """Hide the messages of a member from the caller, or show them again."""
    await call.services.messaging.ignore_user(
        call.user_id, RoomId(asked.rid), UserId(asked.user_id), asked.ignore
    )


routes.add("POST", "chat.ignoreUser", ignore_user)
