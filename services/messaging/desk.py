"""What every kind of work in messaging needs at hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from hubbub.audit import Auditor
from hubbub.clock import Clock
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messages import InvalidRoom
from hubbub.contracts.pictures import Pictures
from hubbub.errors import NotAllowed, Unauthenticated
from hubbub.ids import RoomId, UserId
from services.messaging.apps import AppsAtHand
from services.messaging.chores import Chores
from services.messaging.domain.sending import Draft, Person, judge
from services.messaging.effects import Effects
from services.messaging.facts import Facts
from services.messaging.funnel import Funnel, not_stored, unknown_outcome
from services.messaging.metrics import DoorMetrics
from services.messaging.settings import MessagingSettings
from services.messaging.store import Store
from services.messaging.store.batches import Stored
from services.messaging.store.transactions import NotStored, OutcomeUnknown
from services.messaging.whisper import Whisper

T = TypeVar("T")


class Statuses(Protocol):
    """The part of the presence service that is needed here."""

    async def set_status(self, user_id: UserId, *, text: str) -> None:
        """Choose what is shown beside a user's name. Raises: NotAllowed; BadRequest."""
        ...


class RoomCommitter:
    """Puts the funnel's batches into the database, with the rules of the moment."""

    def __init__(self, store: Store, facts: Facts, effects: Effects) -> None:
        self._store = store
        self._facts = facts
        self._effects = effects

    async def commit(self, room_id: str, drafts: Sequence[Draft], deadline: float) -> Stored:
        """See `funnel.Committer`."""
        rules = await self._facts.rules()
        return await self._store.batches.commit(
            room_id,
            drafts,
            judge=judge,
            store_last=rules.store_last_message,
            counted=self._effects.counted(room_id),
            deadline=deadline,
        )

    async def stored(self, message_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """See `funnel.Committer`."""
        return await self._store.messages.by_ids(message_ids)


@dataclass(frozen=True, slots=True)
class Desk:
    """Shared by the doors; made once in `run`."""

    store: Store
    facts: Facts
    authorization: Authorization
    funnel: Funnel
    effects: Effects
    whisper: Whisper
    clock: Clock
    settings: MessagingSettings
    chores: Chores
    audit: Auditor
    statuses: Statuses
    pictures: Pictures | None = None
    """Who keeps pictures; None: nobody."""
    metrics: DoorMetrics = field(default_factory=DoorMetrics)
    apps: AppsAtHand = field(default_factory=AppsAtHand)

    @property
    def deadline(self) -> float:
        """Monotonic time at which a write that begins now has to be done."""
        return self.clock.monotonic() + self.settings.send_deadline

    async def now(self) -> datetime:
        """The database's time."""
        return await self.store.places.now()

    async def person(self, user_id: str) -> Person:
        """Who acts. Raises: Unauthenticated: unknown or deactivated."""
        person = await self.facts.person(user_id)
        if person is None or not person.active:
            raise Unauthenticated("Invalid user")
        return person

    async def held(
        self, user_id: str | None, permissions: Collection[str], room_id: str | None = None
    ) -> frozenset[str]:
        """Those of `permissions` that are held: one call."""
        held = await self.authorization.held_permissions(
            None if user_id is None else UserId(user_id),
            list(permissions),
            None if room_id is None else RoomId(room_id),
        )
        return frozenset(held)

    async def readable_room(self, user_id: str | None, room_id: str) -> dict[str, Any]:
        """A room whose messages may be read: who was removed may not, from then on.

        Raises: InvalidRoom: there is none; NotAllowed: no access.
        """
        room = await self.facts.room(room_id)
        if room is None:
            raise InvalidRoom("Invalid room")
        user = None if user_id is None else UserId(user_id)
        if not await self.authorization.can_read_room(RoomId(room_id), user, now=True):
            raise NotAllowed("Not allowed")
        return room

    async def write(self, room_id: str, work: Callable[[float], Awaitable[T]]) -> T:
        """Run a transaction on a room in its turn, between batches.

        Args:
            work: gets the deadline.

        Raises:
            Unavailable: not stored, or unknown; whatever `work` raises.
        """
        deadline = self.deadline
        try:
            return await self.funnel.turn(room_id, lambda: work(deadline))
        except NotStored:
            raise not_stored() from None
        except OutcomeUnknown:
            raise unknown_outcome() from None
