"""What has to happen in rooms before an account may go."""

from __future__ import annotations

from hubbub.contracts.documents import Document, Paging
from hubbub.contracts.rooms import NotInRoom
from hubbub.doors.methods import Services
from hubbub.errors import Conflict
from hubbub.ids import RoomId, UserId

_OWNER = "owner"


class LastOwnerLeaves(Conflict):
    """Rooms would be left without an owner, or without anybody."""

    default_code = "user-last-owner"


async def leave_everything(services: Services, user_id: UserId) -> None:
    """End all memberships in channels and groups.

    Raises: LastOwnerLeaves: the user is the only owner of a room. Nothing has happened then.
    """
    memberships = await check_last_owner(services, user_id)
    for membership in memberships:
        if membership.get("t") == "d":
            continue  # direct rooms stay for the other side
        try:
            await services.messaging.leave_room(user_id, RoomId(membership["rid"]))
        except NotInRoom:
            continue  # somebody was faster


async def check_last_owner(services: Services, user_id: UserId) -> list[Document]:
    """The user's memberships. Raises: LastOwnerLeaves: the only owner of a room."""
    memberships = (await services.messaging.subscriptions_of(user_id)).update
    owned = [entry for entry in memberships if _OWNER in entry.get("roles", ())]
    await _check_owners(services, user_id, owned)
    return memberships


async def _check_owners(services: Services, user_id: UserId, owned: list[Document]) -> None:
    should_change: list[str] = []
    should_go: list[str] = []
    for membership in owned:
        room_id = RoomId(membership["rid"])
        name = str(membership.get("name") or room_id)
        holders = await services.messaging.room_roles(user_id, room_id)
        others = [
            entry
            for entry in holders
            if _OWNER in entry.get("roles", ()) and entry.get("u", {}).get("_id") != user_id
        ]
        if others:
            continue
        members = await services.messaging.members(user_id, room_id, Paging(count=1))
        (should_change if members.total > 1 else should_go).append(name)
    if should_change or should_go:
        raise LastOwnerLeaves(
            details={"shouldChangeOwner": should_change, "shouldBeRemoved": should_go}
        )
