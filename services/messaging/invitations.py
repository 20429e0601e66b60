"""Links that let their holders into a room."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.base import listen
from hubbub.contracts.events import RoomChanged
from hubbub.contracts.members import InvalidInvite
from hubbub.contracts.messages import InvalidRoom
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import invites, records
from services.messaging.store.transactions import Duplicate, Missing


class Invitations:
    """The doors for invitations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def find_or_create_invite(
        self, user_id: UserId, room_id: RoomId, days: int, max_uses: int
    ) -> dict[str, Any]:
        """See the contract."""
        await self._desk.person(user_id)
        room = await self._desk.store.rooms.one(room_id)
        accessible = await self._desk.authorization.can_access_room_id(room_id, user_id)
        if room is None or not accessible:
            raise InvalidRoom("The rid field is invalid")
        if room.get("t") not in {"c", "p"} or not await self._may_invite(user_id, room_id):
            raise NotAllowed("Not allowed")
        invites.check_limits(days, max_uses)
        now = await self._desk.now()
        found = await self._desk.store.invites.alike(room_id, user_id, days, max_uses, now)
        if found is None:
            found = invites.invite(random_id(), room_id, user_id, days, max_uses, now)
            await self._desk.store.invites.insert(found)
        return invites.view(found, await self._site_url())

    async def list_invites(self, user_id: UserId) -> list[dict[str, Any]]:
        """See the contract."""
        await self._desk.person(user_id)
        store = self._desk.store
        if await self._desk.held(user_id, [invites.RIGHT]):
            found = await store.invites.every()
        else:
            rooms = await store.members.with_rights(user_id)
            if not rooms:
                raise NotAllowed("Not allowed")
            into = await store.invites.into(rooms)
            allowed = {
                room_id
                for room_id in {str(invite["rid"]) for invite in into}
                if await self._may_invite(user_id, RoomId(room_id))
            }
            found = [invite for invite in into if invite["rid"] in allowed]
            shown = {invite["_id"] for invite in found}
            found += [one for one in await store.invites.of(user_id) if one["_id"] not in shown]
        site_url = await self._site_url()
        return [invites.view(invite, site_url) for invite in found]

    async def remove_invite(self, user_id: UserId, invite_id: str) -> None:
        """See the contract."""
        await self._desk.person(user_id)
        invite = await self._desk.store.invites.one(invite_id)
        if invite is None:
            raise InvalidInvite("Invalid Invitation _id", code="invalid-invitation-id")
        own = invite.get("userId") == user_id
        if not own and not await self._may_invite(user_id, RoomId(str(invite["rid"]))):
            raise NotAllowed("Not allowed")
        await self._desk.store.invites.remove(invite_id)

    async def use_invite(self, user_id: UserId, token: str) -> dict[str, Any]:
        """See the contract."""
        person = await self._desk.person(user_id)
        invite = await self._desk.store.invites.one(token)
        room = None
        if invite is not None and invites.is_valid(invite, await self._desk.now()):
            room = await self._desk.store.rooms.one(str(invite["rid"]))
        if room is None:
            raise _invalid()
        room_id = str(room["_id"])
        if await self._desk.store.memberships.one(room_id, user_id) is None:
            if room.get("t") not in {"c", "p"}:
                raise _invalid()
            if room.get("archived") is True:
                raise NotAllowed("Room is archived", code="error-room-archived")
            if await self._desk.store.invites.use(token, await self._desk.now()) is None:
                raise _invalid()
            membership = records.membership(
                random_id(), room, person, await self._desk.now(), alert=True
            )
            announcement = records.system_message(
                random_id(), "uj", person.username, room_id=room_id, actor=person
            )
            try:
                stored = await self._desk.write(
                    room_id,
                    lambda deadline: self._desk.store.places.begin(
                        membership, announcement, deadline
                    ),
                )
            except Duplicate:
                # Joined in the same moment on another way.
                await self._desk.store.invites.give_back(token)
            except Missing:
                raise _invalid() from None
            else:
                self._desk.effects.on_stored(room_id, stored)
                self._desk.facts.forget_membership(user_id, room_id)
        answer = {"rid": room_id, "t": room.get("t"), "name": room.get("name")}
        optional = {key: room[key] for key in ("prid", "fname") if room.get(key)}
        return {**answer, **optional}

    async def is_invite_valid(self, token: str) -> bool:
        """See the contract."""
        invite = await self._desk.store.invites.one(token)
        if invite is None or not invites.is_valid(invite, await self._desk.now()):
            return False
        return await self._desk.facts.room(str(invite["rid"])) is not None

    @listen(RoomChanged, to="one")
    async def on_room_gone(self, event: RoomChanged) -> None:
        """Forget the invitations into a room that is gone; they let nobody in as it is."""
        if event.deleted:
            await self._desk.store.invites.remove_into(event.room_id)

    async def _may_invite(self, user_id: UserId, room_id: RoomId) -> bool:
        return bool(await self._desk.held(user_id, [invites.RIGHT], room_id))

    async def _site_url(self) -> str:
        url = await self._desk.facts.setting("Site_Url")
        return url if isinstance(url, str) else ""


def _invalid() -> InvalidInvite:
    return InvalidInvite("The invite token is invalid.")
