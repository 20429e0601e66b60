"""Making rooms; joining, leaving, adding and removing."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import DuplicateRoomName, LastOwner, NewRoom, NotInRoom
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import foreign, names, plain, records
from services.messaging.domain.sending import Person
from services.messaging.funnel import not_stored, unknown_outcome
from services.messaging.store.transactions import Duplicate, Missing, NotStored, OutcomeUnknown

T = TypeVar("T")

_REPEAT: Final = timedelta(minutes=1)  # in which the same wish for a room counts as a repeat
_TRIES: Final = 3


class Places:
    """The doors that change who is where."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create_room(self, user_id: UserId, room: NewRoom) -> dict[str, Any]:
        """See the contract."""
        creator = await self._desk.person(user_id)
        rules = await self._desk.facts.rules()
        if not await self._desk.held(user_id, [f"create-{room.type}"]):
            raise NotAllowed("Not allowed")
        display_name = room.name.strip()
        name = names.checked_name(
            names.slug(display_name) if rules.special_names else room.name, rules.name_pattern
        )
        if room.custom_fields:
            plain.check_custom_fields(room.custom_fields)
        for described in (room.topic, room.description, room.announcement):
            plain.check_storable(described)
        people = await self._members(creator, room)
        now = await self._desk.now()
        document = records.room(
            random_id(),
            room,
            name,
            creator,
            len(people),
            now,
            display_name if rules.special_names else None,
        )
        memberships = [
            records.membership(
                random_id(),
                document,
                person,
                now,
                alert=person.user_id != user_id,
                roles=("owner",) if person.user_id == user_id else (),
            )
            for person in people
        ]
        try:
            await self._outcome_of(
                self._desk.store.places.create(document, memberships, self._desk.deadline)
            )
        except Duplicate:
            return await self._existing(name, room, user_id)
        return foreign.room_view(document)

    async def create_direct(
        self, user_id: UserId, usernames: list[str], exclude_self: bool = False
    ) -> dict[str, Any]:
        """See the contract."""
        creator = await self._desk.person(user_id)
        rules = await self._desk.facts.rules()
        wanted = dict.fromkeys(name.removeprefix("@") for name in usernames if name)
        needed = {"create-d", "view-room-administration"} if exclude_self else {"create-d"}
        if not needed <= await self._desk.held(user_id, needed):
            raise NotAllowed("Not allowed")
        if len(wanted) > rules.direct_members:
            raise _too_many(rules.direct_members)
        others = await self._people(list(wanted))
        if not others:
            raise UserNotFound("Invalid user")
        wanted_people = others if exclude_self else [creator, *others]
        people = list({one.user_id: one for one in wanted_people}.values())
        if len(people) > max(rules.direct_members, 2):
            raise _too_many(rules.direct_members)
        for _ in range(_TRIES):
            try:
                room = await self._make_direct(creator, people)
            except Duplicate:
                continue  # the other side made it in the same moment
            return {**foreign.room_view(room), "rid": room["_id"], "t": "d"}
        raise not_stored()

    async def join_room(
        self, user_id: UserId, room_id: RoomId, join_code: str | None = None
    ) -> dict[str, Any]:
        """See the contract."""
        person = await self._desk.person(user_id)
        room = await self._room(room_id)
        if await self._desk.store.memberships.one(room_id, user_id) is not None:
            return foreign.room_view(room)
        held = await self._desk.held(user_id, ["view-c-room", "join-without-join-code"], room_id)
        if room.get("t") != "c" or "view-c-room" not in held:
            raise NotAllowed("Not allowed")
        if room.get("archived") is True:
            raise NotAllowed("Room is archived", code="error-room-archived")
        if room.get("joinCodeRequired") is True and "join-without-join-code" not in held:
            _check_join_code(join_code, room.get("joinCode"))
        await self._begin(room, person, "uj", person)
        return await self._view(room_id)

    async def join_default_rooms(self, user_id: UserId) -> None:
        """See the contract."""
        person = await self._desk.person(user_id)
        for room in await self._desk.store.rooms.default_rooms():
            if room.get("archived") is True:
                continue
            if await self._desk.store.memberships.one(room["_id"], user_id) is None:
                await self._begin(room, person, "uj", person)

    async def leave_room(self, user_id: UserId, room_id: RoomId) -> None:
        """See the contract."""
        person = await self._desk.person(user_id)
        room = await self._room(room_id)
        kind = str(room.get("t"))
        if kind not in {"c", "p"} or not await self._desk.held(user_id, [f"leave-{kind}"], room_id):
            raise NotAllowed("Not allowed")
        await self._end(room_id, person, "ul", person)

    async def add_users(
        self, user_id: UserId, room_id: RoomId, usernames: list[str]
    ) -> dict[str, Any]:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await self._room(room_id)
        kind = str(room.get("t"))
        if kind not in {"c", "p"}:
            raise NotAllowed("Can't invite user to direct rooms")
        any_room = f"add-user-to-any-{kind}-room"
        held = await self._desk.held(user_id, ["add-user-to-joined-room", any_room], room_id)
        if any_room not in held:
            is_member = await self._desk.store.memberships.one(room_id, user_id) is not None
            if not is_member or "add-user-to-joined-room" not in held:
                raise NotAllowed("Not allowed")
        if room.get("archived") is True:
            raise NotAllowed("Room is archived", code="error-room-archived")
        people = await self._people(usernames)
        there = await self._desk.store.memberships.users_in(
            room_id, [person.user_id for person in people]
        )
        for person in people:
            if person.user_id not in there:
                await self._begin(room, person, "au", actor)
        return await self._view(room_id)

    async def remove_user(self, user_id: UserId, room_id: RoomId, username: str) -> dict[str, Any]:
        """See the contract."""
        actor = await self._desk.person(user_id)
        room = await self._room(room_id)
        kind = str(room.get("t"))
        any_room = f"kick-user-from-any-{kind}-room"
        held = await self._desk.held(user_id, ["remove-user", any_room], room_id)
        if kind not in {"c", "p"} or not held:
            raise NotAllowed("Not allowed")
        is_member = await self._desk.store.memberships.one(room_id, user_id) is not None
        if any_room not in held and not is_member:
            raise NotAllowed("Not allowed")
        (person,) = await self._people([username])
        await self._end(room_id, person, "ru", actor)
        return await self._view(room_id)

    async def _members(self, creator: Person, room: NewRoom) -> list[Person]:
        """Who a new room begins with; unknown names are skipped."""
        found = await self._desk.store.users.named(room.members)
        # Two spellings of a name are one person.
        members = {one.user_id: one for name in room.members if (one := found.get(name))}
        members.pop(creator.user_id, None)
        others = list(members.values())
        return others if room.exclude_self else [creator, *others]

    async def _existing(self, name: str, wanted: NewRoom, user_id: str) -> dict[str, Any]:
        """The room that holds the name, if this is a repeat of the call that made it."""
        there = await self._desk.store.rooms.by_name(name)
        if there is not None and await self._is_repeat(there, wanted, user_id):
            return foreign.room_view(there)
        if there is not None and there.get("archived") is True:
            raise DuplicateRoomName(
                f"There's an archived channel with name {name}",
                code="error-archived-duplicate-name",
            )
        raise DuplicateRoomName(f"A channel with name '{name}' exists")

    async def _is_repeat(self, room: Mapping[str, Any], wanted: NewRoom, user_id: str) -> bool:
        if not wanted.repeatable:
            return False
        made = foreign.moment(room.get("ts"))
        own = (room.get("u") or {}).get("_id") == user_id and room.get("t") == wanted.type
        # A room in which something happened is no longer what the first call made.
        untouched = foreign.number(room.get("msgs")) == 0 and not room.get("archived")
        return own and untouched and made is not None and await self._desk.now() - made < _REPEAT

    async def _make_direct(self, creator: Person, people: Sequence[Person]) -> dict[str, Any]:
        places = self._desk.store.places
        ids = [person.user_id for person in people]
        room_id = records.direct_room_id(ids if len(ids) > 1 else ids * 2)
        there = None
        if room_id is None or await self._desk.store.rooms.one(room_id) is None:
            # Rooms of three and more, and those that other tools made, have ids of any form.
            there = await places.direct_among(ids)
        now = await self._desk.now()
        document = there or records.direct_room(room_id or random_id(), people, creator, now)
        memberships = [
            records.direct_membership(
                random_id(),
                document,
                person,
                people,
                now,
                is_creator=person.user_id == creator.user_id,
            )
            for person in people
        ]
        return await self._outcome_of(
            places.create_direct(document, memberships, creator.user_id, self._desk.deadline)
        )

    async def _begin(
        self, room: Mapping[str, Any], person: Person, kind: str, actor: Person
    ) -> None:
        """Make somebody a member. One already: no effect."""
        room_id = str(room["_id"])
        membership = records.membership(
            random_id(), room, person, await self._desk.now(), alert=True
        )
        announcement = records.system_message(
            random_id(), kind, person.username, room_id=room_id, actor=actor
        )
        try:
            stored = await self._desk.write(
                room_id,
                lambda deadline: self._desk.store.places.begin(membership, announcement, deadline),
            )
        except Duplicate:
            return
        except Missing:
            raise InvalidRoom("Invalid room") from None
        self._desk.effects.on_stored(room_id, stored)
        self._desk.facts.forget_membership(person.user_id, room_id)

    async def _end(self, room_id: str, person: Person, kind: str, actor: Person) -> None:
        """End somebody's membership. When it returns, a majority knows."""
        announcement = records.system_message(
            random_id(), kind, person.username, room_id=room_id, actor=actor
        )
        try:
            stored = await self._desk.write(
                room_id,
                lambda deadline: self._desk.store.places.end(
                    room_id, person.user_id, announcement, _check_owner, deadline
                ),
            )
        except Missing:
            raise InvalidRoom("Invalid room") from None
        if stored is None:
            raise NotInRoom("User is not in this room")
        self._desk.effects.on_stored(room_id, stored)
        self._desk.facts.forget_membership(person.user_id, room_id)

    async def _people(self, usernames: Sequence[str]) -> list[Person]:
        """Users by username, in order, each once. Raises: UserNotFound: one is unknown."""
        found = await self._desk.store.users.named(usernames)
        missing = [name for name in usernames if name not in found]
        if missing:
            raise UserNotFound("Invalid user", details={"username": missing[0]})
        return list({found[name].user_id: found[name] for name in usernames}.values())

    async def _room(self, room_id: str) -> dict[str, Any]:
        room = await self._desk.store.rooms.one(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        return room

    async def _view(self, room_id: str) -> dict[str, Any]:
        return foreign.room_view(await self._room(room_id))

    async def _outcome_of(self, work: Awaitable[T]) -> T:
        """What a transaction outside of any lane gives. Raises: Unavailable."""
        try:
            return await work
        except NotStored:
            raise not_stored() from None
        except OutcomeUnknown:
            raise unknown_outcome() from None


def _check_join_code(given: str | None, wanted: Any) -> None:
    if not given:
        raise BadRequest("Code required", code="error-code-required")
    if not isinstance(wanted, str) or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise BadRequest("Invalid Room Password", code="error-code-invalid")


def _check_owner(membership: Mapping[str, Any], other_owners: int) -> None:
    roles = membership.get("roles")
    is_owner = isinstance(roles, list) and "owner" in roles
    if is_owner and other_owners == 0 and membership["usersLeft"] > 0:
        raise LastOwner("You are the last owner. Please set new owner before leaving the room.")


def _too_many(limit: int) -> BadRequest:
    return BadRequest(
        f"You cannot create a direct room with more than {limit} users",
        code="error-direct-message-max-user-exceeded",
    )
