"""Finding rooms and people, and what somebody is a member of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from hubbub.contracts.documents import Changes, Page, Paging, Text
from hubbub.contracts.rooms import Membership, RoomNotFound, RoomType
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from services.messaging.desk import Desk
from services.messaging.domain import foreign, lists
from services.messaging.store.trash import removals

_FOUND: Final = 5  # users and rooms that a search gives
_ROOM_SORTS: Final = ("name", "msgs", "usersCount", "ts", "lm", "_id")
_BROADCAST_LIST: Final = "view-broadcast-member-list"
_MEMBER_SORTS: Final = ("username", "name", "status", "_id")


class Directory:
    """The doors for what there is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def room_id_of(self, user_id: UserId, name_or_id: str) -> RoomId:
        """See the contract."""
        rooms = self._desk.store.rooms
        for room in (await rooms.one(name_or_id), await rooms.by_name(name_or_id)):
            if room is not None and await self._may_access(user_id, room):
                return RoomId(str(room["_id"]))
        other = (await self._desk.store.users.named([name_or_id])).get(name_or_id)
        if other is not None:
            ids = sorted({user_id, other.user_id})
            direct = await self._desk.store.places.direct_among(ids)
            if direct is not None:
                return RoomId(str(direct["_id"]))
        raise NotAllowed("Not allowed")

    async def room_name_of(self, user_id: UserId, room_id: RoomId) -> str:
        """See the contract."""
        room = await self._desk.facts.room(room_id)
        if room is None or not await self._may_access(user_id, room):
            raise NotAllowed("Not allowed")
        if room.get("t") == "d":
            membership = await self._desk.store.memberships.one(room_id, user_id)
            return str((membership or {}).get("name") or "")
        return str(room.get("name") or "")

    async def get_room(
        self,
        user_id: UserId | None,
        room_id: str | None = None,
        name: str | None = None,
        types: list[RoomType] | None = None,
    ) -> dict[str, Any]:
        """See the contract."""
        rooms = self._desk.store.rooms
        room = None
        if room_id:
            room = await rooms.one(room_id)
        elif name:
            room = await rooms.by_name(name)
        wanted = set(types) if types else set(RoomType)
        if room is None or room.get("t") not in wanted:
            raise RoomNotFound("The required room was not found")
        if not await self._may_access(user_id, room):
            raise RoomNotFound("The required room was not found")
        return foreign.room_view(room)

    async def rooms_of(
        self, user_id: UserId | None, updated_since: datetime | None = None
    ) -> Changes:
        """See the contract."""
        if user_id is None:
            return Changes(update=[], remove=[])
        store = self._desk.store
        places = await store.memberships.places(user_id)
        mine = [str(place["rid"]) for place in places if place.get("rid")]
        since = None if updated_since is None else updated_since - lists.LOOK_BACK
        rooms = await store.rooms.by_ids(mine, since)
        if since is None:
            return Changes(update=[foreign.room_view(room) for room in rooms], remove=[])
        # Rooms that are new to the user, though nothing happened in them.
        shown = {room["_id"] for room in rooms}
        new = [
            str(place["rid"])
            for place in places
            if place.get("rid") not in shown and _is_after(place.get("ts"), since)
        ]
        if new:
            rooms += await store.rooms.by_ids(new)
        gone = [
            ended
            for ended in await store.trash.memberships_of(user_id, since)
            if ended.get("rid") and ended["rid"] not in set(mine)
        ]
        last = {ended["rid"]: ended for ended in gone}
        return Changes(
            update=[foreign.room_view(room) for room in rooms],
            remove=removals(last.values(), key="rid"),
        )

    async def subscriptions_of(
        self, user_id: UserId | None, updated_since: datetime | None = None
    ) -> Changes:
        """See the contract."""
        if user_id is None:
            return Changes(update=[], remove=[])
        store = self._desk.store
        since = None if updated_since is None else updated_since - lists.LOOK_BACK
        found = await store.memberships.of(user_id, since)
        ended = [] if since is None else await store.trash.memberships_of(user_id, since)
        return Changes(
            update=[foreign.membership_view(membership) for membership in found],
            remove=removals(ended),
        )

    async def subscription_of(self, user_id: UserId, room_id: RoomId) -> dict[str, Any] | None:
        """See the contract."""
        membership = await self._desk.store.memberships.one(room_id, user_id)
        return None if membership is None else foreign.membership_view(membership)

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        """See the contract."""
        places = [
            place
            for place in await self._desk.store.memberships.places(user_id)
            if place.get("rid")
        ]
        # Other tools may leave the type out of a membership.
        unknown = [str(place["rid"]) for place in places if not isinstance(place.get("t"), str)]
        rooms = {
            room["_id"]: room
            for room in (await self._desk.store.rooms.facts(unknown) if unknown else [])
        }
        return [_membership({**place, **rooms.get(place["rid"], {})}) for place in places]

    async def list_rooms(
        self,
        user_id: UserId,
        room_type: Literal["c", "p"],
        paging: Paging,
        joined_only: bool = False,
        name: str | None = None,
        name_part: str | None = None,
    ) -> Page:
        """See the contract."""
        among: list[str] | None = None
        sees_all = "view-c-room" if room_type == "c" else "view-room-administration"
        if joined_only or not await self._desk.held(user_id, [sees_all]):
            places = await self._desk.store.memberships.places(user_id)
            among = [str(place["rid"]) for place in places if place.get("rid")]
        page, total = await self._desk.store.rooms.page(
            room_type,
            lists.order(paging, _ROOM_SORTS, {"name": 1}),
            lists.offset(paging),
            lists.limit(paging),
            among=among,
            name=name,
            name_part=name_part,
        )
        return Page(items=[foreign.room_view(room) for room in page], total=total)

    async def members(
        self,
        user_id: UserId,
        room_id: RoomId,
        paging: Paging,
        name_filter: str | None = None,
        online_only: bool = False,
        statuses: list[str] | None = None,
    ) -> Page:
        """See the contract."""
        room = await self._accessible(user_id, room_id)
        secret = room.get("broadcast") is True
        if secret and not await self._desk.held(user_id, [_BROADCAST_LIST], room_id):
            raise NotAllowed("Not allowed")
        order = lists.order(paging, _MEMBER_SORTS, {"username": 1})
        memberships, users = self._desk.store.memberships, self._desk.store.users
        start, count = lists.offset(paging), lists.limit(paging)
        if name_filter or online_only or statuses or order[0][0] == "status":
            page, total = await memberships.search(
                room_id,
                order,
                start,
                count,
                text=name_filter,
                online_only=online_only,
                statuses=statuses,
            )
        else:
            page, total = await memberships.page(room_id, order, start, count)
        shown = await users.shown([str(member.get("_id")) for member in page])
        items = [{**member, **shown.get(str(member.get("_id")), {})} for member in page]
        for member in items:
            member.setdefault("status", "offline")
        return Page(items=items, total=total)

    async def room_roles(self, user_id: UserId, room_id: RoomId) -> list[dict[str, Any]]:
        """See the contract."""
        await self._accessible(user_id, room_id)
        return await self._desk.store.memberships.with_roles(room_id)

    async def find_users_and_rooms(
        self,
        user_id: UserId,
        text: Text,
        users: bool = True,
        rooms: bool = True,
        except_usernames: list[str] | None = None,
        room_id: str | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """See the contract."""
        text = text.strip()
        store, timeout = self._desk.store, self._desk.settings.search_timeout
        held = await self._desk.held(user_id, ["view-c-room", "view-outside-room"])
        found: dict[str, list[dict[str, Any]]] = {"users": [], "rooms": []}
        left_out = (except_usernames or [])[:100]
        if users and room_id:
            found["users"] = await self._members_named(user_id, room_id, text, left_out)
        if users and text and "view-outside-room" in held and len(found["users"]) < _FOUND:
            known = left_out + [str(user.get("username")) for user in found["users"]]
            more = await store.users.find(text, _FOUND, known, timeout)
            found["users"] = (found["users"] + more)[:_FOUND]
        if rooms and text:
            mine = await store.memberships.places(user_id)
            found["rooms"] = await store.rooms.find(
                text,
                _FOUND,
                among=[str(place["rid"]) for place in mine if place.get("t") in {"c", "p"}],
                public="view-c-room" in held,
                timeout=timeout,
            )
        return found

    async def _members_named(
        self, user_id: UserId, room_id: str, text: str, left_out: list[str]
    ) -> list[dict[str, Any]]:
        """Members of a room whose username begins with `text`; none where there is no access."""
        room = await self._desk.facts.room(room_id)
        if room is None or not await self._may_access(user_id, room):
            return []
        secret = room.get("broadcast") is True
        if secret and not await self._desk.held(user_id, [_BROADCAST_LIST], RoomId(room_id)):
            return []
        ids = await self._desk.store.memberships.beginning_with(room_id, text, left_out, _FOUND)
        shown = await self._desk.store.users.shown(ids)
        return [shown[one] for one in ids if one in shown]

    async def _accessible(self, user_id: str, room_id: str) -> dict[str, Any]:
        room = await self._desk.facts.room(room_id)
        if room is None:
            raise RoomNotFound("The required room was not found")
        if not await self._may_access(user_id, room):
            raise NotAllowed("Not allowed")
        return room

    async def _may_access(self, user_id: str | None, room: Mapping[str, Any]) -> bool:
        return await self._desk.authorization.can_access_room_id(
            RoomId(str(room["_id"])), None if user_id is None else UserId(user_id), now=True
        )


def _membership(place: Mapping[str, Any]) -> Membership:
    kind = place.get("t")
    name = place.get("name")
    return Membership(
        room_id=RoomId(str(place["rid"])),
        room_type=kind if isinstance(kind, str) else "c",
        room_name=name if isinstance(name, str) and kind != "d" else None,
    )


def _is_after(value: Any, since: datetime) -> bool:
    date = foreign.moment(value)
    return date is None or date > since
