"""What members are to a room: roles, mutes, blocks, what they want to hear of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.members import Disabled, RoomRole, UserLimitExceeded
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import NotInRoom, RoomNotFound
from hubbub.errors import BadRequest, HubbubError, NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import foreign, lists, members, records
from services.messaging.domain.sending import Person
from services.messaging.rooms_changing import erase
from services.messaging.store.transactions import Duplicate, Missing

_BROADCAST_LIST: Final = "view-broadcast-member-list"
_ADDED_AT_ONCE: Final = 100  # members that one transaction adds
_ADMINISTER: Final = "view-room-administration"
_READ_OTHERS: Final = "API_Enable_Direct_Message_History_EndPoint"
_DIRECT_SORTS: Final = ("name", "msgs", "ts", "lm", "_id")
_USER_LIMIT: Final = "API_User_Limit"


class Members:
    """The doors for members."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def set_room_role(
        self, user_id: UserId, room_id: RoomId, member_id: UserId, role: RoomRole, given: bool
    ) -> None:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await _room(self._desk, room_id)
        right = members.role_right(role)
        if room.get("t") == "d" or not await self._desk.held(user_id, [right], room_id):
            raise await _refusal(self._desk, user_id, room_id)
        person = await _somebody(self._desk, member_id)
        await change_role(self._desk, room_id, person, role, actor, given=given)

    async def mute_user(self, user_id: UserId, room_id: RoomId, username: str, muted: bool) -> None:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await _room(self._desk, room_id)
        if not await self._desk.held(user_id, ["mute-user"], room_id):
            raise await _refusal(self._desk, user_id, room_id)
        if room.get("t") not in {"c", "p"}:
            raise BadRequest(
                f"{room.get('t')} is not a valid room type", code="error-invalid-room-type"
            )
        person = (await self._desk.store.users.named([username])).get(username)
        if person is None:
            raise UserNotFound("Invalid user")

        def decide(found: Mapping[str, Any], is_member: bool) -> Mapping[str, Any] | None:
            if not is_member:
                raise NotInRoom("User is not in this room")
            return members.silenced(found, person.username, muted=muted)

        kind = "user-muted" if muted else "user-unmuted"
        announcement = records.system_message(
            random_id(), kind, person.username, room_id=room_id, actor=actor
        )
        try:
            stored = await self._desk.write(
                room_id,
                lambda deadline: self._desk.store.members.change_speech(
                    room_id, person.user_id, decide, announcement, deadline
                ),
            )
        except Missing:
            raise InvalidRoom("Invalid room") from None
        if stored is not None:
            self._desk.effects.on_stored(room_id, stored)
            self._desk.facts.forget_room(room_id)

    async def block_user(
        self, user_id: UserId, room_id: RoomId, other_id: UserId, blocked: bool
    ) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        room = await _room(self._desk, room_id)
        uids = room.get("uids")
        between_two = room.get("t") == "d" and isinstance(uids, list) and len(uids) == 2
        if not between_two or user_id == other_id:
            raise await _refusal(self._desk, user_id, room_id)
        try:
            await self._desk.write(
                room_id,
                lambda deadline: self._desk.store.members.block(
                    room_id, user_id, other_id, deadline, blocked=blocked
                ),
            )
        except Missing:
            raise InvalidRoom("Invalid room") from None

    async def ignore_user(
        self, user_id: UserId, room_id: RoomId, other_id: UserId, ignored: bool
    ) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        there = await self._desk.store.memberships.users_in(room_id, {user_id, other_id})
        if user_id == other_id or there != {user_id, other_id}:
            raise BadRequest("Invalid subscription", code="error-invalid-subscription")
        await self._desk.store.members.ignore(room_id, user_id, other_id, ignored=ignored)

    async def save_notifications(
        self, user_id: UserId, room_id: RoomId, notifications: dict[str, Any]
    ) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        fields = members.notification_fields(notifications)
        if not await self._desk.store.members.set_or_remove(room_id, user_id, fields):
            raise BadRequest("Invalid subscription", code="error-invalid-subscription")
        self._desk.facts.forget_membership(user_id, room_id)

    async def is_member(self, user_id: UserId, room_id: RoomId, member_id: UserId) -> bool:
        """See the contract."""
        await self._visible(user_id, room_id)
        return await self._desk.store.memberships.one(room_id, member_id) is not None

    async def members_by_role(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        statuses: list[str] | None = None,
    ) -> Page:
        """See the contract."""
        room = await self._visible(user_id, room_id)
        if room.get("broadcast") is True and not await self._desk.held(
            user_id, [_BROADCAST_LIST], room_id
        ):
            raise NotAllowed("Not allowed")
        page, total = await self._desk.store.members.by_role(
            room_id,
            lists.offset(paging),
            lists.limit(paging),
            text=name_filter,
            statuses=statuses,
        )
        shown = await self._desk.store.users.shown([str(member.get("_id")) for member in page])
        items = [{**member, **shown.get(str(member.get("_id")), {})} for member in page]
        for member in items:
            member.setdefault("status", "offline")
        return Page(items=items, total=total)

    async def add_everybody(
        self, user_id: UserId, room_id: RoomId, active_only: bool = False
    ) -> dict[str, Any]:
        """See the contract."""
        await self._desk.person(user_id)
        room = await _room(self._desk, room_id)
        held = await self._desk.held(user_id, ["add-all-to-room"], room_id)
        if room.get("t") not in {"c", "p"} or not held:
            raise await _refusal(self._desk, user_id, room_id)
        if room.get("archived") is True:
            raise NotAllowed("Room is archived", code="error-room-archived")
        limit = foreign.number(await self._desk.facts.setting(_USER_LIMIT)) or 500
        people = await self._desk.store.users.everybody(limit + 1, active_only=active_only)
        if len(people) > limit:
            raise UserLimitExceeded("User Limit Exceeded")
        for start in range(0, len(people), _ADDED_AT_ONCE):
            await self._begin_many(room, people[start : start + _ADDED_AT_ONCE])
        return foreign.room_view(await _room(self._desk, room_id))

    async def list_direct_rooms(self, user_id: UserId, paging: Paging) -> Page:
        """See the contract."""
        if not await self._desk.held(user_id, [_ADMINISTER]):
            raise NotAllowed("Not allowed")
        page, total = await self._desk.store.rooms.page(
            "d",
            lists.order(paging, _DIRECT_SORTS, {"name": 1}),
            lists.offset(paging),
            lists.limit(paging),
        )
        return Page(items=[foreign.room_view(room) for room in page], total=total)

    async def messages_of_others(self, user_id: UserId, room_id: RoomId, paging: Paging) -> Page:
        """See the contract."""
        if await self._desk.facts.setting(_READ_OTHERS) is not True:
            raise Disabled("This endpoint is disabled")
        if not await self._desk.held(user_id, [_ADMINISTER]):
            raise NotAllowed("Not allowed")
        room = await _room(self._desk, room_id)
        if room.get("t") != "d":
            raise InvalidRoom("Invalid room")
        page = await self._desk.store.messages.page(
            room_id,
            "older",
            count=lists.limit(paging),
            offset=lists.offset(paging),
        )
        await self._desk.audit.tell("room.read-by-administrator", actor=user_id, target=room_id)
        total = max(foreign.number(room.get("msgs")), lists.offset(paging) + len(page))
        return Page(items=[foreign.message_view(one, user_id) for one in page], total=total)

    async def erase_direct_room(self, user_id: UserId, room_id: RoomId) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        room = await _room(self._desk, room_id)
        membership = await self._desk.store.memberships.one(room_id, user_id)
        may = membership is not None or await self._desk.held(user_id, [_ADMINISTER])
        if room.get("t") != "d" or not may:
            raise InvalidRoom("Invalid room")
        await erase(self._desk, room_id)

    async def leave_direct_room(
        self, user_id: UserId, room_id: RoomId, member_id: UserId | None = None
    ) -> None:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await _room(self._desk, room_id)
        is_member = await self._desk.store.memberships.one(room_id, user_id) is not None
        if room.get("t") != "d" or not is_member:
            raise InvalidRoom("Invalid room")
        leaves = member_id is None or member_id == user_id
        uids = room.get("uids")
        maker = (room.get("u") or {}).get("_id")
        of_several = isinstance(uids, list) and len(uids) > 2
        if not of_several or not (leaves or maker == user_id):
            raise NotAllowed("Not allowed")
        person = actor if member_id is None else await _somebody(self._desk, member_id)
        announcement = records.system_message(
            random_id(), "ul" if leaves else "ru", person.username, room_id=room_id, actor=actor
        )
        stored = await self._desk.write(
            room_id,
            lambda deadline: self._desk.store.members.end_direct(
                room_id, person.user_id, person.username, announcement, deadline
            ),
        )
        if stored is None:
            raise NotInRoom("User is not in this room")
        self._desk.effects.on_stored(room_id, stored)
        self._desk.facts.forget_room(room_id)
        self._desk.facts.forget_membership(person.user_id, room_id)
        await name_groups(self._desk, [room_id])

    async def _begin_many(self, room: Mapping[str, Any], people: Sequence[Person]) -> None:
        """Make those of `people` members who are none yet. They are told as having joined."""
        room_id = str(room["_id"])
        while True:
            there = await self._desk.store.memberships.users_in(
                room_id, [person.user_id for person in people]
            )
            new = [person for person in people if person.user_id not in there]
            if not new:
                return
            now = await self._desk.now()
            begun = [
                records.membership(random_id(), room, person, now, alert=True) for person in new
            ]
            announcements = [
                records.system_message(
                    random_id(), "uj", person.username, room_id=room_id, actor=person
                )
                for person in new
            ]
            try:
                stored = await self._desk.write(
                    room_id,
                    lambda deadline: self._desk.store.members.begin_many(
                        room_id,
                        begun,  # noqa: B023  awaited before the next turn
                        announcements,  # noqa: B023
                        deadline,
                    ),
                )
            except Duplicate:
                continue  # somebody joined in the same moment
            except Missing:
                raise InvalidRoom("Invalid room") from None
            self._desk.effects.on_stored(room_id, stored)
            for person in new:
                self._desk.facts.forget_membership(person.user_id, room_id)
            return

    async def _visible(self, user_id: UserId, room_id: RoomId) -> dict[str, Any]:
        room = await self._desk.facts.room(room_id)
        if room is None:
            raise RoomNotFound("The required room was not found")
        if not await self._desk.authorization.can_access_room_id(room_id, user_id):
            raise NotAllowed("Not allowed")
        return room


async def name_groups(desk: Desk, room_ids: Sequence[str]) -> None:
    """Name memberships of direct rooms of several anew, after those who are in them."""
    if not room_ids:
        return
    found = await desk.store.identities.members(room_ids)
    user_ids = {str((membership.get("u") or {}).get("_id")) for membership in found}
    people = await desk.store.users.people(user_ids)
    await desk.store.identities.name_groups(found, people)


async def change_role(
    desk: Desk, room_id: str, person: Person, role: RoomRole, actor: Person, *, given: bool
) -> None:
    """Give a member a role, or take it, and say so in the room.

    Raises: InvalidRoom, NotInRoom, RoleUnchanged, LastOwnerRemains.
    """

    def decide(membership: Mapping[str, Any] | None, other_owners: int) -> Sequence[str]:
        members.check_role(membership, role, other_owners, given=given)
        return members.roles_after(membership or {}, role, given=given)

    announcement = records.system_message(
        random_id(),
        "subscription-role-added" if given else "subscription-role-removed",
        person.username,
        room_id=room_id,
        actor=actor,
        extra={"role": role.value},
    )
    try:
        stored = await desk.write(
            room_id,
            lambda deadline: desk.store.members.change_roles(
                room_id, person.user_id, decide, announcement, deadline
            ),
        )
    except Missing:
        raise InvalidRoom("Invalid room") from None
    desk.effects.on_stored(room_id, stored)
    desk.facts.forget_membership(person.user_id, room_id)


async def _room(desk: Desk, room_id: str) -> dict[str, Any]:
    room = await desk.store.rooms.one(room_id)
    if room is None:
        raise InvalidRoom("Invalid room")
    return room


async def _somebody(desk: Desk, user_id: str) -> Person:
    """A user, active or not. Raises: UserNotFound."""
    person = await desk.store.users.person(user_id)
    if person is None:
        raise UserNotFound("Invalid user")
    return person


async def _refusal(desk: Desk, user_id: UserId, room_id: RoomId) -> HubbubError:
    """Why something is not done: a room that the caller may not see is like none."""
    if await desk.authorization.can_access_room_id(room_id, user_id):
        return NotAllowed("Not allowed")
    return InvalidRoom("Invalid room")
