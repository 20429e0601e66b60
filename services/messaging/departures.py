"""What leaves with a user, and what a changed name brings about.

Everything here can be repeated and goes on where it stopped: the event about the account comes
again until it was handled, and what is done is not done twice.
"""

from __future__ import annotations

from typing import Final, Literal

from hubbub.contracts.base import listen
from hubbub.contracts.events import UserIdentityChanged
from hubbub.contracts.members import Departure, RoleUnchanged, RoomRole
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.rooms import NotInRoom
from hubbub.contracts.workspace import REMOVED_USER
from hubbub.ids import UserId
from hubbub.tasks import heed_cancellation
from services.messaging.desk import Desk
from services.messaging.domain import departures
from services.messaging.domain.departures import Erasure
from services.messaging.domain.sending import Person
from services.messaging.funnel import not_stored, unknown_outcome
from services.messaging.members import change_role, name_groups
from services.messaging.rooms_changing import erase
from services.messaging.store.transactions import NotStored, OutcomeUnknown

_ERASURE: Final = "Message_ErasureType"
_FILES: Final = 5.0  # seconds to tell of one portion's files; what is left is told later
_ROUNDS: Final = 1000  # portions of copies that one change of a name may take


class Departures:
    """The doors for accounts that go, and for those that are called otherwise."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def check_departure(self, user_id: UserId) -> Departure:
        """See the contract."""
        return departures.departure(await self._desk.store.departures.held(user_id))

    async def relinquish_rooms(
        self,
        user_id: UserId,
        leaving: Literal["deactivated", "deleted"],
        confirmed: bool = False,
    ) -> None:
        """See the contract."""
        found = await self.check_departure(user_id)
        if not confirmed and not found.is_free:
            raise departures.refusal(found)
        try:
            await self._hand_over(user_id)
            if leaving == "deleted":
                await self._leave(user_id)
        except NotStored:
            raise not_stored() from None
        except OutcomeUnknown:
            raise unknown_outcome() from None

    @listen(UserIdentityChanged, to="one", durable=True)
    async def on_identity_changed(self, event: UserIdentityChanged) -> None:
        """Carry a new name to its copies; end what is left of an account that is gone."""
        self._desk.facts.forget_user(event.user_id)
        users = self._desk.store.users
        if event.deleted and not await users.exists(event.user_id):
            await self.relinquish_rooms(event.user_id, "deleted", confirmed=True)
            return
        for _ in range(_ROUNDS):
            heed_cancellation()
            # Read anew each time: of two changes at once the younger has to win.
            person = await users.person(event.user_id)
            if person is None or not await self._carry(person):
                break
        await self._open_and_close(event.user_id)

    async def _open_and_close(self, user_id: UserId) -> None:
        """Nobody writes to somebody who cannot answer: direct rooms of two with an account that
        is not active are read-only, the others are not."""
        store = self._desk.store
        rooms = [
            (str(room["_id"]), [uid for uid in room["uids"] if isinstance(uid, str)])
            for room in await store.departures.direct_rooms(user_id)
            if len(room["uids"]) == 2
        ]
        people = await store.users.people({uid for _, uids in rooms for uid in uids})
        active = {person.user_id for person in people.values() if person.active}
        for read_only in (True, False):
            chosen = [one for one, uids in rooms if (not active.issuperset(uids)) is read_only]
            if chosen:
                await store.departures.set_read_only(chosen, read_only=read_only)
                for room_id in chosen:
                    self._desk.facts.forget_room(room_id)

    async def _carry(self, person: Person) -> bool:
        """Bring a name to some of its copies; whether there may be more."""
        identities = self._desk.store.identities
        memberships = await identities.outdated(person)
        if not memberships:
            return False
        await name_groups(self._desk, await identities.carry(person, memberships))
        for membership in memberships:
            if isinstance(membership.get("rid"), str):
                self._desk.facts.forget_room(membership["rid"])
        return True

    async def _hand_over(self, user_id: UserId) -> None:
        """Find an owner for each room that would have none; erase those without anybody."""
        store = self._desk.store
        for room in await store.departures.held(user_id):
            heed_cancellation()
            room_id = str(room["rid"])
            heir = None if room["alone"] else await store.departures.heir(room_id, user_id)
            if heir is None:
                await erase(self._desk, room_id)
                continue
            user = heir["u"]
            person = Person(str(user["_id"]), str(user.get("username") or ""), user.get("name"))
            bot = await store.departures.bot()
            try:
                await change_role(self._desk, room_id, person, RoomRole.OWNER, bot, given=True)
            except (RoleUnchanged, NotInRoom, InvalidRoom):
                continue  # somebody was faster

    async def _leave(self, user_id: UserId) -> None:
        """End all memberships, and do with the messages as the workspace is set."""
        store = self._desk.store
        erasure = departures.erasure_of(await self._desk.facts.setting(_ERASURE))
        if erasure is Erasure.DELETE:
            for room in await store.departures.direct_rooms(user_id):
                heed_cancellation()
                if len(room["uids"]) <= 2:
                    await erase(self._desk, str(room["_id"]))
        more = True
        while more:
            heed_cancellation()
            groups, more = await store.departures.end_some(user_id, self._desk.deadline)
            await name_groups(self._desk, groups)
        await store.invites.remove_of(user_id)
        more = erasure is not Erasure.KEEP
        bot = await store.departures.bot()
        while more:
            heed_cancellation()
            if erasure is Erasure.DELETE:
                chores, more = await store.departures.erase_messages(user_id, self._desk.deadline)
                await self._desk.chores.attend(chores, _FILES)
            else:
                more = await store.departures.unlink_messages(user_id, bot, REMOVED_USER)
